"""Components of the level graph against SciPy's."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from mixedfx.design import build_design
from mixedfx.linalg.connectivity import connectivity
from mixedfx.linalg.layout import arrange


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("three", [False, True])
def test_components(seed: int, three: bool) -> None:
    rng = np.random.default_rng(seed)
    n, J = 60, 40
    data = pd.DataFrame({"y": rng.standard_normal(n), "u": rng.integers(0, J, n), "i": rng.integers(0, J, n)})
    data["c"] = data["i"] % 35
    formula = "y ~ 1 + (1 | u) + (1 | i)" + (" + (1 | c)" if three else "")
    found = connectivity(arrange(build_design(formula, data).predictors))
    columns = ["u", "i", "c"] if three else ["u", "i"]
    nodes = np.column_stack([data[c].to_numpy() + J * k for k, c in enumerate(columns)])
    edges = np.vstack([nodes[:, [0, k]] for k in range(1, len(columns))])
    size = J * len(columns)
    graph = coo_array((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(size, size))
    _, label = connected_components(graph, directed=False)
    rows = np.bincount(label[nodes[:, 0]])
    assert found.components == np.count_nonzero(rows)
    assert found.largest_share == pytest.approx(rows.max() / n)


def test_one_factor_has_a_component_a_level() -> None:
    data = pd.DataFrame({"y": [1.0, 2.0, 4.0], "u": [1, 1, 2]})
    found = connectivity(arrange(build_design("y ~ 1 + (1 | u)", data).predictors))
    assert found.components == 2
    assert found.largest_share == pytest.approx(2 / 3)

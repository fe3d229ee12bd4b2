"""The refinement study of the benchmarks, on a small share of its rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmarks.refinement import FAMILIES, refinement


@pytest.mark.parametrize("family", FAMILIES)
def test_estimates_are_near_the_truth_and_seeds_agree(family: str) -> None:
    rows = pd.DataFrame(list(refinement(family, 0.002, 2)))
    entries = {"user", "item"} | ({"Residual"} if family == "gaussian" else set())
    assert set(rows["entry"]) == entries
    assert (rows["rows"] == 64_000).all()
    # Bernoulli rows are few a level here: Laplace's approximation adds to the error.
    assert (np.abs(rows["estimate"] - rows["truth"]) < 4 * rows["se"]).all()
    for _, own in rows.groupby("entry"):
        first, second = own["estimate"]
        assert abs(first - second) < 6 * np.hypot(*own["monte_carlo_se"])
        assert first != second  # other probes

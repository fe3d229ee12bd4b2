"""Collinear fixed effects: the earliest columns are kept, as lme4 does."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mixedfx.design import build_design
from mixedfx.errors import CollinearWarning
from mixedfx.formula import rank
from mixedfx.formula.rank import independent_columns


def test_the_earliest_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rank, "_CHUNK", 37)
    rng = np.random.default_rng(0)
    a, b, c = rng.standard_normal((3, 200))
    columns = [a, 2 * a + 3, b, np.zeros(200), a - b, c, np.full(200, 7.0), a + b + c]
    assert independent_columns(columns, intercept=True).tolist() == [1, 0, 1, 0, 0, 1, 0, 0]
    assert independent_columns(columns, intercept=False).tolist() == [1, 1, 1, 0, 0, 1, 0, 0]
    assert independent_columns([], intercept=True).tolist() == []


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_the_tolerance_is_that_of_r_whatever_the_units(scale: float) -> None:
    rng = np.random.default_rng(1)
    a, noise = rng.standard_normal((2, 50_000))
    # qr(cbind(a, a + e * noise), tol = 1e-7) keeps the second column from e about 1e-7 on. The cross-product matrix
    # could not see this: 1e-6 squared is close to rounding.
    assert independent_columns([a, scale * (a + 1e-6 * noise)], intercept=True).tolist() == [True, True]
    assert independent_columns([a, scale * (a + 1e-8 * noise)], intercept=True).tolist() == [True, False]


def test_fewer_rows_than_columns() -> None:
    assert independent_columns(list(np.random.default_rng(2).standard_normal((5, 3))), True).sum() == 2


def test_dropped_effects_are_named_and_stay_dropped_in_new_data() -> None:
    rng = np.random.default_rng(3)
    data = pd.DataFrame({"y": rng.standard_normal(60), "x": rng.standard_normal(60), "g": np.arange(60) % 6})
    data["twice"] = 2 * data["x"]
    data["kind"] = np.array(list("abc"))[data["g"] % 3]
    data["same"] = data["kind"].str.upper()
    with pytest.warns(CollinearWarning, match="are dropped: twice, sameB, sameC"):
        design = build_design("y ~ x + twice + kind + same + (1 + twice | g)", data)
    p = design.predictors
    assert p.fixed_names == ("(Intercept)", "x", "kindb", "kindc")
    assert p.terms[0].names == ("(Intercept)", "twice")
    assert p.features.shape == (60, 4)
    new = design.spec.encode(data[:5])
    assert new.fixed_names == p.fixed_names
    np.testing.assert_array_equal(new.features, p.features[:5])

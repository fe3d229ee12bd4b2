"""build_design on the common cases: fixed columns, bar terms, nested factors, missing rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mixedfx.design import build_design
from mixedfx.errors import DataError, DroppedRowsWarning


@pytest.fixture
def data() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    n = 200
    return pd.DataFrame(
        {
            "user": rng.integers(0, 12, n) + 1000,
            "item": [f"i{v}" for v in rng.integers(0, 9, n)],
            "x": rng.standard_normal(n),
            "kind": pd.Categorical(rng.choice(list("abc"), n), categories=list("abcd")),
            "y": rng.standard_normal(n),
        }
    )


def test_fixed_and_random_parts_share_columns(data: pd.DataFrame) -> None:
    design = build_design("y ~ 1 + x + kind + (1 + x | user) + (1 | item)", data)
    p = design.predictors
    assert p.fixed_names == ("(Intercept)", "x", "kindb", "kindc")
    assert p.features.shape == (200, 3)
    user, item = p.terms
    assert (user.names, item.names) == (("(Intercept)", "x"), ("(Intercept)",))
    assert user.columns.tolist() == [-1, 0]
    assert np.array_equal(p.X(), np.column_stack([np.ones(200), data.x, data.kind == "b", data.kind == "c"]))
    assert np.array_equal(user.grouping.levels[user.grouping.codes], data.user)
    assert user.grouping.codes.dtype == np.int32
    assert user.grouping.levels.dtype == np.int64


def test_missing_rows_are_counted(data: pd.DataFrame) -> None:
    before = data.copy()
    data.loc[data.index[:7], "x"] = np.nan
    with pytest.warns(DroppedRowsWarning, match=r"7 of 200 rows dropped: missing values in x \(7\)"):
        design = build_design("y ~ x + (1 | user)", data)
    assert design.n_rows == 193
    assert design.predictors.index.equals(before.index[7:])
    with pytest.raises(DataError, match=r"x \(7\)"):
        build_design("y ~ x + (1 | user)", data, na="raise")

"""VarCorr: lme4's frame in and out, alignment with a formula, what is refused."""

from __future__ import annotations

import goldens
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mixedfx as mfx
from mixedfx.design import build_design
from mixedfx.errors import VarCorrError
from mixedfx.varcorr import VarCorr, lower_factor

COLUMNS = ["grp", "var1", "var2", "vcov"]
ROWS = [
    ("user", "intercept", None, 0.5),
    ("user", "x", np.nan, 0.1),
    ("user", "(Intercept)", "x", 0.05),
    ("item", "(Intercept)", "", 0.3),
    ("Residual", None, None, 1.0),
]


def frame(*rows: tuple[object, ...]) -> pd.DataFrame:
    return pd.DataFrame(list(rows or ROWS), columns=COLUMNS)


def test_reads_lme4s_frame() -> None:
    vc = VarCorr.from_frame(frame())
    assert vc.factors == ("user", "item")
    assert vc.sigma == 1.0
    expected = pd.DataFrame(
        [[0.5, 0.05], [0.05, 0.1]], index=["(Intercept)", "x"], columns=["(Intercept)", "x"]
    )
    pd.testing.assert_frame_equal(vc["user"], expected)


def test_round_trip_keeps_order_values_and_structural_zeros() -> None:
    table = VarCorr.from_frame(frame(*ROWS[:2], ROWS[3], ROWS[4])).to_frame()
    assert table["grp"].tolist() == ["user", "user", "item", "Residual"]
    assert table["var2"].isna().all()
    again = VarCorr.from_frame(table).to_frame()
    pd.testing.assert_frame_equal(again, table)


@pytest.mark.parametrize("case", ["sleepstudy_reml", "insteval_slopes", "sleepstudy_uncorrelated"])
def test_writes_what_lme4_writes(case: str) -> None:
    expected = goldens.load(case).varcorr
    got = VarCorr.from_frame(expected).to_frame()
    keys = ["grp", "var1", "var2"]
    merged = got.merge(expected, on=keys, suffixes=("", "_lme4"))
    assert len(merged) == len(got) == len(expected)
    np.testing.assert_allclose(merged["sdcor"], merged["sdcor_lme4"], rtol=1e-12)


def test_a_factor_may_be_called_na_and_have_no_variance() -> None:
    vc = VarCorr.from_frame(frame(("NA", "(Intercept)", None, 0.0)))
    assert vc.factors == ("NA",)
    assert vc.sigma is None
    assert vc["NA"].iloc[0, 0] == 0.0


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("user", "x", None, -1.0)], r"'user' has a negative variance of 'x': -1"),
        (
            [*ROWS[:2], ("user", "(Intercept)", "x", 5.0)],
            r"'user' is not positive semidefinite.*eigenvalue -4\.7",
        ),
        (
            [("user", "x", None, 0.0), ("user", "z", None, 1.0), ("user", "x", "z", 0.1)],
            "positive semidefinite",
        ),
        ([("user", "x", "z", 0.1), ("user", "x", None, 1.0)], r"no variance of 'z'"),
        ([ROWS[0], ROWS[0]], r"'user' gives \(\(Intercept\), \(Intercept\)\) twice"),
        ([ROWS[4], ROWS[4]], "two Residual rows"),
        ([("user", None, None, 1.0)], "no var1"),
        ([("user", "x", None, "big")], r"'user' has vcov 'big'"),
        ([("user", "x", None, np.inf)], "not a finite number"),
        ([("Residual", None, None, 0.0)], "Residual variance is 0"),
    ],
)
def test_refused(rows: list[tuple[object, ...]], message: str) -> None:
    with pytest.raises(VarCorrError, match=message):
        VarCorr.from_frame(frame(*rows))


def test_a_missing_column_is_named() -> None:
    with pytest.raises(VarCorrError, match="'vcov'"):
        VarCorr.from_frame(frame().drop(columns="vcov"))


def test_aligned_with_a_formula() -> None:
    data = pd.DataFrame(
        {"y": [1.0, 2.0, 3.0, 5.0], "x": [0.0, 1.0, 0.5, 2.0], "user": list("abab"), "item": list("ccdd")}
    )
    terms = build_design("y ~ 1 + (1 | item) + (1 + x | user)", data).predictors.terms
    shuffled = frame(ROWS[1], ROWS[2], ROWS[0], ROWS[3], ROWS[4])
    vc = VarCorr.from_frame(shuffled).align(terms)
    assert vc.factors == ("item", "user")
    assert vc.block("user").names == ("(Intercept)", "x")
    np.testing.assert_array_equal(vc.block("user").matrix, [[0.5, 0.05], [0.05, 0.1]])


@given(seed=st.integers(0, 10_000), q=st.integers(1, 5), rank=st.integers(0, 5))
def test_lower_factor_of_any_rank(seed: int, q: int, rank: int) -> None:
    root = np.random.default_rng(seed).standard_normal((q, min(rank, q)))
    S = root @ root.T
    L = lower_factor(S)
    assert not np.triu(L, 1).any()
    np.testing.assert_allclose(L @ L.T, S, atol=1e-6 * max(1.0, np.abs(S).max()))


def test_repr_is_the_table() -> None:
    assert "user" in repr(VarCorr.from_frame(frame()))
    assert isinstance(mfx.VarCorr.from_frame(frame()), VarCorr)


@pytest.mark.parametrize("table", [[("g", "(Intercept)", None, 0.5)], "covariances.csv", {"grp": ["g"]}])
def test_only_data_frames_are_tables(table: object) -> None:
    with pytest.raises(VarCorrError, match="must be a pandas DataFrame, not"):
        VarCorr.from_frame(table)  # pyright: ignore[reportArgumentType]


def test_two_columns_for_the_factor_are_refused() -> None:
    table = pd.DataFrame({"grp": ["g"], "group": ["g"], "var1": ["x"], "var2": [None], "vcov": [1.0]})
    with pytest.raises(VarCorrError, match="both columns 'grp' and 'group'"):
        VarCorr.from_frame(table)

"""build_design: features, bar terms, missing rows, and data that do not fit."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pandas as pd
import pytest

from mixedfx.design import build_design
from mixedfx.errors import DataError, DroppedRowsWarning, FormulaError, SettingError


@pytest.fixture
def data() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    n = 200
    return pd.DataFrame(
        {
            "user": rng.integers(0, 12, n) + 1000,
            "item": [f"i{v}" for v in rng.integers(0, 9, n)],
            "x": rng.standard_normal(n),
            "z": rng.standard_normal(n),
            "kind": pd.Categorical(rng.choice(list("abc"), n), categories=list("abcd")),
            "y": rng.standard_normal(n),
        }
    )


def test_fixed_and_random_parts_share_columns(data: pd.DataFrame) -> None:
    design = build_design("y ~ 1 + x + kind + (1 + x + kind | user) + (0 + kind | item)", data)
    p = design.predictors
    assert p.fixed_names == ("(Intercept)", "x", "kindb", "kindc")
    assert p.features.shape == (200, 4)
    assert p.features.flags.c_contiguous
    user, item = p.terms
    assert user.columns.tolist() == p.fixed_columns.tolist() == [-1, 0, 1, 2]
    assert item.names == ("kinda", "kindb", "kindc")
    assert item.columns.tolist() == [3, 1, 2]
    assert np.array_equal(p.X(), np.column_stack([np.ones(200), data.x, data.kind == "b", data.kind == "c"]))
    assert np.array_equal(user.grouping.levels[user.grouping.codes], data.user)
    assert user.grouping.codes.dtype == np.int32
    assert user.grouping.levels.dtype == np.int64


def test_intercept_only(data: pd.DataFrame) -> None:
    p = build_design("y ~ (1 | user)", data).predictors
    assert p.features.shape == (200, 0)
    assert p.X().tolist() == [[1.0]] * 200
    assert build_design("y ~ 0 + (1 | user)", data).predictors.X().shape == (200, 0)


def test_offsets_are_added(data: pd.DataFrame) -> None:
    p = build_design("y ~ offset(x) + z + offset(2 * z) + (1 | user)", data).predictors
    np.testing.assert_array_equal(p.offset, data.x + 2 * data.z)
    assert p.fixed_names == ("(Intercept)", "z")


def test_bar_terms_of_one_factor_are_one_term(data: pd.DataFrame) -> None:
    p = build_design("y ~ (0 + x | user) + (1 | item) + (1 + z | user)", data).predictors
    user, item = p.terms
    assert (user.name, user.names) == ("user", ("(Intercept)", "x", "z"))
    assert user.free.tolist() == [[True, False, True], [False, True, False], [True, False, True]]
    assert item.names == ("(Intercept)",)


def test_a_coefficient_given_twice_is_refused(data: pd.DataFrame) -> None:
    with pytest.raises(FormulaError, match=r"give factor 'user' the coefficient '\(Intercept\)'"):
        build_design("y ~ (1 | user) + (x | user)", data)
    with pytest.raises(FormulaError, match="give factor 'user' the coefficient 'x'"):
        build_design("y ~ (x | user) + (0 + x | user)", data)


def test_missing_rows_are_counted_and_dropped(data: pd.DataFrame) -> None:
    data = data.astype({"user": "Int64"})
    data.loc[data.index[:7], "x"] = np.nan
    data.loc[data.index[5:9], "user"] = pd.NA
    data.loc[data.index[20], "kind"] = np.nan
    data.loc[data.index[30], "item"] = None
    data.loc[data.index[40], "z"] = np.nan  # not used
    before = data.copy()
    formula = "y ~ x + kind + (1 | user) + (1 | item)"
    with pytest.warns(DroppedRowsWarning) as caught:
        design = build_design(formula, data)
    assert [str(w.message) for w in caught] == [
        "11 of 200 rows dropped: missing values in x (7), kind (1), user (4), item (1)"
    ]
    pd.testing.assert_frame_equal(data, before)
    kept = data.drop(columns="z").dropna().index
    assert design.predictors.index.equals(kept)
    assert design.n_rows == 189
    assert design.predictors.terms[0].grouping.levels.dtype == np.int64
    with pytest.raises(
        DataError, match=r"missing values in x \(7\), kind \(1\), user \(4\), item \(1\) of 200 rows"
    ):
        build_design(formula, data, na="raise")


def test_transforms_see_the_complete_rows_only(data: pd.DataFrame) -> None:
    holed = data.copy()
    holed.loc[holed.index[:50], "x"] = np.nan
    with pytest.warns(DroppedRowsWarning):
        design = build_design("y ~ x + scale(z) + (1 | user)", holed)
    np.testing.assert_array_equal(
        design.predictors.features,
        build_design("y ~ x + scale(z) + (1 | user)", data[50:]).predictors.features,
    )


def test_a_level_may_vanish_with_the_dropped_rows(data: pd.DataFrame) -> None:
    data["two"] = np.where(data.index < 5, "rare", "usual")
    data.loc[data.index[:5], "x"] = np.nan
    with (
        pytest.warns(DroppedRowsWarning),
        pytest.raises(DataError, match="grouping factor 'two' has one level only"),
    ):
        build_design("y ~ x + (1 | two)", data)
    with pytest.warns(DroppedRowsWarning), pytest.raises(DataError, match="column 'two' has one level only"):
        build_design("y ~ x + two + (1 | user)", data)


@pytest.mark.parametrize(
    ("formula", "change", "message"),
    [
        (
            "y ~ x + (1 | user)",
            {"x": np.inf},
            "column 'x' is infinite in 200 of 200 rows, the first being row 0",
        ),
        ("y ~ offset(x) + (1 | user)", {"x": -np.inf}, "column 'x' is infinite"),
        ("y ~ (x | user)", {"x": np.inf}, "column 'x' is infinite"),
        ("y ~ x + (1 | user)", {"x": np.nan}, r"every row misses a value: x \(200\) of 200 rows"),
        ("y ~ x + (1 | user)", {"user": 1}, r"grouping factor 'user' has one level only \(1\)"),
        ("y ~ x + (1 | user:item)", {"user": 1, "item": "a"}, r"'user:item' has one level only \(1:a\)"),
        ("y ~ kind + (1 | user)", {"kind": "a"}, "column 'kind' has one level only"),
        ("y ~ xx + (1 | user)", {}, "no column 'xx'; did you mean 'x'"),
        ("y ~ x + (slope | user)", {}, "no column 'slope'"),
        ("y ~ x + (1 | users)", {}, r"no column 'users'; did you mean 'user'\?"),
        ("yy ~ x + (1 | user)", {}, "no column 'yy'"),
        ("y ~ offset(kind) + (1 | user)", {}, "column 'kind' is used as numbers"),
        (
            "y ~ kind + kindb + (1 | user)",
            {"kindb": range(200)},
            "two different effects would be called 'kindb'",
        ),
        ("y ~ kindb + (kind | user)", {"kindb": range(200)}, "two different columns would be called 'kindb'"),
    ],
)
def test_data_that_do_not_fit(
    data: pd.DataFrame, formula: str, change: dict[str, object], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        build_design(formula, data.assign(**change))


def test_settings(data: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="the data have no rows"):
        build_design("y ~ x + (1 | user)", data[:0])
    with pytest.raises(SettingError, match="na is 'omit'; available: 'drop', 'raise'"):
        build_design("y ~ x + (1 | user)", data, na="omit")  # pyright: ignore[reportArgumentType]
    with pytest.raises(SettingError, match="unknown family 'normal'"):
        build_design("y ~ x + (1 | user)", data, family="normal")


def test_columns_may_be_called_like_functions() -> None:
    rng = np.random.default_rng(5)
    names = ["C", "I", "log", "x y", "total.fruits", "Q", "1st", "y", "import", "__class__", "eval"]
    data = pd.DataFrame(rng.standard_normal((50, len(names))), columns=names).assign(g=np.arange(50) % 5)
    columns = "C + I + log + `x y` + total.fruits + Q + `1st` + import + __class__ + eval"
    formula = f"y ~ {columns} + I(log^2) + log(exp(C) + 1) + (C | g)"
    p = build_design(formula, data).predictors
    assert p.fixed_names[1:8] == ("C", "I", "log", "`x y`", "total.fruits", "Q", "`1st`")
    for name in names:
        if name != "y":
            assert any(np.array_equal(data[name], column) for column in p.X().T), name
    np.testing.assert_array_equal(p.X()[:, p.fixed_names.index("I(log^2)")], data["log"] ** 2)


def test_memory_of_intercept_only_models() -> None:
    # 4 bytes a row and factor for the codes and 1 for the response stay; lookup tables and a chunk pass by.
    n = 1_000_000
    rng = np.random.default_rng(0)
    data = pd.DataFrame({"item": rng.integers(0, 1000, n), "y": rng.integers(0, 2, n), "other": 0.0})
    data["user"] = rng.integers(0, 20_000, n) + 10_000
    build_design("y ~ 1 + (1 | user) + (1 | item)", data.head(100), family="bernoulli")
    tracemalloc.start()
    try:
        design = build_design("y ~ 1 + (1 | user) + (1 | item)", data, family="bernoulli")
        stays, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert design.n_rows == n
    assert not design.predictors.has_offset
    assert stays < 10 * n
    assert peak < 18 * n


@pytest.mark.parametrize("bars", ["(1 | a/b) + (0 + x | a:b)", "(1 | b:a) + (1 | a) + (0 + x | a:b)"])
def test_terms_on_the_same_combinations_are_one_factor(data: pd.DataFrame, bars: str) -> None:
    """Nesting writes ``b:a``; whoever adds a term may write ``a:b``."""
    nested = data.rename(columns={"item": "a", "kind": "b"})
    design = build_design(f"y ~ 1 + {bars}", nested)
    assert [(term.name, term.names) for term in design.predictors.terms] == [
        ("b:a", ("(Intercept)", "x")),
        ("a", ("(Intercept)",)),
    ]
    assert not design.predictors.terms[0].free[0, 1]


@pytest.mark.parametrize(
    ("factor", "words"), [(1e200, "values as large as .*e.200"), (1e-200, "no value above .*e-2")]
)
@pytest.mark.parametrize("formula", ["y ~ x + (1 | user)", "y ~ 1 + (1 + x | user)"])
def test_numbers_too_large_or_small_to_multiply(
    data: pd.DataFrame, factor: float, words: str, formula: str
) -> None:
    with pytest.raises(DataError, match=f"'x' holds {words}.*other units"):
        build_design(formula, data.assign(x=data["x"] * factor))

"""Prior weights from arrays, Series and columns."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mixedfx.design import build_design
from mixedfx.errors import DataError, DroppedRowsWarning

DATA = pd.DataFrame(
    {"y": [1.0, 2.0, 4.0, 3.0], "g": [1, 2, 1, 2], "w": [1.0, 2.0, 0.5, 3.0], "s": list("abcd")},
    index=[4, 3, 2, 1],
)
FORMULA = "y ~ 1 + (1 | g)"


@pytest.mark.parametrize(
    "weights",
    [
        "w",
        DATA["w"],
        DATA["w"].to_numpy(),
        DATA["w"].tolist(),
        DATA["w"].astype("Float64"),
        DATA["w"].astype("float32").to_numpy(),
    ],
    ids=["column", "series", "array", "list", "nullable", "float32"],
)
def test_one_weight_a_row(weights: object) -> None:
    design = build_design(FORMULA, DATA, weights=weights)
    assert design.weights.tolist() == [1.0, 2.0, 0.5, 3.0]
    assert design.weights.dtype == np.float64


def test_none_is_one() -> None:
    assert build_design(FORMULA, DATA).weights.tolist() == [1.0] * 4


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("v", "no column 'v'"),
        ("s", "column 's' is used as numbers"),
        (
            [1.0, 0.0, -2.0, 1.0],
            "weights must be finite and above 0, but 2 of 4 are not, the first being 0 in row number 1",
        ),
        (
            [1.0, 1e300, 1.0, 1.0],
            "between 1e-50 and 1e[+]50, but 1 of 4 do not, .*1e[+]300 in row number 1; divide",
        ),
        ([1.0, 1.0, np.inf, 1.0], "weights must be finite and above 0, but 1 of 4"),
        ([1.0, 2.0], "there are 2 weights for 4 rows"),
        ([2.0], "there are 1 weights for 4 rows"),
        (pd.Series([1.0] * 4), "a Series whose index differs from the data's"),
        (["a"] * 4, "column 'weights' is used as numbers"),
    ],
)
def test_refused(weights: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        build_design(FORMULA, DATA, weights=weights)
    with pytest.raises(DataError, match="column 'w' must be finite and above 0"):
        build_design(FORMULA, DATA.assign(w=0), weights="w")


@pytest.mark.parametrize("as_column", [True, False])
def test_rows_without_weight_are_dropped_like_others(as_column: bool) -> None:
    data = DATA.assign(w=[1.0, np.nan, 0.5, 3.0])
    name = "w" if as_column else "weights"
    weights = "w" if as_column else data["w"].to_numpy()
    with pytest.warns(DroppedRowsWarning, match=rf"1 of 4 rows dropped: missing values in {name} \(1\)"):
        design = build_design(FORMULA, data, weights=weights)
    assert design.weights.tolist() == [1.0, 0.5, 3.0]
    assert design.predictors.index.tolist() == [4, 2, 1]


def test_new_data_has_its_weights_in_the_same_column() -> None:
    spec = build_design(FORMULA, DATA, weights="w").spec
    assert spec.encode_response(DATA[2:])[1].tolist() == [0.5, 3.0]
    assert spec.encode_response(DATA[2:], weights=[5.0, 6.0])[1].tolist() == [5.0, 6.0]
    with pytest.raises(DataError, match="no column 'w'"):
        spec.encode_response(DATA[["y", "g"]])


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        (2.0, "not float"),
        ({"a": 1.0}, "not dict"),
        (np.ones((4, 1)), r"one dimension, but have shape \(4, 1\)"),
        ([[1.0], [1.0, 2.0]], "one number a row"),
    ],
)
def test_what_is_no_array_of_weights(weights: object, words: str) -> None:
    with pytest.raises(DataError, match=f"weights must.*{words}"):
        build_design(FORMULA, DATA, weights=weights)


def test_no_weights_take_no_memory() -> None:
    design = build_design(FORMULA, DATA)
    assert not design.weighted
    assert design.weights.tolist() == [1.0] * 4
    taken = design.take(np.array([0, 1, 3]))
    assert not taken.weighted
    assert taken.weights.tolist() == [1.0] * 3
    assert build_design(FORMULA, DATA, weights="w").weighted

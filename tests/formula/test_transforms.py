"""Transforms: what they learn, that new data gets the same, and what they refuse in data."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from mixedfx.errors import DataError, FormulaError
from mixedfx.formula import TRANSFORMS, parse_formula
from mixedfx.formula.numeric import Numeric, fit_numeric
from mixedfx.formula.parser import parse
from mixedfx.formula.tree import Node

EXPRESSIONS = [
    "I((x - 1)^2 / -z * 2)",
    "I(x**2)",
    "log(z)",
    "exp(-x)",
    "center(x)",
    "scale(log(z))",
    "scale(x, FALSE)",
    "I(center(x) * scale(z))",
    "poly(x, 3)",
    "poly(log(z), degree = 2)",
    "poly(x, 2, raw = TRUE)",
    "bs(x, df = 6)",
    "bs(x, degree = 2)",
    "I(flag + 1)",
]


def tree(text: str) -> Node:
    return parse(f"y ~ {text}")[1]


@pytest.fixture
def data() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    x = rng.standard_normal(60)
    return pd.DataFrame({"x": x, "z": rng.exponential(size=60), "flag": x > 0})


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_new_data_is_transformed_as_the_data_of_the_fit(text: str, data: pd.DataFrame) -> None:
    variable, values = fit_numeric(tree(text), data)
    saved = json.loads(json.dumps(variable.to_dict()))
    again = Numeric.from_dict(variable.name, variable.node, saved)
    subset = data.iloc[[7, 3, 3, 59]]
    np.testing.assert_array_equal(again.encode(data), values)
    np.testing.assert_array_equal(again.encode(subset), values[[7, 3, 3, 59]])
    np.testing.assert_array_equal(again.encode(data.iloc[:1]), values[:1])


def test_numpy_computes_the_same(data: pd.DataFrame) -> None:
    x, z = data["x"].to_numpy(), data["z"].to_numpy()
    for text, expected in {
        "I((x - 1)^2 / -z * 2)": (x - 1) ** 2 / -z * 2,
        "I(-x^2)": -(x**2),
        "I(2^-x)": 2.0**-x,
        "I(2^x^2)": 2.0 ** (x**2),
        "log2(z)": np.log2(z),
        "log1p(abs(x))": np.log1p(abs(x)),
        "expm1(sin(x) - cos(z))": np.expm1(np.sin(x) - np.cos(z)),
        "I(flag * 2)": (x > 0) * 2.0,
    }.items():
        np.testing.assert_array_equal(fit_numeric(tree(text), data)[1][:, 0], expected, err_msg=text)


def test_splines_and_polynomials_go_on_beyond_the_data(data: pd.DataFrame) -> None:
    # Cubics are in the span of both bases, so the fit of a cubic holds everywhere.
    beyond = pd.DataFrame({"x": [-9.0, 0.0, 9.0]})
    for text in ("poly(x, 3)", "bs(x)"):
        variable, values = fit_numeric(tree(text), data)
        ones = np.ones((60, 1))
        coefficients = np.linalg.lstsq(np.hstack([ones, values]), data["x"] ** 3, rcond=None)[0]
        predicted = np.hstack([ones[:3], variable.encode(beyond)]) @ coefficients
        # Lengths of 10^3 times the condition of the bases: rounding of 1e-13 relative remains far below this.
        np.testing.assert_allclose(predicted, beyond["x"] ** 3, atol=1e-7)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_every_documented_transform_can_be_called(name: str) -> None:
    arguments = "x, 2" if name == "poly" else "x"
    assert parse_formula(f"y ~ {name}({arguments}) + (1 | g)").columns == ("x", "g")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("log(x)", r"'log\(x\)' is not a finite number in 1 of 3 rows, the first being row b, where x is -1"),
        (
            "I(1 / z)",
            r"'I\(1/z\)' is not a finite number in 1 of 3 rows, the first being row a, where z is 0",
        ),
        ("poly(x, 3)", r"poly\(x, 3\) needs more than 3 distinct values, but the column has 3"),
        ("poly(I(1 / z), 2)", r"'I\(1/z\)' holds values that are not finite"),
        ("scale(one)", r"scale\(one\) cannot be computed: the column does not vary"),
        ("bs(x, df = 2)", r"bs\(x, df = 2\) cannot be computed"),
        ("log(kind)", "column 'kind' is used as numbers but its type is (str|object)"),
        ("center(o)", "column 'o' is used as numbers but its type is category"),
        ("abs(when)", "column 'when' is used as numbers but its type is datetime64"),
        ("exp(far)", "column 'far' is infinite in 2 of 3 rows, the first being row b"),
    ],
)
def test_data_that_a_transform_cannot_take(text: str, message: str) -> None:
    data = pd.DataFrame(
        {
            "x": [1.0, -1.0, 2.0],
            "z": [0, 1, 2],
            "one": 1.0,
            "kind": ["1", "2", "3"],
            "o": pd.Categorical([1, 2, 3]),
            "when": pd.to_datetime(["2020-01-01"] * 3),
            "far": [0.0, np.inf, -np.inf],
        },
        index=list("abc"),
    )
    with pytest.raises(DataError, match=message):
        fit_numeric(tree(text), data)


def test_numbers_in_objects() -> None:
    from decimal import Decimal

    data = pd.DataFrame(
        {"d": [Decimal("0.5"), Decimal(2)], "big": [2**70, 1], "n": pd.array([1, 2], dtype="Int8")}
    )
    assert fit_numeric(tree("d"), data)[1][:, 0].tolist() == [0.5, 2.0]
    assert fit_numeric(tree("big"), data)[1][:, 0].tolist() == [2.0**70, 1.0]
    assert fit_numeric(tree("n"), data)[1][:, 0].tolist() == [1.0, 2.0]


def test_whole_number_options_are_bounded() -> None:
    with pytest.raises(FormulaError, match="whole number from 1 to 100"):
        parse_formula("y ~ bs(x, df = 1000000000) + (1 | g)")

"""How the response is read for each kind of family, and what is refused."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pandas as pd
import pytest

from mixedfx.design import Design, build_design
from mixedfx.errors import DataError
from mixedfx.families import Family
from mixedfx.families.bernoulli import Bernoulli


class Ordinal(Bernoulli):
    """Stands in for a family with thresholds; only its response matters here."""

    name: ClassVar[str] = "ordinal stand-in"
    has_thresholds: ClassVar[bool] = True

    def check_response(self, y: np.ndarray, name: str) -> None:
        assert set(np.unique(y)) <= set(range(len(np.unique(y)))), name


def design(y: object, family: str | Family, formula: str = "y ~ x + (1 | g)") -> Design:
    frame = pd.DataFrame({"y": y})
    frame["x"] = np.arange(len(frame)) % 3
    frame["g"] = np.arange(len(frame)) % 2
    return build_design(formula, frame, family=family)


@pytest.mark.parametrize(
    ("y", "levels"),
    [
        ([0, 1, 1, 0], None),
        ([0.0, 1.0, 1.0, 0.0], None),
        ([False, True, True, False], [False, True]),
        (pd.array([False, True, True, False], dtype="boolean"), [False, True]),
        (["N", "Y", "Y", "N"], ["N", "Y"]),
        (pd.Categorical(["yes", "no", "no", "yes"], categories=["yes", "unused", "no"]), ["yes", "no"]),
    ],
)
def test_two_outcomes_the_second_is_success(y: object, levels: list[object] | None) -> None:
    built = design(y, "bernoulli")
    assert built.y.tolist() == [0.0, 1.0, 1.0, 0.0]
    assert built.y.dtype == np.int8
    found = built.response_levels
    assert found is None if levels is None else found is not None and found.tolist() == levels


def test_response_may_be_called_a_factor() -> None:
    built = design([2, 1, 1, 2], "bernoulli", "factor(y) ~ x + (1 | g)")
    assert built.y.tolist() == [1.0, 0.0, 0.0, 1.0]
    assert built.spec.response_name == "factor(y)"


def test_response_may_be_transformed() -> None:
    built = design([1.0, 2.0, 4.0, 8.0], "gaussian", "log2(y) ~ x + (1 | g)")
    assert built.y.tolist() == [0.0, 1.0, 2.0, 3.0]
    assert built.spec.response_name == "log2(y)"


@pytest.mark.parametrize(
    ("y", "family", "message"),
    [
        (["a", "b", "a", "b"], "gaussian", "response 'y' must be numbers for this family, but its type is"),
        (pd.Categorical([1, 2, 1, 2]), "gaussian", "response 'y' must be numbers"),
        ([1.0, np.inf, 2.0, 3.0], "gaussian", "column 'y' is infinite in 1 of 4 rows"),
        ([5.0, 5.0, 5.0, 5.0], "gaussian", "response 'y' is constant"),
        (["a", "b", "c", "a"], "bernoulli", "'y' must have two levels .* but has 3: a, b, c"),
        (["a", "a", "a", "a"], "bernoulli", "'y' must have two levels .* but has 1: a"),
        ([0, 1, 2, 1], "bernoulli", "response 'y' must be 0/1"),
        ([True, True, True, True], "bernoulli", "response 'y' is always 1"),
        (["a", "a", "a", "a"], Ordinal(), r"'y' has one category only \(a\)"),
    ],
)
def test_refused(y: object, family: str | Family, message: str) -> None:
    with pytest.raises(DataError, match=message):
        design(y, family)


@pytest.mark.parametrize(
    ("y", "codes", "levels"),
    [
        (
            pd.Categorical(["lo", "hi", "lo", "mid"], ["lo", "no", "mid", "hi"], ordered=True),
            [0, 2, 0, 1],
            ["lo", "mid", "hi"],
        ),
        ([5, 1, 3, 3], [2, 0, 1, 1], [1, 3, 5]),
        ([0.5, 0.1, 0.5, 0.2], [2, 0, 2, 1], [0.1, 0.2, 0.5]),
        (["b", "a", "c", "a"], [1, 0, 2, 0], ["a", "b", "c"]),
        ([True, False, True, True], [1, 0, 1, 1], [False, True]),
    ],
)
def test_ordered_categories(y: object, codes: list[float], levels: list[object]) -> None:
    built = design(y, Ordinal())
    assert built.y.tolist() == codes
    assert built.response_levels is not None
    assert built.response_levels.tolist() == levels
    assert built.predictors.fixed_names == ("x",)


def test_thresholds_take_the_place_of_the_intercept() -> None:
    frame = pd.DataFrame({"y": [1, 2, 3, 1, 2, 3], "k": list("aabbcc"), "g": [1, 2] * 3})
    for formula in ("y ~ k + (1 | g)", "y ~ 0 + k + (1 | g)"):
        built = build_design(formula, frame, family=Ordinal())
        assert built.predictors.fixed_names == ("kb", "kc")
        assert built.spec.encode(frame).fixed_names == ("kb", "kc")
    assert build_design("y ~ 1 + (1 | g)", frame, family=Ordinal()).predictors.X().shape == (6, 0)


def test_encode_response_of_new_data() -> None:
    built = design(["N", "Y", "Y", "N"], "bernoulli")
    y, w = built.spec.encode_response(pd.DataFrame({"y": ["Y", "N"]}))
    assert (y.tolist(), w.tolist()) == ([1.0, 0.0], [1.0, 1.0])
    with pytest.raises(
        DataError, match="column 'y' holds 'maybe', a category that the fitted data did not have"
    ):
        built.spec.encode_response(pd.DataFrame({"y": ["Y", "maybe"]}))
    with pytest.raises(DataError, match=r"missing values in y \(1\) of 2 rows"):
        built.spec.encode_response(pd.DataFrame({"y": ["Y", None]}))


def test_a_measurement_is_no_ordinal_response() -> None:
    with pytest.raises(DataError, match=r"response 'y' has 1,000 different values.*pandas\.cut"):
        design(np.random.default_rng(0).normal(size=1000), Ordinal())

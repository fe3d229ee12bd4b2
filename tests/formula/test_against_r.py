"""Columns, names, levels and codes are those of R's model.matrix and lme4's lFormula (golden/generate.R)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mixedfx.design import build_design
from mixedfx.formula import parse_formula
from mixedfx.formula.model_matrix import model_columns
from mixedfx.formula.variables import fit_variables
from mixedfx.predictors import Predictors

GOLDEN = Path(__file__).parent / "golden"
# R's own numbers are written with 15 digits; splines and polynomials are computed by another recurrence.
TOLERANCE = 1e-12


def cases(name: str) -> list[Any]:
    found = json.loads((GOLDEN / name).read_text())["cases"]
    return [pytest.param(case, id=case["formula"]) for case in found]


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    frame = pd.read_csv(GOLDEN / "data.csv")
    kind = pd.Categorical(frame["kind"], categories=["b", "a", "unused", "C"])
    return frame.assign(kind=kind, studage=pd.Categorical(frame["studage"], ordered=True))


@pytest.mark.parametrize("case", cases("model_matrix.json"))
def test_model_matrix(case: dict[str, Any], data: pd.DataFrame) -> None:
    formula = parse_formula(f"y {case['formula']} + (1 | school)")
    _, encoded = fit_variables(formula.variables, data)
    columns = model_columns(formula.fixed, encoded)
    if formula.fixed.intercept:
        columns = {"(Intercept)": np.ones(len(data))} | columns
    assert list(columns) == case["names"]
    for name, expected in zip(case["names"], case["columns"], strict=True):
        np.testing.assert_allclose(columns[name], expected, rtol=TOLERANCE, atol=TOLERANCE, err_msg=name)


@pytest.mark.parametrize("case", cases("random_terms.json"))
def test_random_terms(case: dict[str, Any], data: pd.DataFrame) -> None:
    predictors = build_design(f"y ~ {case['formula']}", data).predictors
    terms = {term.name: term for term in predictors.terms}
    assert set(terms) == {block["factor"] for block in case["blocks"]}
    for factor, term in terms.items():
        blocks = [block for block in case["blocks"] if block["factor"] == factor]
        names = [name for block in blocks for name in block["names"]]
        assert list(term.names) == names
        block_of = np.repeat(np.arange(len(blocks)), [len(block["names"]) for block in blocks])
        assert np.array_equal(term.free, block_of[:, None] == block_of)
        assert [str(level) for level in term.grouping.levels] == blocks[0]["levels"]
        assert term.grouping.codes.tolist() == blocks[0]["codes"]
        expected = np.array([z for block in blocks for z in block["z"]]).T
        np.testing.assert_allclose(predictors.z(term), expected, rtol=TOLERANCE, atol=TOLERANCE)


def test_factors_follow_the_formula(data: pd.DataFrame) -> None:
    def names(predictors: Predictors) -> list[str]:
        return [term.name for term in predictors.terms]

    assert names(build_design("y ~ (1 | pupil) + (1 | school/class)", data).predictors) == [
        "pupil",
        "class:school",
        "school",
    ]

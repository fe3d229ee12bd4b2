"""Degrees of freedom against lmerTest's, and what they rest on against differences."""

from __future__ import annotations

import json
from typing import Any

import goldens
import numpy as np
import pandas as pd
import pytest
from problems import model

import mixedfx as mfx
from mixedfx.covariance.gaussian import GaussianProblem
from mixedfx.covariance.parameters import Covariances
from mixedfx.covariance.result import CovarianceResult

CASES: dict[str, dict[str, Any]] = json.loads(
    (goldens.FOLDER / "satterthwaite" / "satterthwaite.json").read_text()
)["cases"]


def fit(case: dict[str, Any], **options: object) -> CovarianceResult:
    weights = None if case["weights"] is None else np.array(case["weights"])
    data = goldens.data(case["data"])
    return mfx.learn_covariance(case["formula"], data, method=case["method"], weights=weights, **options)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("name", CASES)
def test_table_is_lmertests(name: str) -> None:
    case = CASES[name]
    got = fit(case, satterthwaite=True)
    table = got.fixef_table()
    assert table.columns.tolist() == ["Estimate", "Std. Error", "df", "t value", "Pr(>|t|)"]
    assert table.index.tolist() == case["names"]
    # lmerTest prints four digits; both Hessians are differences, good to about 1e-6.
    np.testing.assert_allclose(table["df"], case["df"], rtol=1e-5)
    np.testing.assert_allclose(
        table["Estimate"], case["estimate"], atol=1e-6 * np.abs(case["estimate"]).max()
    )
    np.testing.assert_allclose(table["Std. Error"], case["se"], rtol=1e-5)
    np.testing.assert_allclose(table["t value"], case["t"], rtol=1e-5, atol=1e-5)
    # A p-value moves by about t^2 times the relative error of t.
    np.testing.assert_allclose(table["Pr(>|t|)"], case["p"], rtol=2e-5 * max(1, np.square(case["t"]).max()))
    for test in case["tests"]:
        joint = mfx.test_fixef(got, test["names"])
        assert joint["F"] == pytest.approx(test["F"], rel=1e-4)
        assert joint["df"] == test["numerator"]
        assert joint["denominator_df"] == pytest.approx(test["denominator"], rel=1e-5)
        assert joint["p"] == pytest.approx(test["p"], rel=1e-4 * max(1, test["F"]))


def test_computed_where_it_is_cheap_or_asked_for() -> None:
    small, large = CASES["sleepstudy_reml"], CASES["insteval_service"]
    assert fit(small).fixef_df is not None
    assert fit(small, satterthwaite=False).fixef_df is None
    without = fit(large)
    assert without.fixef_df is None
    assert without.fixef_table().columns.tolist() == ["Estimate", "Std. Error", "t value"]
    assert "satterthwaite=True" in str(without.summary())


def test_a_model_without_fixed_effects_has_none() -> None:
    got = mfx.learn_covariance("Yield ~ 0 + (1 | Batch)", goldens.data("Dyestuff"))
    assert got.fixef_df is None
    assert len(got.fixef_table()) == 0


@pytest.mark.parametrize("kind", ["crossed", "slopes on both", "nested and crossed"])
@pytest.mark.parametrize("singular", [False, True])
def test_derivatives_of_the_covariance_matrix(kind: str, singular: bool) -> None:
    m = model(kind, 3, singular=singular)
    problem = GaussianProblem.of(m.design, reml=True)
    sigmas = tuple(m.sigmas[t.name] for t in m.design.predictors.terms)
    here = problem.at(Covariances(sigmas, m.sigma2))
    got = here.beta_covariance_derivatives()
    # Towards a matrix that is positive definite, so that differences stay inside the cone.
    away = problem.space.vector(Covariances(tuple(np.eye(len(S)) for S in sigmas), 1.0))
    h = 1e-6
    numeric = (here.move(here.vector + h * away).beta_covariance() - here.beta_covariance()) / h
    np.testing.assert_allclose(
        np.tensordot(away, got, 1), numeric, rtol=1e-4, atol=1e-5 * np.abs(numeric).max()
    )


def test_saved_and_loaded(tmp_path: object) -> None:
    got = fit(CASES["cake"])
    got.save(f"{tmp_path}/cov")
    back = mfx.load_covariance(f"{tmp_path}/cov")
    pd.testing.assert_frame_equal(back.fixef_table(), got.fixef_table(), check_exact=True)
    names = CASES["cake"]["tests"][0]["names"]
    pd.testing.assert_series_equal(mfx.test_fixef(back, names), mfx.test_fixef(got, names))

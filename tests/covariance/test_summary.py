"""The printed summary beside lme4's and lmerTest's."""

from __future__ import annotations

import json

import goldens
import numpy as np
import pytest

import mixedfx as mfx
from mixedfx.covariance.result import CovarianceResult

LMERTEST = json.loads((goldens.FOLDER / "satterthwaite" / "satterthwaite.json").read_text())["cases"]


def fit(case: str) -> CovarianceResult:
    golden = goldens.load(case)
    method = golden.method if golden.method in ("reml", "ml") else "ml"
    return mfx.learn_covariance(
        golden.formula, golden.data(), family=golden.family, method=method, weights=golden.weights
    )


def test_parts_come_in_lme4s_order() -> None:
    text = str(fit("sleepstudy_reml").summary())
    parts = [
        "Covariances by restricted maximum likelihood (REML)",
        "Formula: Reaction",
        "REML criterion at convergence: 1743.6283",
        "Scaled residuals:",
        "-3.9536 -0.4634 0.0231 0.4634 5.1793",
        "Random effects:",
        "Number of obs: 180, groups: Subject, 18",
        "Fixed effects:",
        "Estimate Std. Error  df t value    Pr(>|t|)",
        "Days          10.467     1.5458  17  6.7715  3.2638e-06",
        "Correlation of fixed effects:",
        "Days      -0.138",
        "Convergence:",
        "scaled gradient",
    ]
    places = [text.find(part) for part in parts]
    assert -1 not in places
    assert places == sorted(places)


def test_maximum_likelihood_shows_information_criteria() -> None:
    """AIC, BIC, logLik, deviance and df.resid as lme4 prints them."""
    text = str(fit("sleepstudy_ml").summary())
    line = text.splitlines()[text.splitlines().index(next(s for s in text.splitlines() if "AIC" in s)) + 1]
    assert [float(value) for value in line.split()] == pytest.approx(
        [1763.9, 1783.1, -876.0, 1751.9, 174], abs=0.05
    )


@pytest.mark.parametrize(
    "case", ["sleepstudy_reml", "sleepstudy_ml", "sleepstudy_weighted", "cake", "penicillin"]
)
def test_scaled_residuals_and_correlations_are_lme4s(case: str) -> None:
    got, expected = fit(case), LMERTEST[case]
    np.testing.assert_allclose(got.stats["scaled_residuals"], expected["residuals"], atol=1e-5)
    assert got.fixef_covariance is not None
    se = np.sqrt(np.diag(got.fixef_covariance))
    correlation = got.fixef_covariance.to_numpy() / np.outer(se, se)
    np.testing.assert_allclose(correlation, expected["correlation"], atol=1e-6)


@pytest.mark.parametrize(
    ("case", "quartiles"),
    [
        # As print(summary(glmer(...))) shows them.
        ("cbpp_herd", [-2.3816, -0.7889, -0.2026, 0.5142, 2.8791]),
        ("grouseticks", [-1.6123, -0.5536, -0.1486, 0.2850, 2.4430]),
    ],
)
def test_scaled_residuals_of_generalized_fits(case: str, quartiles: list[float]) -> None:
    # lme4's default tolerance leaves 1e-3 in cbpp's.
    np.testing.assert_allclose(fit(case).stats["scaled_residuals"], quartiles, atol=1e-3)


def test_ordered_categories_have_no_residuals_and_many_coefficients_no_correlations() -> None:
    text = str(fit("wine").summary())
    assert "Scaled residuals" not in text
    assert "Pr(>|z|)" in text
    assert "Correlation of fixed effects" not in str(fit("cake").summary())
    assert "Correlation of fixed effects" not in str(fit("dyestuff").summary())

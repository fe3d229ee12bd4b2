"""Predictive checks: data that the model gives pass, other data are named; each family has the checks that fit it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mixedfx.checks.predictive import Predictive, check_predictive, predictive_checks
from mixedfx.checks.thresholds import Thresholds
from mixedfx.coefficients.estimate import estimate_coefficients
from mixedfx.coefficients.result import CoefficientsResult
from mixedfx.varcorr import VarCorr

FORMULA = "y ~ 1 + x + (1 | g)"
KINDS = {
    "gaussian": ["residuals"],
    "bernoulli": ["categories", "calibration"],
    "binomial": ["calibration"],
    "poisson": ["categories"],
    "cumulative": ["categories", "calibration"],
}


def varcorr(residual: bool, variance: float = 0.5) -> VarCorr:
    rows = [("g", "(Intercept)", None, variance)] + [("Residual", None, None, 1.0)] * residual
    return VarCorr.from_frame(pd.DataFrame(rows, columns=["grp", "var1", "var2", "vcov"]))


def made(family: str, n: int = 4000) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    g, x = rng.integers(0, 200, n), rng.standard_normal(n)
    eta = 0.2 + 0.5 * x + np.sqrt(0.5) * rng.standard_normal(200)[g]
    p = 1 / (1 + np.exp(-eta))
    trials = rng.integers(1, 9, n)
    latent = eta + rng.logistic(size=n)
    y = {
        "gaussian": eta + rng.standard_normal(n),
        "bernoulli": rng.random(n) < p,
        "binomial": rng.binomial(trials, p) / trials,
        "poisson": rng.poisson(np.exp(eta)),
        "cumulative": np.searchsorted([-1.0, 0.5, 2.0], latent),
    }[family]
    return pd.DataFrame({"y": y, "x": x, "g": g, "n": trials.astype(float)})


def fitted(family: str, data: pd.DataFrame, **changes: float) -> CoefficientsResult:
    weights = "n" if family == "binomial" else None
    vc = varcorr(family == "gaussian", **changes)
    return estimate_coefficients(FORMULA, data, vc, family=family, weights=weights)


def checks(family: str, data: pd.DataFrame, **changes: float) -> tuple[Predictive, ...]:
    found = predictive_checks(fitted(family, data, **changes), data)
    assert not isinstance(found, str)
    return found


@pytest.mark.parametrize("family", list(KINDS))
def test_data_of_the_model_pass_the_checks_of_its_family(family: str) -> None:
    found = checks(family, made(family))
    assert [each.kind for each in found] == KINDS[family]
    for each in found:
        # 4,000 rows in 10 bins: a share has a standard error of at most 0.025, and the largest of ten reaches 3.
        assert each.distance < 0.08
        assert each.p_value > 1e-3
        table = each.table.dropna()
        assert (table["lower"] <= table["upper"]).all()
    assert {finding.status for finding in check_predictive(found, Thresholds())} == {"ok"}


def test_shares_are_those_of_the_data() -> None:
    data = made("cumulative")
    categories, _ = checks("cumulative", data)
    expected = data["y"].value_counts(normalize=True).sort_index()
    np.testing.assert_allclose(categories.table["observed"], expected)
    assert categories.table["at"].tolist() == ["0", "1", "2", "3"]
    assert categories.table["expected"].sum() == pytest.approx(1)


def test_residuals_of_another_distribution_are_named() -> None:
    data = made("gaussian")
    rng = np.random.default_rng(0)
    skewed = data.assign(y=data["x"] + rng.exponential(1.0, len(data)) - 1)
    (found,) = checks("gaussian", skewed)
    (finding,) = check_predictive((found,), Thresholds(predictive=(0.05, 0.2)))
    # An exponential less its mean lies furthest from a normal, 0.16, near the mode.
    assert found.distance == pytest.approx(0.16, abs=0.05)
    assert finding.status == "warn"
    assert "predictive plot" in finding.remedy


def test_counts_with_more_spread_than_poisson_are_named() -> None:
    data = made("poisson")
    rng = np.random.default_rng(0)
    zeros = data.assign(y=np.where(rng.random(len(data)) < 0.4, 0, 3 * data["y"]))
    (found,) = checks("poisson", zeros)
    (finding,) = check_predictive((found,), Thresholds())
    assert finding.status == "warn"
    assert found.where in ("0", "1", "2")


def test_a_slope_that_is_not_a_line_is_seen_in_the_calibration() -> None:
    data = made("bernoulli")
    rng = np.random.default_rng(0)
    bent = data.assign(y=rng.random(len(data)) < np.where(data["x"] > 0, 0.95, 0.05))
    bent["y"] = np.where(data["x"].abs() > 1.5, rng.random(len(data)) < 0.5, bent["y"])
    _, calibration = checks("bernoulli", bent)
    assert calibration.distance > 0.15


def test_why_there_are_none_is_said() -> None:
    data = made("gaussian")
    vc = varcorr(residual=True)
    coef = estimate_coefficients(FORMULA, data, vc, weights=np.ones(len(data)))
    for found, why in (
        (predictive_checks(coef, data), "weights were an array"),
        (predictive_checks(coef, None), "not given"),
        (predictive_checks(fitted("gaussian", data), data.iloc[:1]), "no complete rows"),
    ):
        assert isinstance(found, str)
        assert why in found
        (finding,) = check_predictive(found, Thresholds())
        assert finding.status == "skipped"

"""Likelihood-ratio tables against lme4's anova, and the mixture at the boundary."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import goldens
import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2

import mixedfx as mfx
from mixedfx.covariance.result import CovarianceResult
from mixedfx.linalg import probes as probing

ANOVA = json.loads((goldens.FOLDER / "anova" / "anova.json").read_text())


def agrees(table: pd.DataFrame, expected: dict[str, list[float | None]]) -> None:
    assert table["npar"].tolist() == expected["npar"]
    for column in ("AIC", "BIC", "loglik"):
        np.testing.assert_allclose(table[column], np.array(expected[column], dtype=float), rtol=1e-8)
    for column in ("chisq", "df", "p"):
        # Differences of log-likelihoods to 1e-7, and lme4's p-values change in proportion to them.
        np.testing.assert_allclose(table[column], np.array(expected[column], dtype=float), rtol=1e-6)


def test_reml_fits_are_fitted_again() -> None:
    data, case = goldens.data("sleepstudy"), ANOVA["sleepstudy"]
    fits = [mfx.learn_covariance(formula, data) for formula in case["formulas"]]
    assert {fit.method for fit in fits} == {"reml"}
    agrees(mfx.compare_models(*fits, data=data), case["table"])


def test_generalized_models_in_any_order() -> None:
    data, case = goldens.data("cbpp"), ANOVA["cbpp"]
    fits = [
        mfx.learn_covariance(formula, data, family="binomial", weights="size") for formula in case["formulas"]
    ]
    table = mfx.compare_models(*reversed(fits), names=["period", "null"])
    assert table.index.tolist() == ["null", "period"]
    agrees(table, case["table"])


def ml(formula: str, data: pd.DataFrame) -> CovarianceResult:
    return mfx.learn_covariance(formula, data, method="ml")


def test_mixture_at_the_boundary() -> None:
    """A new scalar variance: half the p-value. A new slope with its covariance: the mean of 1 and 2 degrees."""
    data = goldens.data("Penicillin")
    table = mfx.compare_models(
        ml("diameter ~ 1 + (1 | plate)", data), ml("diameter ~ 1 + (1 | plate) + (1 | sample)", data)
    )
    assert table["p_boundary"].iloc[1] == pytest.approx(0.5 * table["p"].iloc[1])
    data = goldens.data("sleepstudy")
    one, two = (f"Reaction ~ 1 + Days + (1 {x}| Subject)" for x in ("", "+ Days "))
    last = mfx.compare_models(ml(one, data), ml(two, data)).iloc[1]
    assert last["df"] == 2
    assert last["p_boundary"] == pytest.approx(0.5 * (chi2.sf(last["chisq"], 1) + chi2.sf(last["chisq"], 2)))


def test_no_mixture_for_other_differences() -> None:
    data = goldens.data("sleepstudy")
    slopes = ml("Reaction ~ 1 + Days + (1 + Days || Subject)", data)
    assert np.isnan(
        mfx.compare_models(ml("Reaction ~ 1 + (1 | Subject)", data), slopes)["p_boundary"].iloc[1]
    )
    correlated = ml("Reaction ~ 1 + Days + (1 + Days | Subject)", data)
    assert np.isnan(mfx.compare_models(slopes, correlated)["p_boundary"].iloc[1])


def test_a_variance_estimated_at_zero_has_p_one() -> None:
    data = goldens.data("Dyestuff2").assign(g=np.arange(30) % 3)
    table = mfx.compare_models(ml("Yield ~ 1 + (1 | g)", data), ml("Yield ~ 1 + (1 | g) + (1 | Batch)", data))
    assert table["chisq"].iloc[1] == pytest.approx(0, abs=1e-8)
    assert table["p_boundary"].iloc[1] == pytest.approx(1.0, abs=1e-3)


def test_what_cannot_be_compared() -> None:
    data = goldens.data("sleepstudy")
    fit = ml("Reaction ~ 1 + (1 | Subject)", data)
    error = mfx.errors.SettingError
    with pytest.raises(error, match="two fits"):
        mfx.compare_models(fit)
    with pytest.raises(error, match="1 names"):
        mfx.compare_models(fit, fit, names=["a"])
    with pytest.raises(error, match=r"number of rows \(180 and 170\)"):
        mfx.compare_models(fit, ml("Reaction ~ 1 + (1 | Subject)", data.iloc[:170]))
    with pytest.raises(error, match=r"response \(Reaction and log\(Reaction\)\)"):
        mfx.compare_models(fit, ml("log(Reaction) ~ 1 + (1 | Subject)", data))
    restricted = mfx.learn_covariance("Reaction ~ 1 + (1 | Subject)", data)
    with pytest.raises(error, match=r"model 2 was fitted by REML.*data="):
        mfx.compare_models(fit, restricted)
    with pytest.raises(error, match="170 complete rows"):
        mfx.compare_models(fit, restricted, data=data.iloc[:170])


def test_fits_to_other_data_of_the_same_size_are_refused(tmp_path: Path) -> None:
    data = goldens.data("sleepstudy").assign(w=np.linspace(1, 2, 180))
    formula = "Reaction ~ 1 + (1 | Subject)"
    fit = ml(formula, data)
    other = ml(formula, data.assign(Reaction=data["Reaction"] + (data["Days"] == 3)))
    with pytest.raises(mfx.errors.SettingError, match="different data: the values of the response differ"):
        mfx.compare_models(fit, other)
    other.save(tmp_path)
    with pytest.raises(mfx.errors.SettingError, match="the values of the response differ"):
        mfx.compare_models(fit, mfx.load_covariance(tmp_path))
    weighted = mfx.learn_covariance(formula, data, method="ml", weights="w")
    with pytest.raises(mfx.errors.SettingError, match="the weights differ"):
        mfx.compare_models(fit, weighted)
    # The order of the rows is of no account.
    shuffled = ml("Reaction ~ 1 + Days + (1 | Subject)", data.sample(frac=1.0, random_state=0))
    assert mfx.compare_models(fit, shuffled)["df"].iloc[1] == 1


def test_a_larger_model_that_was_not_maximised_is_named() -> None:
    data = goldens.data("sleepstudy")
    small = ml("Reaction ~ 1 + Days + (1 | Subject)", data)
    large = ml("Reaction ~ 1 + Days + (1 + Days | Subject)", data)
    short = replace(large, loglik=small.loglik - 0.5)
    with pytest.warns(
        mfx.errors.ConvergenceWarning, match=r"model 2 contains model 1.*0\.5 lower.*another start"
    ):
        table = mfx.compare_models(small, short)
    assert table["chisq"].iloc[1] == 0
    # Of models that do not contain each other either may be the better one.
    apart = ml("Reaction ~ 1 + (1 + Days | Subject)", data)
    mfx.compare_models(small, replace(apart, loglik=small.loglik - 0.5))


@pytest.fixture(scope="module")
def refined() -> list[CovarianceResult]:
    """Of nested models, the larger one with a fixed effect that means nothing; by 8 probes, so that much is open."""
    rng = np.random.default_rng(2)
    n = 4000
    data = pd.DataFrame({"g": rng.integers(0, 300, n), "h": rng.integers(0, 250, n), "x": rng.normal(size=n)})
    data["z"] = rng.normal(size=n)
    data["y"] = rng.normal(size=300)[data["g"]] + rng.normal(size=250)[data["h"]] + rng.normal(size=n)
    data["y"] += 0.5 * data["z"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probing, "COMPLETE_WORK", 0)
        fits = []
        for fixed, seed in (("1", 1), ("x", 2), ("x + z", 3)):
            start = ml(f"y ~ {fixed} + (1 | g) + (1 | h)", data)
            formula = f"y ~ {fixed} + (1 | g) + (1 | h)"
            fits.append(mfx.refine_covariance(formula, data, start, method="ml", accuracy=0.1, seed=seed))
        fits.append(mfx.refine_covariance(formula, data, fits[-1], accuracy=0.1, seed=seed))
        again = mfx.compare_models(fits[1], fits[3], data=data)  # REML: fitted again, by probes as well
    assert again["chisq_se"].iloc[1] > 0
    return fits


def test_differences_that_random_probes_leave_open(refined: list[CovarianceResult]) -> None:
    nothing, noise, signal, _ = refined
    error = 2 * np.hypot(nothing.stats["loglik_se"], noise.stats["loglik_se"])
    with pytest.warns(
        mfx.errors.ConvergenceWarning, match="cannot tell null and noise apart.* smaller accuracy="
    ):
        table = mfx.compare_models(nothing, noise, names=["null", "noise"])
    assert table["chisq_se"].iloc[1] == pytest.approx(error)
    table = mfx.compare_models(noise, signal)  # nothing to warn of
    assert table["chisq"].iloc[1] > 10 * table["chisq_se"].iloc[1]


def test_exact_fits_have_no_such_column() -> None:
    data = goldens.data("sleepstudy")
    table = mfx.compare_models(
        ml("Reaction ~ 1 + (1 | Subject)", data), ml("Reaction ~ Days + (1 | Subject)", data)
    )
    assert "chisq_se" not in table

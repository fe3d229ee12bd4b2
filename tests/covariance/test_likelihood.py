"""REML and ML fits against lme4, at the boundary, and on bad input."""

from __future__ import annotations

import goldens
import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx

GAUSSIAN = [case for case in goldens.cases() if goldens.load(case).method in ("reml", "ml")]


@pytest.mark.parametrize("case", GAUSSIAN)
def test_agrees_with_lme4(case: str) -> None:
    """Criterion to 1e-6 or better than lme4's; parameters as far as the criterion determines them."""
    golden = goldens.load(case)
    fit = mfx.learn_covariance(golden.formula, golden.data(), method=golden.method, weights=golden.weights)
    assert fit.converged
    assert fit.deviance <= golden.criterion + 1e-6
    assert fit.deviance == pytest.approx(golden.criterion, abs=1e-5)
    keys = ["grp", "var1", "var2"]
    both = fit.standard_errors.merge(golden.varcorr, on=keys, how="outer", suffixes=("", "_lme4"))
    assert len(both) == len(golden.varcorr) == len(fit.standard_errors)
    # lme4's own optimum is off by its gradient; an error of 1e-4 standard errors changes the criterion by 1e-8.
    free = both["se"].notna()
    assert (np.abs(both["vcov"] - both["vcov_lme4"])[free] < 1e-4 * both["se"][free]).all()
    # Entries of a singular block have no standard error: measured by the residual variance instead.
    assert (np.abs(both["vcov"] - both["vcov_lme4"])[~free] < 1e-5 * golden.varcorr["vcov"].iloc[-1]).all()
    np.testing.assert_allclose(
        fit.fixef[golden.fixef.index], golden.fixef, atol=1e-6 * golden.fixef.abs().max()
    )
    np.testing.assert_allclose(fit.fixef_se[golden.fixef.index], golden.fixef_se, rtol=1e-5)
    np.testing.assert_allclose(fit.sigma, golden.sigma, rtol=1e-5)
    assert bool(fit.boundary) == golden.singular


def test_insteval_by_the_published_numbers() -> None:
    fit = mfx.learn_covariance("y ~ 1 + (1 | s) + (1 | d)", mfx.datasets.load_insteval())
    assert fit.reml_criterion == pytest.approx(237783.8804, abs=1e-3)
    np.testing.assert_allclose(fit.varcorr.to_frame()["vcov"], [0.10621, 0.27373, 1.38718], rtol=1e-4)


def test_theta_is_lme4s() -> None:
    golden = goldens.load("sleepstudy_reml")
    fit = mfx.learn_covariance(golden.formula, golden.data())
    np.testing.assert_allclose(fit.theta, golden.theta, rtol=1e-4)


def test_a_start_at_zero_is_left() -> None:
    """A variance of 0 is stationary in theta for every model; Dyestuff's optimum is inside all the same."""
    golden = goldens.load("dyestuff")
    start = golden.varcorr.assign(vcov=[0.0, 4000.0])
    fit = mfx.learn_covariance(golden.formula, golden.data(), start=mfx.VarCorr.from_frame(start))
    assert fit.converged
    assert fit.boundary == ()
    assert fit.deviance == pytest.approx(golden.criterion, abs=1e-6)


@pytest.mark.parametrize("scale", [1e-8, 1e-3, 1e3])
def test_far_starts_reach_the_same_optimum(scale: float) -> None:
    golden = goldens.load("sleepstudy_reml")
    start = golden.varcorr.assign(vcov=golden.varcorr["vcov"] * [scale, 1 / scale, 0.0, 1.0])
    fit = mfx.learn_covariance(golden.formula, golden.data(), start=mfx.VarCorr.from_frame(start))
    assert fit.converged
    assert fit.deviance == pytest.approx(golden.criterion, abs=1e-6)


def test_over_parameterised_slopes_end_at_the_boundary() -> None:
    """Slopes that the data do not have: converged, singular, and named."""
    rng = np.random.default_rng(5)
    g = np.repeat(np.arange(20), 15)
    x = rng.standard_normal((2, 300))
    y = rng.standard_normal(20)[g] * (1 + 0.5 * x[0]) + rng.standard_normal(300)
    data = pd.DataFrame({"y": y, "g": g, "x": x[0], "v": x[1]})
    fit = mfx.learn_covariance("y ~ 1 + x + v + (1 + x + v | g)", data)
    assert fit.converged
    assert fit.boundary
    assert all(name.startswith("g") for name in fit.boundary)
    # No neighbour inside the cone is better: any positive semidefinite direction lowers the likelihood.
    S = fit.varcorr["g"].to_numpy()
    for direction in [np.outer(e, e) for e in rng.standard_normal((20, 3))]:
        moved = S + 1e-4 * (direction - S)
        frame = fit.varcorr.to_frame()
        rows = frame["grp"] == "g"
        order = ["(Intercept)", "x", "v"]
        frame.loc[rows, "vcov"] = [
            moved[order.index(a), order.index(b if isinstance(b, str) else a)]
            for a, b in frame.loc[rows, ["var1", "var2"]].to_numpy()
        ]
        assert loglik_at("y ~ 1 + x + v + (1 + x + v | g)", data, frame) < fit.loglik


def loglik_at(formula: str, data: pd.DataFrame, frame: pd.DataFrame) -> float:
    from mixedfx.covariance.gaussian import GaussianProblem
    from mixedfx.covariance.parameters import Covariances
    from mixedfx.design import build_design

    design = build_design(formula, data)
    varcorr = mfx.VarCorr.from_frame(frame).align(design.predictors.terms)
    point = Covariances(tuple(b.matrix for b in varcorr.blocks), varcorr.sigma2 or 1.0)
    return GaussianProblem.of(design, reml=True).at(point).loglik


def test_uncorrelated_terms_have_no_covariance() -> None:
    golden = goldens.load("sleepstudy_uncorrelated")
    fit = mfx.learn_covariance(golden.formula, golden.data())
    assert len(fit.varcorr.to_frame()) == 3
    assert fit.varcorr["Subject"].iloc[0, 1] == 0


def test_as_many_coefficients_as_rows_is_refused() -> None:
    data = pd.DataFrame({"y": [1.0, 2.0, 3.0, 5.0], "g": list("abcd")})
    with pytest.raises(mfx.errors.DataError, match=r"'g' has 4 coefficients.*4 observations"):
        mfx.learn_covariance("y ~ 1 + (1 | g)", data)


def test_unknown_methods_are_named() -> None:
    data = goldens.data("sleepstudy")
    with pytest.raises(mfx.errors.SettingError, match=r"'mcmc'.*reml.*ml.*nuts"):
        mfx.learn_covariance("Reaction ~ 1 + (1 | Subject)", data, method="mcmc")
    with pytest.raises(mfx.errors.SettingError, match=r"bernoulli.*nuts"):
        mfx.learn_covariance(
            "b ~ 1 + (1 | Subject)", data.assign(b=data["Days"] > 4), family="bernoulli", method="reml"
        )


def test_summary_reads_like_lme4s() -> None:
    golden = goldens.load("sleepstudy_reml")
    text = str(mfx.learn_covariance(golden.formula, golden.data()).summary())
    for part in ("REML criterion at convergence: 1743.6283", "Random effects", "Number of obs: 180", "Days"):
        assert part in text


@pytest.mark.parametrize("shift", [1e3, 1e6, 1e8])
def test_a_large_mean_costs_no_digits(shift: float) -> None:
    golden = goldens.load("sleepstudy_reml")
    data = golden.data()
    fit = mfx.learn_covariance(golden.formula, data.assign(Reaction=data["Reaction"] + shift))
    assert fit.converged
    assert fit.deviance == pytest.approx(golden.criterion, abs=1e-5)
    assert fit.fixef["(Intercept)"] - shift == pytest.approx(golden.fixef["(Intercept)"], abs=1e-6)


def test_what_rounding_spoils_is_not_frozen() -> None:
    """A slope far from its origin: intercept and slope can no longer be told apart in double precision."""
    data = goldens.data("sleepstudy")
    with pytest.warns(mfx.errors.ConvergenceWarning, match=r"'Days'.*'Subject', lies far from 0.*Centre it"):
        fit = mfx.learn_covariance(
            "Reaction ~ 1 + Days + (1 + Days | Subject)", data.assign(Days=data["Days"] + 5e4)
        )
    assert not fit.converged
    assert not fit.varcorr.freezable


@pytest.mark.parametrize("family", ["gaussian", "poisson"])
def test_memory_is_estimated_before(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from mixedfx.linalg import memory

    data = mfx.datasets.load_insteval().head(2000)
    monkeypatch.setattr(memory, "available_bytes", lambda: 1_000)
    with pytest.raises(mfx.errors.ResourceError, match=r"79 levels x 1 of 's'.*GiB.*subsample="):
        mfx.learn_covariance("y ~ 1 + (1 | s) + (1 | d)", data, family=family)


def test_deep_nesting_needs_no_large_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    """2,000 classes in 100 schools: blocks of 21 columns each, 1 % of the full matrix."""
    from mixedfx.linalg import memory

    rng = np.random.default_rng(0)
    pupil = np.repeat(np.arange(8_000), 2)
    data = pd.DataFrame({"pupil": pupil, "class": pupil // 4, "school": pupil // 80})
    data["y"] = rng.standard_normal(len(data)) + 0.7 * rng.standard_normal(2_000)[data["class"]]
    data["y"] += rng.standard_normal(8_000)[pupil] + 0.5 * rng.standard_normal(100)[data["school"]]
    monkeypatch.setattr(memory, "available_bytes", lambda: 8 * 2_100**2)
    fit = mfx.learn_covariance("y ~ 1 + (1 | school/class/pupil)", data)
    assert fit.converged
    # Three standard errors, of which the 100 schools' is the largest: 0.25 sqrt(2 / 100) / reliability of 0.7.
    variances = fit.varcorr.to_frame().set_index("grp")["vcov"]
    assert variances["school"] == pytest.approx(0.25, abs=0.15)
    assert variances["class:school"] == pytest.approx(0.49, abs=0.1)

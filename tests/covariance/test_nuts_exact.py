"""NUTS against posteriors known by quadrature, and on designs that are hard to sample."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import mixedfx as mfx
from mixedfx.covariance.nuts import sample_nuts
from mixedfx.covariance.priors import Priors, choose_priors
from mixedfx.covariance.result import CovarianceResult
from mixedfx.design import Design, build_design
from mixedfx.families import get_family

J, N_EACH = 6, 5


def one_way() -> Design:
    rng = np.random.default_rng(8)
    g = np.repeat(np.arange(J), N_EACH)
    y = 3 + rng.standard_normal(J)[g] + 1.5 * rng.standard_normal(len(g))
    return build_design("y ~ 1 + (1 | g)", pd.DataFrame({"y": y, "g": g}))


def posterior_means(design: Design, priors: Priors) -> tuple[float, float]:
    """E[sigma_g^2] and E[sigma^2] of the balanced one-way model by quadrature, beta and b integrated out.

    y is normal with covariance sigma^2 I + sigma_g^2 ZZ' + s^2 11', whose eigenspaces are the mean, the level means and
    what is within levels.
    """
    levels = design.y.reshape(J, N_EACH)
    within = ((levels - levels.mean(axis=1, keepdims=True)) ** 2).sum()
    between = N_EACH * ((levels.mean(axis=1) - levels.mean()) ** 2).sum()
    (beta_loc, beta_scale), (df, sd_scale) = priors.fixed[0].arguments, priors.sd["g"][0].arguments
    mean = len(design.y) * (levels.mean() - beta_loc) ** 2
    sd_g = np.linspace(0, 12, 1201)[:, None]
    sigma = np.linspace(0.5, 5, 601)[None, :]
    level = sigma**2 + N_EACH * sd_g**2
    total = level + len(design.y) * beta_scale**2
    log_density = -0.5 * (
        J * (N_EACH - 1) * np.log(sigma**2)
        + within / sigma**2
        + (J - 1) * np.log(level)
        + between / level
        + np.log(total)
        + mean / total
    )
    log_density += stats.t.logpdf(sd_g, df, scale=sd_scale)
    log_density = log_density + stats.t.logpdf(sigma, *priors.sigma.arguments[:1], scale=priors.sigma.scale)
    weight = np.exp(log_density - log_density.max())
    weight /= weight.sum()
    return float((weight * sd_g**2).sum()), float((weight * sigma**2).sum())


def test_posterior_means_are_those_of_quadrature() -> None:
    design = one_way()
    family = get_family("gaussian")
    given = {"Sigma_g": {"sd": 1.0}}
    fit = sample_nuts(design, family, priors=given, draws=2000, warmup=500, chains=2, seed=2)
    exact = posterior_means(design, choose_priors(design, family, given))
    error = np.abs(fit.standard_errors["vcov"].to_numpy() - exact) / fit.standard_errors["mcse"]
    assert (error < 4).all()
    assert fit.converged, fit.varcorr.why
    assert (fit.standard_errors["ess_bulk"] > 0.2 * 4000).all()


@pytest.fixture(scope="module")
def nested() -> CovarianceResult:
    """Casks that differ much, with precise measurements, within batches that hardly differ."""
    rng = np.random.default_rng(9)
    batch = np.repeat(np.arange(12), 6)
    cask = np.repeat(np.arange(36), 2)
    y = 60 + rng.standard_normal(12)[batch] + 3 * rng.standard_normal(36)[cask]
    frame = pd.DataFrame({"y": y + 0.7 * rng.standard_normal(72), "batch": batch, "cask": cask % 3})
    return mfx.learn_covariance(
        "y ~ 1 + (1 | batch/cask)", frame, method="nuts", draws=500, warmup=500, seed=2
    )


def test_nested_factors_mix(nested: CovarianceResult) -> None:
    """Without coupled coordinates this has dozens of divergences and effective sizes below 5 % of the draws."""
    assert nested.converged, nested.varcorr.why
    assert nested.stats["divergences"] == 0
    assert (nested.standard_errors["ess_bulk"] > 0.2 * 2000).all()
    assert nested.stats["mean_steps"] < 30


def test_draws_of_the_parts_belong_together(nested: CovarianceResult) -> None:
    """In every draw the effects vary as that draw's Sigma says: Sigma_k^-1/2 b_k has mean square about 1."""
    posterior = nested.posterior["posterior"]
    for factor, levels in (("batch", 12), ("cask:batch", 36)):
        assert posterior[f"b_{factor}"].dtype == np.float32
        square = (posterior[f"b_{factor}"] ** 2).mean((factor, f"{factor}_coef"))
        ratio = (square / posterior[f"Sigma_{factor}"].squeeze()).to_numpy().ravel()
        # A chi-square over its degrees of freedom a priori; a posteriori too, averaged over draws, but for shrinkage.
        assert abs(ratio.mean() - 1) < 5 / np.sqrt(levels)


def test_a_standard_deviation_near_zero_mixes() -> None:
    rng = np.random.default_rng(10)
    g = rng.integers(0, 30, 300)
    x = rng.standard_normal(300)
    y = 0.6 * rng.standard_normal(30)[g] + rng.standard_normal(300)
    frame = pd.DataFrame({"y": y, "x": x, "g": g})
    fit = mfx.learn_covariance("y ~ x + (x | g)", frame, method="nuts", draws=500, warmup=500, seed=4)
    slope = fit.standard_errors.iloc[1]
    assert slope["q05"] < 0.003  # REML has about 0 here, so the posterior reaches down to it
    assert fit.converged, fit.varcorr.why
    assert slope["ess_bulk"] > 0.2 * 2000


def test_same_seed_same_draws_whatever_runs_beside() -> None:
    design = one_way()
    family = get_family("gaussian")
    settings = {"priors": {"Sigma_g": {"sd": 1.0}}, "draws": 120, "warmup": 500, "chains": 2}
    a, b = (sample_nuts(design, family, seed=2, **settings) for _ in range(2))
    np.testing.assert_array_equal(a.posterior["posterior"]["b_g"], b.posterior["posterior"]["b_g"])
    c = sample_nuts(design, family, seed=3, **settings)
    assert (a.posterior["posterior"]["sigma"] != c.posterior["posterior"]["sigma"]).any()
    assert a.stats["compile_seconds"] < 1  # the same shape was compiled before


def test_models_without_fixed_effects() -> None:
    rng = np.random.default_rng(11)
    g = np.repeat(np.arange(20), 10)
    offset = rng.standard_normal(200)
    y = offset + rng.standard_normal(20)[g] + rng.standard_normal(200)
    frame = pd.DataFrame({"y": y, "sample": g, "o": offset})  # a name that ArviZ has doubts about
    fit = mfx.learn_covariance(
        "y ~ 0 + offset(o) + (1 | sample)", frame, method="nuts", draws=200, warmup=200, seed=1
    )
    assert len(fit.fixef) == len(fit.fixef_se) == 0
    assert abs(fit.varcorr.sigma - 1) < 0.3
    assert set(fit.posterior["posterior"].data_vars) == {"sigma", "Sigma_sample", "b_sample"}


def test_a_factor_called_like_a_parameter_is_refused() -> None:
    frame = pd.DataFrame({"y": np.arange(20.0), "sigma": np.repeat([1, 2, 3, 4], 5)})
    with pytest.raises(mfx.errors.FormulaError, match=r"'sigma'.*rename"):
        mfx.learn_covariance("y ~ 1 + (1 | sigma)", frame, method="nuts")

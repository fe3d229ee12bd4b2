"""Covariances with the random effects integrated out: densities, conditional draws, agreement with NUTS."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from problems import frame
from scipy import stats

import mixedfx as mfx
from mixedfx.checks.posterior import entry_draws
from mixedfx.covariance import marginal
from mixedfx.covariance.marginal_target import GaussianTarget, LaplaceTarget, marginal_target
from mixedfx.covariance.priors import centring, choose_priors
from mixedfx.covariance.result import CovarianceResult
from mixedfx.design import Design, build_design
from mixedfx.errors import ConvergenceWarning, NotFreezableError
from mixedfx.families import Family, get_family

Floats = NDArray[np.float64]

FORMULA = "y ~ 1 + x + (1 + x | g) + (1 | h)"


def target(formula: str = FORMULA, family: str = "gaussian", given: dict[str, object] | None = None):
    design = build_design(formula, frame(np.random.default_rng(5), 150), family=family)
    chosen = get_family(family)
    return design, marginal_target(design, chosen, choose_priors(design, chosen, given))


def dense(design: Design) -> tuple[Floats, Floats, list[tuple[str, int, int]]]:
    """X, Z (N, all coefficients) and the (factor, level, coefficient) of Z's columns."""
    columns, names = [], []
    for term in design.predictors.terms:
        z = design.predictors.z(term)
        for j in range(term.grouping.n_levels):
            for a in range(term.q):
                columns.append(np.where(term.grouping.codes == j, z[:, a], 0.0))
                names.append((term.name, j, a))
    return design.predictors.X(), np.array(columns).T, names


def test_the_gaussian_density_is_that_of_normal_fixed_effects() -> None:
    """y ~ N(X m, Z Sigma Z' + X S X' + sigma^2 I) with beta's prior N(m, S), densely, at several points."""
    design, own = target(given={"beta": {"normal": [0.2, 0.7]}})
    assert isinstance(own, GaussianTarget)
    X, Z, _ = dense(design)
    A = centring(design)
    mean, sd = np.linalg.solve(A, np.full(2, 0.2)), 0.7
    S = np.linalg.inv(A) @ np.linalg.inv(A).T * sd**2
    rng = np.random.default_rng(1)
    off = []
    for _ in range(3):
        zeta = own.start + 0.3 * rng.standard_normal(len(own.start))
        point = own.coordinates.point(zeta)
        blocks = [
            np.kron(np.eye(t.grouping.n_levels), M)
            for t, M in zip(design.predictors.terms, point.matrices, strict=True)
        ]
        n = len(blocks[0])
        G = np.zeros((Z.shape[1], Z.shape[1]))
        G[:n, :n], G[n:, n:] = blocks
        V = Z @ G @ Z.T + X @ S @ X.T + point.sigma2 * np.eye(len(X))
        expected = stats.multivariate_normal(X @ mean, V).logpdf(design.y)
        prior = own.coordinates.log_prior(zeta, own.priors)[0]
        off.append(own.at(zeta).log_density - expected - prior)
    np.testing.assert_allclose(off, off[0], atol=1e-6)


@pytest.mark.parametrize("family", ["gaussian", "bernoulli", "cumulative"])
def test_slopes_of_the_search(family: str) -> None:
    response = {"gaussian": "y", "bernoulli": "b", "cumulative": "o"}[family]
    _, own = target(FORMULA.replace("y ~", f"{response} ~"), family)
    x = own.start + 0.1
    step = 1e-4
    numeric = [
        (own.at(x + h).search()[0] - own.at(x - h).search()[0]) / (2 * step) for h in step * np.eye(len(x))
    ]
    np.testing.assert_allclose(own.at(x).search()[1], numeric, rtol=1e-4, atol=1e-4)


def test_gaussian_draws_have_the_conditional_moments() -> None:
    """(beta, b) given Sigma and y, with beta's prior: mean and covariance from the dense precision matrix."""
    design, own = target(given={"beta": {"normal": [0.0, 0.2]}})
    X, Z, names = dense(design)
    point = own.coordinates.point(own.start)
    D = np.hstack([Z, X])
    precision = D.T @ D / point.sigma2
    n = 0
    for term, S in zip(design.predictors.terms, point.matrices, strict=True):
        size = term.q * term.grouping.n_levels
        precision[n : n + size, n : n + size] += np.kron(np.eye(term.grouping.n_levels), np.linalg.inv(S))
        n += size
    A = centring(design)
    precision[n:, n:] += A.T @ A / 0.2**2
    covariance = np.linalg.inv(precision)
    mean = covariance @ (D.T @ design.y / point.sigma2)
    at, rng = own.at(own.start), np.random.default_rng(2)
    drawn = [at.draw(rng) for _ in range(3000)]
    draws = np.array([[*(d.b[f][j, a] for f, j, a in names), *d.beta] for d in drawn])
    sd = np.sqrt(np.diag(covariance))
    assert (np.abs(draws.mean(axis=0) - mean) < 4.5 * sd / np.sqrt(len(draws))).all()
    # A covariance of n draws errs by about 1 / sqrt(n) in units of the standard deviations.
    error = np.abs(np.cov(draws.T) - covariance) / np.outer(sd, sd)
    assert error.max() < 5.5 / np.sqrt(len(draws))


def test_laplace_draws_have_the_modes_moments() -> None:
    design, own = target("b ~ 1 + x + (1 + x | g) + (1 | h)", "bernoulli")
    assert isinstance(own, LaplaceTarget)
    at, rng = own.at(own.start), np.random.default_rng(2)
    drawn = [at.draw(rng) for _ in range(2000)]
    near = at._likelihood
    for term in design.predictors.terms:
        b = np.array([d.b[term.name] for d in drawn])
        sd = np.sqrt(np.diagonal(near.condvar[term.name], axis1=1, axis2=2))
        assert (np.abs(b.mean(axis=0) - near.b[term.name]) < 4.5 * sd / np.sqrt(len(b))).all()
        np.testing.assert_allclose(b.std(axis=0), sd, rtol=0.1)


def test_other_priors_of_gaussian_fixed_effects_weigh_the_draws() -> None:
    """Exponential tails that pull beta by a standard error, against NUTS; and the covariances with it."""
    formula, priors = "y ~ 1 + x + (1 | g)", {"beta": {"x": {"laplace": [0.0, 0.05]}}}
    fits = [
        mfx.learn_covariance(formula, small(), method=method, priors=priors, draws=1000, chains=2, seed=1)
        for method in ("nuts", "marginal")
    ]
    flat = mfx.learn_covariance(formula, small())
    nuts, own = fits
    error = nuts.fixef_se * np.sqrt(2 / 1000)
    assert (abs(own.fixef - nuts.fixef) < 4 * error).all()
    assert abs(own.fixef["x"] - flat.fixef["x"]) > 0.5 * flat.fixef_se["x"]
    np.testing.assert_allclose(own.fixef_se, nuts.fixef_se, rtol=0.15)
    z = (nuts.standard_errors["vcov"] - own.standard_errors["vcov"]) / np.hypot(
        nuts.standard_errors["mcse"], own.standard_errors["mcse"]
    )
    assert (z.abs() < 4).all()
    assert own.stats["pareto_k"] < 0.7


def small() -> pd.DataFrame:
    return frame(np.random.default_rng(5), 300)


@pytest.fixture(scope="module")
def fits() -> dict[str, CovarianceResult]:
    return {
        method: mfx.learn_covariance(FORMULA, small(), method=method, draws=1000, chains=2, seed=1)
        for method in ("nuts", "marginal", "vi")
    }


def test_the_marginal_posterior_is_that_of_nuts(fits: dict[str, CovarianceResult]) -> None:
    """Exact for gaussian models: means and tails within Monte Carlo error.

    Standard deviations of variances are no test: with 7 levels their own Monte Carlo error is without bound.
    """
    nuts, own = fits["nuts"].standard_errors, fits["marginal"].standard_errors
    z = (nuts["vcov"] - own["vcov"]) / np.hypot(nuts["mcse"], own["mcse"])
    assert (z.abs() < 4).all()
    for theirs, row in zip(nuts.to_dict("records"), own.to_dict("records"), strict=True):
        draws = entry_draws(fits["marginal"], row["grp"], row["var1"], row["var2"])
        error = np.sqrt(0.05 * 0.95 * (1 / theirs["ess_tail"] + 1 / min(row["ess_tail"], draws.size)))
        for quantile, p in (("q05", 0.05), ("q95", 0.95)):
            assert abs((draws <= theirs[quantile]).mean() - p) < 4 * error
    assert own["ess_bulk"].min() >= 1000
    assert fits["marginal"].stats["pareto_k"] < 0.7
    assert fits["marginal"].varcorr.freezable
    np.testing.assert_allclose(
        fits["marginal"].fixef, fits["nuts"].fixef, atol=0.15 * fits["nuts"].fixef_se.max()
    )
    np.testing.assert_allclose(fits["marginal"].fixef_se, fits["nuts"].fixef_se, rtol=0.15)
    for factor, b in fits["nuts"].ranef.items():
        sd = fits["nuts"].ranef_sd(factor)
        assert ((fits["marginal"].ranef[factor] - b).abs() < 0.25 * sd).all(axis=None)
        assert np.abs(fits["marginal"].ranef_sd(factor) / sd - 1).max(axis=None) < 0.2


def test_the_guides_bias_is_small(fits: dict[str, CovarianceResult]) -> None:
    """Of a normal distribution in free coordinates: half a posterior standard deviation with 7 levels."""
    nuts, own = fits["nuts"].standard_errors, fits["vi"].standard_errors
    assert ((nuts["vcov"] - own["vcov"]).abs() < 0.5 * nuts["se"]).all()
    assert fits["vi"].method == "vi"
    assert np.isfinite(fits["vi"].stats["pareto_k"])


def test_draws_of_equal_weight_are_a_sample_of_the_weighted_ones(fits: dict[str, CovarianceResult]) -> None:
    own = fits["marginal"]
    draws = own.posterior["posterior"]
    assert draws["Sigma_g"].shape == (1, 1000, 2, 2)
    assert draws["b_g"].shape == (1, 1000, 11, 2)
    off = draws["Sigma_g"].mean(("chain", "draw")).to_numpy() - own.varcorr["g"].to_numpy()
    se = own.standard_errors["se"].iloc[[0, 1]]
    assert (np.abs(np.diag(off)) < 4 * se / np.sqrt(1000)).all()
    statistics = own.posterior["sample_stats"]
    assert set(statistics.data_vars) == {"lp"}


def test_the_same_seed_gives_the_same_draws() -> None:
    a, b = (
        mfx.learn_covariance("y ~ 1 + (1 | g)", small(), method="marginal", draws=50, seed=3)
        for _ in range(2)
    )
    np.testing.assert_array_equal(a.posterior["posterior"]["b_g"], b.posterior["posterior"]["b_g"])
    pd.testing.assert_frame_equal(a.standard_errors, b.standard_errors)


def test_too_few_evaluations_are_not_frozen() -> None:
    with pytest.raises(NotFreezableError, match="effective sample size") as caught:
        mfx.fit(FORMULA, small(), method="marginal", draws=100, chains=1, subsample=None)
    lost = caught.value.result
    assert lost.posterior is not None
    assert not lost.converged


def test_bad_weights_fall_back_to_nuts(
    fits: dict[str, CovarianceResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}

    def sample_nuts(design: Design, family: Family, **options: Any) -> CovarianceResult:
        given.update(options, rows=design.n_rows, family=family.name)
        return fits["nuts"]

    monkeypatch.setattr(marginal, "MAX_PARETO_K", -10.0)
    monkeypatch.setattr("mixedfx.covariance.nuts.sample_nuts", sample_nuts)
    with pytest.warns(ConvergenceWarning, match="Pareto k is"):
        fit = mfx.learn_covariance(FORMULA, small(), method="marginal", draws=20, warmup=30, chains=2, seed=4)
    assert (given["draws"], given["warmup"], given["chains"], given["seed"]) == (20, 30, 2, 4)
    assert given["start"].factors == ("g", "h")
    assert fit.method == "nuts"
    assert fit.stats["marginal_pareto_k"] > -10


def test_thresholds_and_fixed_effects_of_ordinal_models() -> None:
    """Near Laplace's optimum: the priors are weak, and 300 rows say what thresholds are."""
    data = small()
    ml = mfx.learn_covariance("o ~ x + (1 | g)", data, family="cumulative")
    own = mfx.learn_covariance("o ~ x + (1 | g)", data, family="cumulative", method="marginal", draws=400)
    assert own.converged, own.varcorr.why
    assert own.thresholds.index.tolist() == ml.thresholds.index.tolist()
    assert (np.abs(own.thresholds - ml.thresholds) < 0.3 * ml.thresholds_se).all()
    np.testing.assert_allclose(own.thresholds_se, ml.thresholds_se, rtol=0.35)
    assert (np.abs(own.fixef - ml.fixef) < 0.3 * ml.fixef_se).all()
    draws = own.posterior["posterior"]["alpha"]
    assert draws.dims == ("chain", "draw", "threshold")
    assert (np.diff(draws.to_numpy(), axis=-1) > 0).all()

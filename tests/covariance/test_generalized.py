"""Fits of generalized models against glmer and clmm, at boundaries, from bad starts, and what they refuse."""

from __future__ import annotations

import tracemalloc

import goldens
import numpy as np
import pandas as pd
import pytest
from goldens import Golden

import mixedfx as mfx
from mixedfx.covariance.result import CovarianceResult

CASES = [c for c in goldens.cases() if goldens.load(c).method in ("laplace", "nagq0", "quadrature")]


def fit(golden: Golden, **options: object) -> CovarianceResult:
    return mfx.learn_covariance(
        golden.formula,
        golden.data(),
        family=golden.family,
        weights=golden.weights,
        nagq=golden.nagq,
        **options,  # pyright: ignore[reportArgumentType]
    )


@pytest.mark.parametrize("case", CASES)
def test_against_r(case: str) -> None:
    golden = goldens.load(case)
    got = fit(golden)
    assert got.converged
    assert bool(got.boundary) == golden.singular
    # lme4's own inner iterations leave 1e-6 of a deviance of 1e4; a lower criterion is the better optimum.
    assert got.deviance < golden.criterion + 1e-9 * golden.criterion
    assert got.deviance == pytest.approx(golden.criterion, rel=1e-8)
    se = golden.fixef_se_hessian if golden.fixef_se_hessian is not None else golden.fixef_se
    assert list(got.fixef.index) == list(golden.fixef.index)
    assert (np.abs(got.fixef - golden.fixef) < 1e-4 * se).all()
    # R's Hessians are differences of deviances, good to some 1e-4.
    np.testing.assert_allclose(got.fixef_se, se, rtol=1e-3)
    expected = golden.varcorr.merge(got.standard_errors, on=["grp", "var1", "var2"], suffixes=("_r", ""))
    assert len(expected) == len(golden.varcorr) == len(got.standard_errors)
    scale = expected["se"].fillna(expected["vcov_r"].abs())
    assert (np.abs(expected["vcov"] - expected["vcov_r"]) <= 1e-4 * scale).all()
    for factor, modes in golden.ranef.items():
        np.testing.assert_allclose(got.ranef[factor], modes, atol=1e-4)
    if golden.thresholds is None:
        assert got.thresholds is None
    else:
        assert got.thresholds is not None
        assert list(got.thresholds.index) == list(golden.thresholds.index)
        np.testing.assert_allclose(got.thresholds, golden.thresholds, atol=1e-4)
        np.testing.assert_allclose(got.thresholds_se, golden.thresholds_se, rtol=1e-3)


@pytest.mark.parametrize("case", ["wine_slopes", "grouseticks", "verbagg_slopes_laplace"])
@pytest.mark.parametrize("scale", [1e-6, 1e3])
def test_far_starts_reach_the_same_optimum(case: str, scale: float) -> None:
    golden = goldens.load(case)
    start = golden.varcorr.assign(vcov=golden.varcorr["vcov"] * scale)
    got = fit(golden, start=mfx.VarCorr.from_frame(start))
    assert got.converged
    assert got.deviance == pytest.approx(golden.criterion, rel=1e-8)


def simulated(seed: int = 0, n: int = 600) -> pd.DataFrame:
    """A random intercept of g; nothing of h, and no slope of x."""
    rng = np.random.default_rng(seed)
    data = pd.DataFrame({"g": rng.integers(0, 30, n), "h": rng.integers(0, 12, n)})
    data["x"], data["v"] = rng.standard_normal((2, n))
    eta = 0.3 + 0.4 * data["x"] + 0.8 * rng.standard_normal(30)[data["g"]]
    data["b"] = (rng.random(n) < 1 / (1 + np.exp(-eta))).astype(int)
    data["k"] = rng.poisson(np.exp(eta))
    data["o"] = pd.Categorical(np.digitize(eta + rng.logistic(size=n), [-1, 0.5, 2]), ordered=True)
    return data


@pytest.mark.parametrize("family", ["bernoulli", "poisson", "cumulative"])
def test_a_variance_of_zero_is_found(family: str) -> None:
    response = {"bernoulli": "b", "poisson": "k", "cumulative": "o"}[family]
    data = simulated()
    # Levels of h share the responses out evenly, so that they differ less than by chance.
    data.loc[data.index[np.lexsort((data["x"], data[response]))], "h"] = np.arange(len(data)) % 5
    got = mfx.learn_covariance(f"{response} ~ 1 + x + (1 | g) + (1 | h)", data, family=family)
    without = mfx.learn_covariance(f"{response} ~ 1 + x + (1 | g)", data, family=family)
    assert got.converged
    assert got.boundary == ("h (Intercept)",)
    assert got.varcorr["h"].iloc[0, 0] == 0
    assert np.isnan(got.standard_errors.set_index("grp").loc["h", "se"])
    # The likelihood is that of the model without h, and so is everything else.
    assert got.loglik == pytest.approx(without.loglik, abs=1e-8)
    np.testing.assert_allclose(got.fixef, without.fixef, atol=1e-6)
    np.testing.assert_allclose(got.fixef_se, without.fixef_se, rtol=1e-4)


def test_a_start_at_zero_is_left() -> None:
    golden = goldens.load("cbpp_herd")
    got = fit(golden, start=mfx.VarCorr.from_frame(golden.varcorr.assign(vcov=0.0)))
    assert got.boundary == ()
    assert got.deviance == pytest.approx(golden.criterion, abs=1e-6)


def test_over_parameterised_slopes_end_at_the_boundary() -> None:
    got = mfx.learn_covariance("b ~ 1 + x + v + (1 + x + v | g)", simulated(), family="bernoulli")
    assert got.converged
    assert got.boundary
    assert all(name.startswith("g") for name in got.boundary)


def test_uncorrelated_terms_have_no_covariance() -> None:
    got = mfx.learn_covariance("k ~ 1 + x + (1 + x || g)", simulated(), family="poisson")
    assert len(got.varcorr.to_frame()) == 2
    assert got.varcorr["g"].iloc[0, 1] == 0


@pytest.mark.parametrize("seed", [24, 30])
def test_uncorrelated_coefficients_that_cancel_out(seed: int) -> None:
    """With x far from 0 they do in truth, and small variances are a maximum, too: not the highest."""
    rng = np.random.default_rng(seed)
    g, x = rng.integers(0, 10, 300), rng.standard_normal(300)
    eta = rng.standard_normal(10)[g] * 3 + 2 * rng.standard_normal(10)[g] * x
    data = pd.DataFrame({"g": g, "x": x + 10, "b": (rng.random(300) < 1 / (1 + np.exp(-eta))).astype(int)})
    got = mfx.learn_covariance("b ~ 1 + x + (1 + x || g)", data, family="bernoulli")
    large = mfx.VarCorr.from_frame(
        pd.DataFrame({"grp": "g", "var1": ["(Intercept)", "x"], "var2": None, "vcov": [400.0, 4.0]})
    )
    again = mfx.learn_covariance("b ~ 1 + x + (1 + x || g)", data, family="bernoulli", start=large)
    assert got.loglik == pytest.approx(again.loglik, abs=1e-6)
    assert got.varcorr["g"].loc["(Intercept)", "(Intercept)"] > 100


@pytest.mark.parametrize("family", ["bernoulli", "poisson", "cumulative"])
def test_weights_are_frequencies(family: str) -> None:
    response = {"bernoulli": "b", "poisson": "k", "cumulative": "o"}[family]
    data = simulated(2, 200)
    counts = np.random.default_rng(2).integers(1, 4, len(data))
    formula = f"{response} ~ 1 + x + (1 | g)"
    weighted = mfx.learn_covariance(formula, data, family=family, weights=counts)
    repeated = mfx.learn_covariance(formula, data.loc[data.index.repeat(counts)], family=family)
    assert weighted.loglik == pytest.approx(repeated.loglik, abs=1e-7)
    np.testing.assert_allclose(weighted.fixef, repeated.fixef, atol=1e-6)


@pytest.mark.parametrize(("family", "response"), [("bernoulli", "b"), ("poisson", "k")])
@pytest.mark.parametrize("shift", [1.5, -40.0, 300.0])
def test_an_offset_moves_the_intercept_alone(family: str, response: str, shift: float) -> None:
    data = simulated().assign(shift=shift)
    plain = mfx.learn_covariance(f"{response} ~ 1 + x + (1 | g)", data, family=family)
    moved = mfx.learn_covariance(f"{response} ~ 1 + x + offset(shift) + (1 | g)", data, family=family)
    assert moved.loglik == pytest.approx(plain.loglik, abs=1e-8)
    np.testing.assert_allclose(plain.fixef - moved.fixef, [shift, 0.0], atol=1e-6)


def test_binary_response_with_two_ordered_categories_is_logistic() -> None:
    """The cumulative family with one threshold is the logistic one: alpha = -intercept, slopes alike."""
    data = simulated()
    logistic = mfx.learn_covariance("b ~ 1 + x + (1 | g) + (1 | h)", data, family="bernoulli")
    ordered = data.assign(b=pd.Categorical(data["b"], ordered=True))
    ordinal = mfx.learn_covariance("b ~ 1 + x + (1 | g) + (1 | h)", ordered, family="cumulative")
    assert ordinal.loglik == pytest.approx(logistic.loglik, abs=1e-8)
    assert ordinal.thresholds is not None
    assert ordinal.thresholds.iloc[0] == pytest.approx(-logistic.fixef["(Intercept)"], abs=1e-6)
    assert ordinal.fixef["x"] == pytest.approx(logistic.fixef["x"], abs=1e-6)


def test_everything_works_without_fixed_effects() -> None:
    got = mfx.learn_covariance("b ~ 0 + (1 | g)", simulated(), family="bernoulli")
    assert got.converged
    assert len(got.fixef) == len(got.fixef_se) == 0


def test_nothing_is_left_without_fixed_effects_and_variance() -> None:
    data = pd.DataFrame({"g": np.arange(40) % 4, "b": np.arange(40) // 4 % 2})
    got = mfx.learn_covariance("b ~ 0 + (1 | g)", data, family="bernoulli")
    assert got.boundary == ("g (Intercept)",)
    assert got.loglik == pytest.approx(40 * np.log(0.5))
    assert "converged" in str(got.summary())


def test_restricted_likelihood_is_refused() -> None:
    with pytest.raises(mfx.errors.SettingError, match=r"poisson.*'reml'.*gaussian.*'ml'"):
        mfx.learn_covariance("k ~ 1 + (1 | g)", simulated(), family="poisson", method="reml")


def test_quadrature_needs_a_single_scalar_term() -> None:
    with pytest.raises(mfx.errors.SettingError, match=r"nagq=5.*'g' with 1.*'h' with 1.*nagq=1"):
        mfx.learn_covariance("b ~ 1 + (1 | g) + (1 | h)", simulated(), family="bernoulli", nagq=5)
    with pytest.raises(mfx.errors.SettingError, match=r"nagq=5.*'g' with 2"):
        mfx.learn_covariance("b ~ 1 + (1 + x | g)", simulated(), family="bernoulli", nagq=5)


@pytest.mark.parametrize("nagq", [-1, 1.5, True, 101, "1"])
def test_nagq_out_of_range(nagq: object) -> None:
    with pytest.raises(mfx.errors.SettingError, match="nagq"):
        mfx.learn_covariance("b ~ 1 + (1 | g)", simulated(), family="bernoulli", nagq=nagq)  # pyright: ignore[reportArgumentType]


def test_nagq_is_for_likelihoods_of_generalized_models() -> None:
    with pytest.raises(mfx.errors.SettingError, match=r"nagq=0.*gaussian.*leave it out"):
        mfx.learn_covariance("x ~ 1 + (1 | g)", simulated(), nagq=0)


def test_both_stages() -> None:
    """`fit` with a family other than gaussian, all of it: learned, frozen, estimated, compared."""
    result = mfx.fit("o ~ 1 + x + (1 | g)", simulated(), family="cumulative", method="ml", subsample=None)
    assert result.covariance.varcorr.freezable
    assert result.coefficients.converged
    # The joint mode at Laplace's covariances is near Laplace's own estimate, and not it.
    assert result.coefficients.fixef["x"] == pytest.approx(result.covariance.fixef["x"], rel=0.1)
    assert result.compare().status in ("ok", "warn")


def test_saved_and_loaded(tmp_path: object) -> None:
    got = mfx.learn_covariance("o ~ 1 + x + (1 | g)", simulated(), family="cumulative")
    got.save(f"{tmp_path}/cov")
    back = mfx.load_covariance(f"{tmp_path}/cov")
    assert back.thresholds is not None
    pd.testing.assert_series_equal(back.thresholds, got.thresholds, check_names=False)
    pd.testing.assert_series_equal(back.thresholds_se, got.thresholds_se, check_names=False)
    text = str(back.summary())
    assert "Laplace, nAGQ = 1" in text
    assert "Thresholds" in text
    assert back.loglik == got.loglik


def test_complete_separation_is_named() -> None:
    data = simulated()
    data["b"] = (data["x"] > 0).astype(int)
    with pytest.raises(mfx.errors.DataError, match=r"separation; 'x'"):
        mfx.learn_covariance("b ~ 1 + x + (1 | g)", data, family="bernoulli")


def test_a_factor_that_determines_the_response_is_named() -> None:
    data = simulated()
    data["b"] = (data["g"] < 15).astype(int)
    with pytest.warns(mfx.errors.ConvergenceWarning, match="'g' grows without bound"):
        got = mfx.learn_covariance("b ~ 1 + (1 | g)", data, family="bernoulli")
    assert not got.varcorr.freezable


def test_observation_level_effects_of_counts() -> None:
    """As many coefficients as rows are legitimate here: overdispersion."""
    data = simulated().assign(row=np.arange(600))
    got = mfx.learn_covariance("k ~ 1 + x + (1 | g) + (1 | row)", data, family="poisson")
    assert got.converged
    assert got.n_levels["row"] == 600


def test_standard_errors_do_not_depend_on_the_origin() -> None:
    """Of a predictor: the intercept and its coefficient are then nearly one."""
    rng = np.random.default_rng(0)
    data = pd.DataFrame({"g": rng.integers(0, 30, 1500), "x": rng.standard_normal(1500)})
    eta = 0.3 + 0.4 * data["x"] + 0.5 * rng.standard_normal(30)[data["g"]]
    data["y"] = rng.poisson(np.exp(eta))
    near = mfx.learn_covariance("y ~ x + (1 | g)", data, family="poisson")
    far = mfx.learn_covariance("y ~ x + (1 | g)", data.assign(x=data["x"] + 1e6), family="poisson")
    moved = np.array([1.0, -1e6])
    expected = [np.sqrt(moved @ near.fixef_covariance @ moved), near.fixef_se["x"]]
    np.testing.assert_allclose(far.fixef_se, expected, rtol=1e-4)
    np.testing.assert_allclose(far.standard_errors["se"], near.standard_errors["se"], rtol=1e-3)


def test_memory_is_three_matrices() -> None:
    """Over the coefficients of the smaller factor: the factors at two points, and an inverse; a half for the rest."""
    rng = np.random.default_rng(0)
    n, J = 10_000, 700
    data = pd.DataFrame(
        {"g": rng.integers(0, 720, n), "h": rng.integers(0, J, n), "x": rng.standard_normal(n)}
    )
    eta = rng.standard_normal(720)[data["g"]] + rng.standard_normal(J)[data["h"]]
    data["b"] = (eta + rng.standard_normal(n) > 0).astype(int)
    mfx.learn_covariance("b ~ x + (1 | g) + (1 | h)", data.head(200), family="bernoulli")  # compiles
    tracemalloc.start()
    mfx.learn_covariance("b ~ x + (1 | g) + (1 | h)", data, family="bernoulli")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * 8 * J**2

"""The joint mode against lme4 at its own covariances and against dense Newton."""

from __future__ import annotations

import goldens
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import DenseModel
from problems import FORMULAS, RESPONSES, Model, frame, model

import mixedfx as mfx
from mixedfx.coefficients.result import CoefficientsResult
from mixedfx.families import get_family

CASES = [case for case in goldens.cases() if goldens.load(case).method not in ("laplace", "quadrature")]
KINDS = sorted(FORMULAS)


def family_name(golden: goldens.Golden) -> str:
    return "bernoulli" if golden.family == "binomial" else golden.family


@pytest.mark.parametrize("case", CASES)
def test_agrees_with_lme4(case: str) -> None:
    """BLUE and BLUP of lmer, and the mode of glmer(nAGQ = 0), at lme4's own VarCorr."""
    golden = goldens.load(case)
    fit = mfx.estimate_coefficients(
        golden.formula,
        golden.data(),
        mfx.VarCorr.from_frame(golden.varcorr),
        family=family_name(golden),
        weights=golden.weights,
    )
    assert fit.converged, fit.reason
    scale = golden.fixef.abs().max()
    np.testing.assert_allclose(fit.fixef[golden.fixef.index], golden.fixef, atol=1e-6 * scale)
    for factor, expected in golden.ranef.items():
        got = fit.ranef[factor]
        got = got.set_axis(got.index.astype(str)).loc[expected.index, expected.columns]
        np.testing.assert_allclose(got, expected, atol=1e-6 * max(float(expected.std().max()), 1e-6))
    # glmer's own PIRLS stops at 1e-7 relative, which is what its standard errors are good to.
    np.testing.assert_allclose(fit.fixef_se[golden.fixef.index], golden.fixef_se, rtol=1e-6)
    for factor, expected in golden.condvar.items():
        sd = fit.ranef_sd(factor, conditional=True)
        sd = sd.set_axis(sd.index.astype(str)).loc[golden.ranef[factor].index]
        variances = np.diagonal(expected, axis1=1, axis2=2)
        np.testing.assert_allclose(sd.to_numpy() ** 2, variances, rtol=1e-5, atol=1e-12)


@settings(deadline=None, max_examples=20)
@given(kind=st.sampled_from(KINDS), seed=st.integers(0, 10_000), singular=st.booleans())
def test_agrees_with_dense_newton(kind: str, seed: int, singular: bool) -> None:
    for family in sorted(set(RESPONSES) - {"cumulative"}):  # whose thresholds the dense model does not have
        m = model(kind, seed, singular=singular, family=family)
        residual = family == "gaussian"
        varcorr = mfx.VarCorr.from_frame(m.frame(residual=residual))
        weights = "trials" if family == "binomial" else None
        fit = mfx.estimate_coefficients(m.formula, m.data, varcorr, family=family, weights=weights)
        assert fit.converged, fit.reason
        dense = DenseModel.of(m.design.predictors, m.sigmas)
        auxiliary = m.sigma2 if residual else None
        beta, b, objective = dense.joint_mode(get_family(family), m.design.y, m.design.weights, auxiliary)
        np.testing.assert_allclose(fit.fixef, beta, atol=1e-6)
        for name, expected in b.items():
            np.testing.assert_allclose(fit.ranef[name].to_numpy().ravel(), expected, atol=1e-6)
        assert fit.stats["objective"] == pytest.approx(objective, abs=1e-8 * abs(objective) + 1e-8)


def crossed(family: str = "gaussian") -> Model:
    return model("crossed", 21, family=family)


def estimate(m: Model, data: pd.DataFrame, family: str, **options: object) -> CoefficientsResult:
    varcorr = mfx.VarCorr.from_frame(m.frame(residual=family == "gaussian"))
    return mfx.estimate_coefficients(m.formula, data, varcorr, family=family, **options)


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 1000))
def test_rows_may_be_permuted_and_levels_renamed(seed: int) -> None:
    m = crossed("bernoulli")
    rng = np.random.default_rng(seed)
    names = rng.permutation(1000)[:11]
    shuffled = m.data.sample(frac=1.0, random_state=seed).assign(g=lambda d: names[d["g"]])
    one, two = estimate(m, m.data, "bernoulli"), estimate(m, shuffled, "bernoulli")
    np.testing.assert_allclose(one.fixef, two.fixef, atol=1e-8)
    np.testing.assert_allclose(one.ranef["g"], two.ranef["g"].loc[names], atol=1e-8)
    np.testing.assert_allclose(one.ranef["h"], two.ranef["h"], atol=1e-8)


def test_frequency_weights_are_repeated_rows() -> None:
    m = crossed("bernoulli")
    counts = np.random.default_rng(3).integers(1, 4, len(m.data))
    weighted = estimate(m, m.data, "bernoulli", weights=counts)
    repeated = estimate(m, m.data.loc[m.data.index.repeat(counts)], "bernoulli")
    np.testing.assert_allclose(weighted.fixef, repeated.fixef, atol=1e-9)
    np.testing.assert_allclose(weighted.ranef["g"], repeated.ranef["g"], atol=1e-9)
    np.testing.assert_allclose(weighted.fixef_se, repeated.fixef_se, rtol=1e-7)


def test_unconverged_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mixedfx.coefficients.newton_cg.MAX_NEWTON", 1)
    with pytest.warns(mfx.errors.ConvergenceWarning, match="1 Newton step"):
        fit = estimate(crossed("bernoulli"), crossed().data, "bernoulli")
    assert not fit.converged
    assert "1 Newton step" in fit.reason
    assert np.isfinite(fit.fixef).all()


def test_a_warm_start_needs_fewer_steps() -> None:
    m = crossed("bernoulli")
    cold = estimate(m, m.data, "bernoulli")
    again = estimate(m, m.data, "bernoulli", start=cold)
    assert again.stats["newton_iterations"] == 0
    np.testing.assert_allclose(again.ranef["g"], cold.ranef["g"], atol=1e-12)
    new = frame(np.random.default_rng(99)).assign(g=lambda d: d["g"] + 5)
    grown = pd.concat([m.data, new])
    warm, cold = (estimate(m, grown, "bernoulli", start=s) for s in (cold, None))
    np.testing.assert_allclose(warm.ranef["g"], cold.ranef["g"], atol=1e-7)


def test_draws_of_sigma_are_mixed() -> None:
    """Means of the modes; variances within plus variance between."""
    m = crossed()
    first = m.frame()
    second = first.assign(vcov=2 * first["vcov"])
    draws = [mfx.VarCorr.from_frame(f) for f in (first, second)]
    mixed = mfx.estimate_coefficients(m.formula, m.data, draws)
    one, two = (mfx.estimate_coefficients(m.formula, m.data, d) for d in draws)
    np.testing.assert_allclose(mixed.ranef["g"], (one.ranef["g"] + two.ranef["g"]) / 2, atol=1e-8)
    within = (one.ranef_sd("g") ** 2 + two.ranef_sd("g") ** 2) / 2
    between = ((one.ranef["g"] - two.ranef["g"]) / 2) ** 2
    np.testing.assert_allclose(mixed.ranef_sd("g") ** 2, within + between, rtol=1e-6)


def test_draws_go_over_all_components() -> None:
    """Of many draws of Sigma each has its turn, in batches too, and few draws are spread over them."""
    m = crossed()
    scales = np.repeat([1.0, 400.0], 10)
    draws = [mfx.VarCorr.from_frame(m.frame().assign(vcov=lambda d, s=s: d["vcov"] * s)) for s in scales]
    mixture = mfx.estimate_coefficients(m.formula, m.data, draws).mixture
    rng = np.random.default_rng(0)
    sds = [mixture.draws(400, rng, batch=slice(i, i + 100))[1]["h"].std() for i in (0, 100, 200, 300)]
    assert max(sds) < 1.5 * min(sds)
    few = mixture.draws(4, rng)[1]["h"]
    assert np.abs(few[:, :, :2]).max() < np.abs(few[:, :, 2:]).max()

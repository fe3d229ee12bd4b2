"""Every family: derivatives against finite differences, densities against scipy, ranges checked."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from mixedfx.errors import DataError, SettingError
from mixedfx.families import FAMILIES, Family, get_family
from mixedfx.families.cumulative import as_cumulative

ETA = np.linspace(-4.0, 4.0, 17)
AUXILIARY = {
    "gaussian": 1.7,
    "bernoulli": None,
    "binomial": None,
    "poisson": None,
    "cumulative": np.array([-1.0, 0.4, 2.0]),
}
VALUES = {
    "gaussian": (-1.0, 0.3, 5.0),
    "bernoulli": (0.0, 1.0),
    "binomial": (0.0, 0.25, 1.0),
    "poisson": (0.0, 1.0, 40.0),
    "cumulative": (0.0, 1.0, 3.0),
}


def responses(family: Family) -> list[np.ndarray]:
    return [np.full_like(ETA, value) for value in VALUES[family.name]]


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_derivatives(name: str) -> None:
    """Central differences have error h^2 f'''/6 + rounding/h: h = 1e-5 gives about 1e-10."""
    family, h, auxiliary = get_family(name), 1e-5, AUXILIARY[name]
    for y in responses(family):
        d = family.derivatives(y, ETA, auxiliary)
        up, down = (family.derivatives(y, ETA + s * h, auxiliary) for s in (1, -1))
        loss = [family.loss(y, ETA + s * h, auxiliary) for s in (1, -1)]
        np.testing.assert_allclose(d.d1, (loss[0] - loss[1]) / (2 * h), atol=1e-8)
        np.testing.assert_allclose(d.d2, (up.d1 - down.d1) / (2 * h), atol=1e-8)
        np.testing.assert_allclose(d.d3, (up.d2 - down.d2) / (2 * h), atol=1e-8)
        if family.hessian_bound is not None:
            assert (d.d2 <= family.hessian_bound).all()


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_mean_is_the_expectation_of_samples(name: str) -> None:
    family, rng = get_family(name), np.random.default_rng(0)
    for eta in (-1.0, 0.5):
        y = family.sample(np.full(200_000, eta), rng, AUXILIARY[name])
        error = 5 * y.std() / np.sqrt(len(y))
        assert y.mean() == pytest.approx(family.mean(np.array([eta]), AUXILIARY[name])[0], abs=error)


def test_densities() -> None:
    y, eta = np.array([0.3, -1.0]), np.array([0.1, 2.0])
    expected = -stats.norm.logpdf(y, eta, np.sqrt(1.7))
    np.testing.assert_allclose(get_family("gaussian").loss(y, eta, 1.7), expected)
    p = 1 / (1 + np.exp(-eta))
    y = np.array([0.0, 1.0])
    np.testing.assert_allclose(
        get_family("bernoulli").loss(y, eta), -stats.bernoulli.logpmf(y.astype(int), p)
    )


def test_more_densities() -> None:
    counts, eta = np.array([0.0, 3.0]), np.array([0.1, 1.4])
    expected = -stats.poisson.logpmf(counts, np.exp(eta))
    np.testing.assert_allclose(get_family("poisson").loss(counts, eta), expected)
    successes, trials = np.array([1.0, 7.0]), np.array([4.0, 9.0])
    family = get_family("binomial")
    proportion = successes / trials
    total = -trials @ family.loss(proportion, eta) + family.log_constant(proportion, trials)
    p = 1 / (1 + np.exp(-eta))
    assert total == pytest.approx(stats.binom.logpmf(successes, trials, p).sum())


def test_bernoulli_in_the_tails() -> None:
    """No overflow, no weight of exactly zero before eta = 700."""
    family = get_family("bernoulli")
    eta = np.array([-700.0, -40.0, 40.0, 700.0])
    d = family.derivatives(np.ones(4), eta)
    assert np.isfinite(family.loss(np.ones(4), eta)).all()
    assert (d.d2 > 0).all()


def test_range_of_the_response() -> None:
    with pytest.raises(DataError, match=r"'clicked'.*holds 2"):
        get_family("bernoulli").check_response(np.array([0.0, 1.0, 2.0]), "clicked")
    with pytest.raises(DataError, match=r"'clicked' is always 1"):
        get_family("bernoulli").check_response(np.ones(3), "clicked")
    with pytest.raises(DataError, match=r"'clicks'.*counts.*holds 0\.5"):
        get_family("poisson").check_response(np.array([0.0, 0.5]), "clicks")
    with pytest.raises(DataError, match=r"'share'.*proportions.*holds 1\.5"):
        get_family("binomial").check_response(np.array([0.0, 1.5]), "share")
    with pytest.raises(DataError, match=r"'score' is constant"):
        get_family("gaussian").check_response(np.ones(3), "score")


def test_unknown_family() -> None:
    with pytest.raises(SettingError, match=r"'gamma'.*gaussian, bernoulli, binomial, poisson, cumulative"):
        get_family("gamma")


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_compiled_formulas_are_the_same(name: str) -> None:
    from mixedfx.families import compiled

    family, auxiliary = get_family(name), AUXILIARY[name]
    sigma2 = auxiliary if isinstance(auxiliary, float) else 1.0
    padded = np.array([-np.inf, -1.0, 0.4, 2.0, np.inf])
    for value in VALUES[name]:
        for eta in [*ETA, -700.0, -40.0, 40.0, 600.0]:
            y, at = np.array([value]), np.array([eta])
            around = (padded[int(value) + 1], padded[int(value)]) if family.has_thresholds else (0.0, 0.0)
            linear, factor, d1, d2, above, bend = compiled.row_terms(
                family.compiled_kind, value, eta, sigma2, *around
            )
            expected = family.derivatives(y, at, auxiliary)
            assert d1 == pytest.approx(expected.d1[0], rel=1e-12, abs=1e-15)
            assert d2 == pytest.approx(expected.d2[0], rel=1e-12, abs=1e-300)
            left_out = family.loss_constant(y, np.zeros(0), sigma2)
            if family.has_thresholds:
                counts = np.bincount([int(value)], minlength=4).astype(float)
                left_out = as_cumulative(family).gaps(counts, padded[1:-1]).loss
                terms = as_cumulative(family).threshold_terms(y, at, np.ones(1), padded[1:-1])
                assert bend == pytest.approx(-terms.K[0, int(value)] if value < 3 else 0.0, rel=1e-10)
                assert 0 <= above <= 1
            loss = linear + np.log(factor) + left_out
            assert loss == pytest.approx(family.loss(y, at, auxiliary)[0], rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_traced_formulas_are_the_same(name: str) -> None:
    import jax

    from mixedfx.families import compiled, traced

    family = get_family(name)
    etas = np.concatenate([ETA, [-700.0, -40.0, 40.0, 600.0]])
    padded = np.array([-np.inf, -1.0, 0.4, 2.0, np.inf])
    for value in VALUES[name]:
        around = (padded[int(value) + 1], padded[int(value)]) if family.has_thresholds else (0.0, 0.0)
        rows = [compiled.row_terms(family.compiled_kind, value, eta, 1.7, *around) for eta in etas]
        linear, factor, *expected = np.array(rows).T
        alpha = padded if family.has_thresholds else None
        with jax.enable_x64(True):
            y = np.full(len(etas), value)
            terms = traced.row_terms(family.compiled_kind, y, etas, 1.7, alpha).weighted(np.full(len(y), 3.0))
            found = [None if x is None else np.asarray(x) / 3.0 for x in terms]
        np.testing.assert_allclose(found[0], linear + np.log(factor), rtol=1e-12, atol=1e-12)
        for got, wanted in zip(found[1:], expected, strict=True):
            if got is not None:
                np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-15)
        assert (found[3] is None) == (not family.has_thresholds)


def test_thresholds() -> None:
    """Gradient and Hessian in alpha, and the cross derivative, by central differences."""
    family, alpha, h = as_cumulative(get_family("cumulative")), np.array([-1.0, 0.4, 2.0]), 1e-5
    rng = np.random.default_rng(0)
    y, eta, weights = rng.integers(0, 4, 60).astype(float), rng.standard_normal(60), rng.uniform(0.5, 2.0, 60)
    terms = family.threshold_terms(y, eta, weights, alpha)
    for m, step in enumerate(np.eye(3) * h):
        loss = [weights @ family.loss(y, eta, alpha + s * step) for s in (1, -1)]
        moved = [family.threshold_terms(y, eta, weights, alpha + s * step).gradient for s in (1, -1)]
        slope = [weights * family.derivatives(y, eta, alpha + s * step).d1 for s in (1, -1)]
        assert terms.gradient[m] == pytest.approx((loss[0] - loss[1]) / (2 * h), abs=1e-7)
        np.testing.assert_allclose(terms.hessian()[m], (moved[0] - moved[1]) / (2 * h), atol=1e-7)
        np.testing.assert_allclose(terms.K[:, m], (slope[0] - slope[1]) / (2 * h), atol=1e-8)
    np.testing.assert_allclose(-terms.K.sum(axis=1), weights * family.derivatives(y, eta, alpha).d2)


def test_ordinal_probabilities() -> None:
    family, alpha = as_cumulative(get_family("cumulative")), np.array([-1.0, 0.4, 2.0])
    probabilities = family.probabilities(ETA, alpha)
    for m in range(4):
        np.testing.assert_allclose(
            -np.log(probabilities[:, m]), family.loss(np.full_like(ETA, m), ETA, alpha)
        )

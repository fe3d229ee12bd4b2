"""Free coordinates of covariances: the way back, derivatives, and the density that the prior has in them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import stats

from mixedfx.covariance.parameters import ParameterSpace
from mixedfx.covariance.priors import Priors, choose_priors
from mixedfx.covariance.signed_coordinates import SignedCoordinates
from mixedfx.design import build_design
from mixedfx.families import get_family

Floats = NDArray[np.float64]


def coordinates() -> tuple[SignedCoordinates, Priors]:
    """Three correlated coefficients, two correlated beside a third that is not, and a scalar term."""
    rng = np.random.default_rng(1)
    n = 300
    data = pd.DataFrame(rng.standard_normal((n, 3)), columns=["y", "a", "c"])
    data["g"], data["h"], data["k"] = rng.integers(0, 20, n), rng.integers(0, 9, n), rng.integers(0, 5, n)
    design = build_design("y ~ 1 + (1 + a + c | g) + (1 + a | h) + (0 + c | h) + (1 | k)", data)
    given = {
        "Sigma_g": {"sd": {"gamma": [2, 1]}, "correlation": 3},
        "Sigma_h": {"sd": {"a": {"exponential": 2}}},
    }
    priors = choose_priors(design, get_family("gaussian"), given)
    terms = design.predictors.terms
    ranges = {t.name: 0.2 + 0.1 * np.arange(t.q) for t in terms}
    return SignedCoordinates(ParameterSpace.of(terms), ranges, True), priors


@pytest.fixture
def zeta() -> Floats:
    return np.random.default_rng(2).standard_normal(coordinates()[0].size)


def differences(f, at: Floats) -> Floats:
    """Central differences, outputs along the first axis."""
    step = 1e-6
    return np.array([(f(at + h) - f(at - h)) / (2 * step) for h in step * np.eye(len(at))]).T


def test_there_and_back(zeta: Floats) -> None:
    """Signs of scales are lost: what comes back is the image whose scales are above 0."""
    own, _ = coordinates()
    point = own.point(zeta)
    back = own.zeta(point)
    assert (back[: len(own.scales)] > 0).all()
    upright = zeta.copy()
    for signs, z in zip(own.flips(own.size), zeta, strict=False):
        upright = upright * signs if z < 0 else upright
    np.testing.assert_allclose(back, upright, atol=1e-9)


def test_turning_signs_leaves_the_covariances(zeta: Floats) -> None:
    own, priors = coordinates()
    for signs in own.flips(own.size):
        turned = own.point(signs * zeta)
        for a, b in zip(own.point(zeta).matrices, turned.matrices, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-12)
        assert own.log_prior(signs * zeta, priors)[0] == pytest.approx(own.log_prior(zeta, priors)[0])


def test_structural_zeros_stay(zeta: Floats) -> None:
    own, _ = coordinates()
    S = own.point(zeta).matrices[1]
    assert not own.space.terms[1].free.all()
    assert (S[~own.space.terms[1].free] == 0).all()
    assert len(own.pairs) == 4


def test_derivatives(zeta: Floats) -> None:
    own, priors = coordinates()
    numeric = differences(lambda x: own.space.vector(own.point(x)), zeta)
    np.testing.assert_allclose(own.jacobian(zeta), numeric, atol=1e-7)
    slope = differences(lambda x: np.array(own.log_prior(x, priors)[0]), zeta)
    np.testing.assert_allclose(own.log_prior(zeta, priors)[1], slope, atol=1e-6)


def textbook(own: SignedCoordinates, priors: Priors, zeta: Floats) -> float:
    """log p(sd) + LKJ in the correlations + log |d(sd, correlations, sigma)/d zeta|, by differences."""

    def quantities(x: Floats) -> Floats:
        point = own.point(x)
        parts = []
        for term, S in zip(own.space.terms, point.matrices, strict=True):
            sd = np.sqrt(np.diag(S))
            parts.append(sd)
            parts.append((S / np.outer(sd, sd))[np.tril(term.free, -1)])
        return np.concatenate([*parts, [np.sqrt(point.sigma2)]])

    total = np.linalg.slogdet(differences(quantities, zeta))[1]
    point = own.point(zeta)
    df, scale = priors.sigma.arguments
    total += stats.t.logpdf(np.sqrt(point.sigma2), df, scale=scale)
    for term, S in zip(own.space.terms, point.matrices, strict=True):
        sd = np.sqrt(np.diag(S))
        for value, prior in zip(sd, priors.sd[term.name], strict=True):
            match prior.name:
                case "gamma":
                    total += stats.gamma.logpdf(value, prior.arguments[0], scale=1 / prior.arguments[1])
                case "exponential":
                    total += stats.expon.logpdf(value, scale=1 / prior.arguments[0])
                case _:
                    total += stats.t.logpdf(value, prior.arguments[0], scale=prior.arguments[1])
        total += (priors.correlation[term.name] - 1) * np.linalg.slogdet(S / np.outer(sd, sd))[1]
    return float(total)


def test_the_prior_is_that_of_standard_deviations_and_correlations() -> None:
    own, priors = coordinates()
    rng = np.random.default_rng(3)
    off = []
    for _ in range(4):
        zeta = rng.standard_normal(own.size)
        off.append(own.log_prior(zeta, priors)[0] - textbook(own, priors, zeta))
    np.testing.assert_allclose(off, off[0], atol=1e-5)

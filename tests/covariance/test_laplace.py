"""Laplace's approximation: value, gradient and information against dense formulas and differences."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import DenseModel
from problems import FORMULAS, Model, model

from mixedfx.covariance.laplace import LaplacePoint, LaplaceProblem
from mixedfx.covariance.parameters import Covariances
from mixedfx.families import get_family

KINDS = sorted(FORMULAS)
FAMILIES = ["bernoulli", "binomial", "poisson", "cumulative"]
H = 1e-5


def shrunk(m: Model) -> Covariances:
    """Counts of a log link grow out of hand with standard deviations of the linear predictor above 1."""
    return Covariances(tuple(0.3 * m.sigmas[t.name] for t in m.design.predictors.terms), 1.0)


def point(m: Model, family: str, *, profiled: bool = False) -> LaplacePoint:
    """Away from the joint mode in beta and thresholds, unless they are profiled out."""
    problem = LaplaceProblem.of(m.design, get_family(family), profiled=profiled)
    alpha = problem.response.start_alpha(problem.rows.offset)
    at = problem.at(shrunk(m), np.zeros(problem.layout.p), alpha)
    if profiled:
        return at
    vector = at.vector
    moved = 0.05 * np.sin(np.arange(len(vector) - problem.space.size))
    vector[problem.space.size :] += moved
    return at.move(vector)


def dense_loglik(m: Model, family: str, at: LaplacePoint, vector: np.ndarray) -> float:
    space, p = at.problem.space, at.problem.layout.p
    matrices = space.point(vector).matrices
    dense = DenseModel.of(
        m.design.predictors, {t.name: S for t, S in zip(space.terms, matrices, strict=True)}
    )
    beta, alpha = vector[space.size : space.size + p], vector[space.size + p :]
    auxiliary = alpha if len(alpha) else None
    y = np.asarray(m.design.y, dtype=float)
    return dense.laplace(get_family(family), y, np.array(m.design.weights), beta, auxiliary)


@settings(deadline=None, max_examples=25)
@given(
    kind=st.sampled_from(KINDS),
    family=st.sampled_from(FAMILIES),
    seed=st.integers(0, 10_000),
    singular=st.booleans(),
)
def test_loglik(kind: str, family: str, seed: int, singular: bool) -> None:
    m = model(kind, seed, singular=singular, family=family)
    at = point(m, family)
    assert at.loglik == pytest.approx(dense_loglik(m, family, at, at.vector), abs=1e-8)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_gradient(kind: str, family: str) -> None:
    """In covariances, fixed effects and thresholds: with the implicit parts, or it would be off in every entry."""
    m = model(kind, 7, family=family)
    at = point(m, family)
    vector = at.vector
    steps = np.delete(H * np.eye(len(vector)), at.problem.space.size - 1, axis=0)
    numeric = [
        (dense_loglik(m, family, at, vector + e) - dense_loglik(m, family, at, vector - e)) / (2 * H)
        for e in steps
    ]
    got = np.delete(at.gradient(), at.problem.space.size - 1)
    # The log-likelihood is about 1e2 with rounding 1e-13 of it: differences are good to 1e-6.
    np.testing.assert_allclose(got, numeric, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_gradient_with_fixed_effects_profiled_out(kind: str, family: str) -> None:
    m = model(kind, 7, family=family)
    at = point(m, family, profiled=True)
    vector = at.vector
    steps = H * np.eye(len(vector))[:-1]
    numeric = [(at.move(vector + e).loglik - at.move(vector - e).loglik) / (2 * H) for e in steps]
    np.testing.assert_allclose(at.gradient()[:-1], numeric, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_profiled_value_is_laplaces_at_the_joint_mode(family: str) -> None:
    m = model("crossed", 9, family=family)
    profiled = point(m, family, profiled=True)
    full = np.concatenate([profiled.vector, profiled.beta, profiled.alpha])
    assert profiled.loglik == pytest.approx(dense_loglik(m, family, profiled, full), abs=1e-8)


@pytest.mark.parametrize("kind", ["one factor", "crossed", "slopes on both", "nested and crossed"])
@pytest.mark.parametrize("family", FAMILIES)
def test_score_at_singular_covariances(kind: str, family: str) -> None:
    """All covariances zero, and one of rank one: the score is what it tends to from inside."""
    m = model(kind, 9, singular=True, family=family)
    at = point(m, family)
    space = at.problem.space
    zero = tuple(np.zeros_like(S) for S in at.point.matrices)
    for matrices in (zero, at.point.matrices):
        inside = tuple(S + 1e-7 * np.eye(len(S)) for S in matrices)
        exact, limit = (
            at.move(np.concatenate([space.vector(Covariances(S, 1.0)), at.vector[space.size :]])).gradient()
            for S in (matrices, inside)
        )
        # The score moves by about (curvature x 1e-7) between the two points.
        np.testing.assert_allclose(exact, limit, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("family", FAMILIES)
def test_information_of_fixed_effects_and_thresholds(family: str) -> None:
    """Their block is minus the Hessian of the penalised log density, u profiled out: differences of its gradient."""
    m = model("crossed", 12, family=family)
    at = point(m, family)
    size, p = at.problem.space.size, at.problem.layout.p

    def slope(vector: np.ndarray) -> np.ndarray:
        rows = at.move(vector).mode.response
        return np.concatenate([at.problem.rows.X.T @ rows.d1, rows.alpha_slope])

    vector = at.vector
    numeric = [(slope(vector + e) - slope(vector - e)) / (2 * H) for e in H * np.eye(len(vector))[size:]]
    got = at.average_information()[size:, size:]
    assert len(got) == p + len(at.alpha)
    np.testing.assert_allclose(got, numeric, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("profiled", [True, False])
def test_information_is_positive_semidefinite(family: str, profiled: bool) -> None:
    at = point(model("slopes on both", 13, family=family), family, profiled=profiled)
    information = np.delete(np.delete(at.average_information(), 4, axis=0), 4, axis=1)
    eigenvalues = np.linalg.eigvalsh(information)
    assert eigenvalues[0] > -1e-10 * eigenvalues[-1]


def test_linear_predictors_out_of_range_count_as_impossible() -> None:
    at = point(model("crossed", 14, family="poisson"), "poisson")
    vector = at.vector
    vector[at.problem.space.size] += 1e4
    assert at.move(vector).loglik == -np.inf

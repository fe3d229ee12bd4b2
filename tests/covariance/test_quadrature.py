"""Adaptive quadrature: against brute-force integrals, Laplace's approximation, and differences."""

from __future__ import annotations

import numpy as np
import pytest
from problems import frame
from scipy.integrate import quad

from mixedfx.covariance.laplace import LaplacePoint, LaplaceProblem
from mixedfx.covariance.parameters import Covariances
from mixedfx.covariance.quadrature import QuadraturePoint
from mixedfx.design import Design, build_design
from mixedfx.families import get_family

RESPONSES = {"bernoulli": "b", "binomial": "share", "poisson": "count", "cumulative": "o"}
TERMS = ["(1 | g)", "(0 + x | g)"]
VARIANCE = 0.6


def make(family: str, term: str) -> tuple[Design, LaplacePoint]:
    weights = "trials" if family == "binomial" else None
    data = frame(np.random.default_rng(3))
    design = build_design(f"{RESPONSES[family]} ~ 1 + x + {term}", data, family=family, weights=weights)
    problem = LaplaceProblem.of(design, get_family(family))
    alpha = problem.response.start_alpha(problem.rows.offset)
    at = problem.at(Covariances((np.array([[VARIANCE]]),), 1.0), np.zeros(problem.layout.p), alpha)
    vector = at.vector
    vector[2:] += 0.05 * np.sin(np.arange(len(vector) - 2))
    return design, at.move(vector)


@pytest.mark.parametrize("family", RESPONSES)
@pytest.mark.parametrize("term", TERMS)
def test_many_nodes_are_the_integral(family: str, term: str) -> None:
    design, at = make(family, term)
    chosen = get_family(family)
    (own,) = design.predictors.terms
    y, z = np.asarray(design.y, dtype=float), design.predictors.z(own)[:, 0]
    fixed = design.predictors.X() @ at.beta
    auxiliary = at.alpha if len(at.alpha) else None
    total = chosen.log_constant(y, np.array(design.weights))
    for level in range(own.grouping.n_levels):
        rows = own.grouping.codes == level

        def log_density(u: float, rows: np.ndarray = rows) -> float:
            eta = fixed[rows] + z[rows] * np.sqrt(VARIANCE) * u
            loss = design.weights[rows] @ chosen.loss(y[rows], eta, auxiliary)
            return -float(loss) - 0.5 * u**2 - 0.5 * np.log(2 * np.pi)

        top = max(log_density(u) for u in np.linspace(-6, 6, 241))
        value, _ = quad(lambda u, f=log_density, top=top: np.exp(f(u) - top), -9, 9, epsabs=1e-12, limit=200)
        total += np.log(value) + top
    assert QuadraturePoint(at, 40).loglik == pytest.approx(total, abs=1e-6)


@pytest.mark.parametrize("family", RESPONSES)
def test_one_node_is_laplace(family: str) -> None:
    _, at = make(family, "(1 | g)")
    one = QuadraturePoint(at, 1)
    assert one.loglik == pytest.approx(at.loglik, abs=1e-10)
    np.testing.assert_allclose(one.gradient(), at.gradient(), atol=1e-8)


@pytest.mark.parametrize("family", RESPONSES)
@pytest.mark.parametrize("term", TERMS)
def test_gradient(family: str, term: str) -> None:
    _, at = make(family, term)
    here = QuadraturePoint(at, 5)
    vector, h = here.vector, 1e-5
    numeric = [
        (here.move(vector + e).loglik - here.move(vector - e).loglik) / (2 * h)
        for e in h * np.eye(len(vector))
    ]
    numeric[1] = 0.0  # sigma^2, which these families do not have
    np.testing.assert_allclose(here.gradient(), numeric, atol=1e-6, rtol=1e-6)


def test_score_of_a_variance_of_zero_is_the_limit() -> None:
    _, at = make("bernoulli", "(1 | g)")
    scores = [QuadraturePoint(at.move(np.r_[v, at.vector[1:]]), 7).gradient()[0] for v in (0.0, 1e-7)]
    assert scores[0] == pytest.approx(scores[1], rel=1e-4)

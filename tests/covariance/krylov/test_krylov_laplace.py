"""The krylov engine's Laplace likelihood against the dense engine's; for the signs see `test_krylov_gaussian`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from problems import FORMULAS, Model, model

from mixedfx.covariance.derivatives import Derivatives
from mixedfx.covariance.krylov import sampled_inverse
from mixedfx.covariance.krylov.laplace import KrylovLaplaceProblem
from mixedfx.covariance.krylov.sampled_inverse import Accuracy
from mixedfx.covariance.laplace import LaplaceProblem
from mixedfx.covariance.parameters import Covariances
from mixedfx.families import get_family
from mixedfx.linalg.operator import Parts
from mixedfx.linalg.probes import ProbeSigns

TO_THE_END = Accuracy(exact=1e-9, sampled=1e-13, settled=1e-20)
FAMILIES = ["bernoulli", "binomial", "poisson", "cumulative"]


@pytest.fixture(autouse=True)
def _sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampled_inverse, "FEW", 0)


def problems(m: Model, family: str) -> tuple[KrylovLaplaceProblem, LaplaceProblem]:
    chosen = get_family(family)
    krylov = KrylovLaplaceProblem.of(m.design, chosen, probes=2, seed=0, accuracy=TO_THE_END)
    complete = ProbeSigns.of(krylov.layout.n_rest, 1000, seed=0, n_rows=1)
    return replace(krylov, signs=complete), LaplaceProblem.of(m.design, chosen)


@pytest.mark.parametrize(
    "kind", ["slopes on both", "nested and crossed", "three crossed", "no fixed effects"]
)
@pytest.mark.parametrize("family", FAMILIES)
def test_expectations_are_exact(kind: str, family: str) -> None:
    assert kind in FORMULAS
    m = model(kind, 4, family=family)
    krylov, exact = problems(m, family)
    point = Covariances(tuple(0.3 * m.sigmas[t.name] for t in krylov.space.terms), 1.0)
    beta = 0.1 * np.cos(np.arange(krylov.p))
    alpha = exact.response.start_alpha(exact.rows.offset)
    one, two = krylov.at(point, beta, alpha), exact.at(point, beta, alpha)
    assert one.loglik == pytest.approx(two.loglik, abs=1e-6)
    np.testing.assert_allclose(one.gradient(), two.gradient(), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(one.gradient_alone(), two.gradient(), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(one.average_information(), two.average_information(), rtol=1e-6, atol=1e-6)
    for factor, b in two.b.items():
        np.testing.assert_allclose(one.b[factor], b, rtol=1e-7, atol=1e-9)


def test_moves_that_cannot_be_followed_have_no_likelihood() -> None:
    m = model("crossed", 2, family="cumulative")
    krylov, exact = problems(m, "cumulative")
    point = Covariances(tuple(0.3 * m.sigmas[t.name] for t in krylov.space.terms), 1.0)
    at = krylov.at(point, np.zeros(krylov.p), exact.response.start_alpha(exact.rows.offset))
    vector = at.vector
    vector[-2:] = vector[-2:][::-1]  # thresholds that fall
    assert at.move(vector).loglik == -np.inf


@pytest.mark.parametrize("engine", [0, 1])
def test_a_first_order_start_out_of_range_is_given_up(engine: int, monkeypatch: pytest.MonkeyPatch) -> None:
    m = model("crossed", 2, family="poisson")
    problem = problems(m, "poisson")[engine]
    point = Covariances(tuple(0.3 * m.sigmas[t.name] for t in problem.space.terms), 1.0)
    at = problem.at(point, np.zeros(problem.rows.X.shape[1]), np.zeros(0))
    at.average_information()  # so that the mode's derivatives are known
    vector = at.vector + 0.1
    vector[problem.space.size - 1] = 1.0  # sigma^2 is no parameter
    expected = at.move(vector).loglik

    def far(self: Derivatives, b: Parts, moved: object, lambdas: object) -> Parts:  # noqa: ARG001
        return Parts(np.full_like(b.e, 1e4), np.full_like(b.rest, 1e4))

    monkeypatch.setattr(Derivatives, "followed", far)
    assert at.move(vector).loglik == pytest.approx(expected, abs=1e-8)

"""The krylov engine's gaussian likelihood against the exact engine's.

Its estimators are quadratic in the signs of the probes, so that a complete set of them gives their expectation exactly.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from problems import FORMULAS, Model, model

from mixedfx.covariance.gaussian import GaussianProblem
from mixedfx.covariance.krylov import sampled_inverse
from mixedfx.covariance.krylov.gaussian import KrylovProblem
from mixedfx.covariance.krylov.sampled_inverse import Accuracy
from mixedfx.covariance.parameters import Covariances
from mixedfx.design import Design
from mixedfx.linalg import probes as probing
from mixedfx.linalg.probes import ProbeSigns

KINDS = sorted(FORMULAS)
TO_THE_END = Accuracy(exact=1e-13, sampled=1e-13, settled=0.0)


def problems(m: Model, reml: bool) -> tuple[KrylovProblem, GaussianProblem]:
    weights = np.random.default_rng(1).uniform(0.5, 2.0, m.design.n_rows)
    design = Design(m.design.y, weights, m.design.predictors, m.design.spec)
    krylov = KrylovProblem.of(design, reml=reml, probes=2, seed=0, accuracy=TO_THE_END)
    complete = ProbeSigns.of(krylov.layout.n_rest, 1000, seed=0, n_rows=1)
    assert complete.complete
    return replace(krylov, signs=complete), GaussianProblem.of(design, reml=reml)


def point(m: Model) -> Covariances:
    return Covariances(tuple(m.sigmas[t.name] for t in m.design.predictors.terms), m.sigma2)


@pytest.mark.parametrize("few", [0, 48], ids=["all sampled", "small factors solved"])
@pytest.mark.parametrize("singular", [False, True])
@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_expectations_are_exact(
    kind: str, reml: bool, singular: bool, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampled_inverse, "FEW", few)
    m = model(kind, 3, singular=singular)
    krylov, exact = problems(m, reml)
    one, two = krylov.at(point(m)), exact.at(point(m))
    assert one.loglik == pytest.approx(two.loglik, abs=1e-6)
    # A singular Sigma enters the exact engine as its nearly singular factor; scores there reach 1e3.
    np.testing.assert_allclose(one.gradient(), two.gradient(), rtol=1e-6, atol=1e-5)
    np.testing.assert_allclose(one.average_information(), two.average_information(), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(one.beta, two.beta, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(one.beta_covariance(), two.beta_covariance(), rtol=1e-7, atol=1e-10)
    for factor, b in two.b.items():
        np.testing.assert_allclose(one.b[factor], b, rtol=1e-6, atol=1e-8)


def test_samples_vary_as_they_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over seeds, the mean gradient varies with the standard error that its probes have."""
    monkeypatch.setattr(probing, "COMPLETE_WORK", 0)
    m = model("slopes on both", 5)
    gradients, errors = [], []
    for seed in range(60):
        problem = KrylovProblem.of(m.design, reml=True, probes=16, seed=seed)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sampled_inverse, "FEW", 0)
            assert not problem.signs.complete
            at = problem.at(point(m))
            gradients.append(at.gradient())
            errors.append(at.gradients().std(axis=1, ddof=1) / 4)
    ratio = np.std(gradients, axis=0, ddof=1) / np.sqrt(np.mean(np.square(errors), axis=0))
    # 60 seeds know a standard deviation to 9 %.
    assert ((ratio > 0.65) & (ratio < 1.4)).all(), ratio

"""Exact gaussian likelihood: value, score and average information against dense formulas and differences."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import DenseModel
from problems import FORMULAS, Model, model

from mixedfx.covariance.gaussian import GaussianProblem
from mixedfx.covariance.parameters import Covariances
from mixedfx.design import Design

KINDS = sorted(FORMULAS)


def weighted(m: Model, seed: int) -> Design:
    weights = np.random.default_rng(seed).uniform(0.5, 2.0, m.design.n_rows)
    return Design(m.design.y, weights, m.design.predictors, m.design.spec)


def at(m: Model) -> Covariances:
    return Covariances(tuple(m.sigmas[t.name] for t in m.design.predictors.terms), m.sigma2)


def dense_loglik(design: Design, problem: GaussianProblem, phi: np.ndarray) -> float:
    point = problem.space.point(phi)
    sigmas = {t.name: S for t, S in zip(problem.space.terms, point.matrices, strict=True)}
    dense = DenseModel.of(design.predictors, sigmas)
    return dense.loglik(design.y, point.sigma2, design.weights, reml=problem.reml)


@settings(deadline=None, max_examples=25)
@given(kind=st.sampled_from(KINDS), seed=st.integers(0, 10_000), reml=st.booleans(), singular=st.booleans())
def test_loglik(kind: str, seed: int, reml: bool, singular: bool) -> None:
    m = model(kind, seed, singular=singular)
    design = weighted(m, seed)
    problem = GaussianProblem.of(design, reml=reml)
    got = problem.at(at(m)).loglik
    assert got == pytest.approx(dense_loglik(design, problem, problem.space.vector(at(m))), abs=1e-8)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reml", [True, False])
def test_score(kind: str, reml: bool) -> None:
    m = model(kind, 7)
    design = weighted(m, 7)
    problem = GaussianProblem.of(design, reml=reml)
    phi = problem.space.vector(at(m))
    h = 1e-5
    steps = np.eye(len(phi)) * h
    numeric = [
        (dense_loglik(design, problem, phi + e) - dense_loglik(design, problem, phi - e)) / (2 * h)
        for e in steps
    ]
    # The log-likelihood is about 1e2 with rounding 1e-13 of it: differences are good to 1e-6.
    np.testing.assert_allclose(problem.at(at(m)).gradient(), numeric, atol=1e-5, rtol=1e-6)


@pytest.mark.parametrize("kind", ["one factor", "crossed", "slopes on both", "nested and crossed"])
@pytest.mark.parametrize("reml", [True, False])
def test_score_at_singular_covariances(kind: str, reml: bool) -> None:
    """All covariances zero, and one of rank one: the score is what it tends to from inside."""
    m = model(kind, 9)
    design = weighted(m, 9)
    problem = GaussianProblem.of(design, reml=reml)
    zero = Covariances(tuple(np.zeros_like(S) for S in at(m).matrices), m.sigma2)
    for point in (zero, at(model(kind, 9, singular=True))):
        near = Covariances(tuple(S + 1e-7 * np.eye(len(S)) for S in point.matrices), point.sigma2)
        exact, limit = problem.at(point).gradient(), problem.at(near).gradient()
        # The score moves by about (curvature x 1e-7) between the two points.
        np.testing.assert_allclose(exact, limit, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("singular", [False, True])
def test_average_information(kind: str, singular: bool) -> None:
    m = model(kind, 11, singular=singular)
    design = weighted(m, 11)
    problem = GaussianProblem.of(design, reml=True)
    dense = DenseModel.of(design.predictors, m.sigmas)
    P = dense.projector(m.sigma2, design.weights)
    Py = P @ (design.y - dense.offset)
    columns = []
    for entry in problem.space.entries:
        term = problem.space.terms[entry.term]
        Z = dense.Z[:, dense.blocks[term.name]]
        g = (Z.T @ Py).reshape(term.grouping.n_levels, term.q)
        columns.append(Z @ (g @ problem.space.basis(entry)).ravel())
    F = np.column_stack([*columns, Py / design.weights])
    got = problem.at(at(m)).average_information()
    np.testing.assert_allclose(got, 0.5 * F.T @ P @ F, rtol=1e-7, atol=1e-9)


def test_fixed_effects_and_modes() -> None:
    m = model("slopes on both", 13)
    problem = GaussianProblem.of(m.design, reml=True)
    here = problem.at(at(m))
    dense = DenseModel.of(m.design.predictors, m.sigmas)
    V = dense.marginal_covariance(m.sigma2, m.design.weights)
    Vi = np.linalg.inv(V)
    covariance = np.linalg.inv(dense.X.T @ Vi @ dense.X)
    beta = covariance @ dense.X.T @ Vi @ m.design.y
    np.testing.assert_allclose(here.beta, beta, atol=1e-10)
    np.testing.assert_allclose(here.beta_covariance(), covariance, atol=1e-10)
    b = dense.Lambda @ dense.Lambda.T @ dense.Z.T @ Vi @ (m.design.y - dense.X @ beta)
    for name, block in dense.blocks.items():
        np.testing.assert_allclose(here.b[name].ravel(), b[block], atol=1e-10)

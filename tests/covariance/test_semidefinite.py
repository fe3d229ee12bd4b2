"""The constrained step against a brute-force search and its optimality conditions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mixedfx.covariance.parameters import Covariances, ParameterSpace
from mixedfx.covariance.semidefinite import constrained_step
from mixedfx.grouping import Grouping
from mixedfx.predictors import RandomTerm


def space(*free: NDArray[np.bool_]) -> ParameterSpace:
    terms = []
    for k, mask in enumerate(free):
        q = len(mask)
        grouping = Grouping(f"g{k}", np.zeros(1, dtype=np.int32), pd.RangeIndex(2))
        terms.append(
            RandomTerm(grouping, tuple(f"c{i}" for i in range(q)), np.arange(q, dtype=np.int32), mask)
        )
    return ParameterSpace.of(tuple(terms))


FULL2, FULL3 = np.ones((2, 2), dtype=bool), np.ones((3, 3), dtype=bool)


@settings(deadline=None, max_examples=60)
@example(seed=3, zero=True)
@example(seed=227, zero=True)
@given(seed=st.integers(0, 100_000), zero=st.booleans())
def test_optimality_in_the_cone(seed: int, zero: bool) -> None:
    """Slack of the model's gradient Y = -grad at the solution: Y >= 0 and Y Sigma = 0 (Boyd & Vandenberghe 5.9)."""
    rng = np.random.default_rng(seed)
    s = space(FULL3, np.eye(1, dtype=bool))
    root = rng.standard_normal((3, 3))
    S = np.zeros((3, 3)) if zero else root @ root.T
    phi = s.vector(Covariances((S, np.array([[0.3]])), 1.0))
    A = rng.standard_normal((len(phi), len(phi) + 2))
    Q = A @ A.T
    score = 3 * rng.standard_normal(len(phi))
    step = constrained_step(s, phi, score, Q, with_sigma=True)
    new = s.point(step.phi)
    d = step.phi - phi
    slope = score - Q @ d
    for k, matrix in enumerate(new.matrices):
        q = len(matrix)
        gradient = np.zeros((q, q))
        for value, entry in zip(slope, s.entries, strict=False):
            if entry.term == k:
                share = value if entry.i == entry.j else value / 2
                gradient[entry.i, entry.j] = gradient[entry.j, entry.i] = share
        scale = np.abs(score).max()
        assert np.linalg.eigvalsh(matrix)[0] >= -1e-12
        assert np.linalg.eigvalsh(gradient)[-1] <= 1e-4 * scale
        assert np.abs(gradient @ matrix).max() <= 1e-4 * scale * max(1.0, np.abs(matrix).max())
    assert step.predicted_gain >= -1e-12


def test_interior_maximum_is_newtons() -> None:
    s = space(FULL2)
    phi = s.vector(Covariances((np.eye(2),), 1.0))
    Q = np.diag([4.0, 2.0, 5.0, 3.0])
    score = np.array([0.4, -0.2, 0.5, 0.3])
    step = constrained_step(s, phi, score, Q, with_sigma=True)
    np.testing.assert_allclose(step.phi - phi, score / np.diag(Q), atol=1e-9)
    assert step.predicted_gain == pytest.approx(0.5 * np.sum(score**2 / np.diag(Q)))


def test_unwanted_variance_becomes_exactly_zero_and_returns() -> None:
    s = space(np.eye(1, dtype=bool))
    Q = np.diag([1.0, 1.0])
    step = constrained_step(s, np.array([0.5, 1.0]), np.array([-2.0, 0.0]), Q, with_sigma=True)
    assert step.phi[0] == 0.0
    step = constrained_step(s, np.array([0.0, 1.0]), np.array([0.7, 0.0]), Q, with_sigma=True)
    assert step.phi[0] == pytest.approx(0.7)
    step = constrained_step(s, np.array([0.0, 1.0]), np.array([-0.7, 0.0]), Q, with_sigma=True)
    assert step.phi[0] == 0.0
    assert abs(step.predicted_gain) < 1e-12


def test_structural_zeros_stay() -> None:
    s = space(np.eye(2, dtype=bool))
    phi = s.vector(Covariances((np.eye(2),), 1.0))
    step = constrained_step(s, phi, np.array([-5.0, 0.1, 0.0]), np.eye(3), with_sigma=True)
    S = s.point(step.phi).matrices[0]
    assert S[0, 1] == 0.0
    assert S[0, 0] == 0.0
    assert S[1, 1] == pytest.approx(1.1, abs=1e-5)


def test_sigma_can_be_kept() -> None:
    s = space(FULL2)
    phi = s.vector(Covariances((np.eye(2),), 1.0))
    step = constrained_step(s, phi, np.ones(4), np.eye(4), with_sigma=False)
    assert step.phi[-1] == 1.0


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 100_000))
def test_held_entries_stay_and_the_rest_is_best(seed: int) -> None:
    """A variance and, of another block, a covariance are held; no feasible step nearby gains more."""
    rng = np.random.default_rng(seed)
    s = space(FULL3, FULL2)
    roots = [rng.standard_normal((q, q)) for q in (3, 2)]
    phi = s.vector(Covariances(tuple(root @ root.T for root in roots), 1.0))
    held = (1, 8)
    A = rng.standard_normal((len(phi), len(phi) + 2))
    Q, score = A @ A.T, 3 * rng.standard_normal(len(phi))
    step = constrained_step(s, phi, score, Q, with_sigma=True, held=held)
    assert (step.phi[list(held)] == phi[list(held)]).all()
    assert all(np.linalg.eigvalsh(S)[0] >= -1e-9 * np.trace(S) for S in s.point(step.phi).matrices)
    free = [i for i in range(len(phi)) if i not in held]
    # Towards random feasible points the model falls: its maximum over a convex set.
    slope = score - Q @ (step.phi - phi)
    for _ in range(20):
        other = [rng.standard_normal((q, q)) for q in (3, 2)]
        matrices = [r @ r.T for r in other]
        matrices[0] *= np.outer(*[np.array([1, np.sqrt(phi[1] / matrices[0][1, 1]), 1])] * 2)
        matrices[1] += np.array([[abs(phi[8]), 0], [0, abs(phi[8])]])
        matrices[1][0, 1] = matrices[1][1, 0] = phi[8]
        if np.linalg.eigvalsh(matrices[1])[0] < 0:
            continue
        point = s.vector(Covariances(tuple(matrices), rng.uniform(0.1, 3.0)))
        away = point - step.phi
        assert slope[free] @ away[free] <= 1e-5 * np.abs(score).max() * np.abs(away[free]).sum()


def test_a_variance_held_at_zero_leaves_the_rest_of_its_block() -> None:
    s = space(FULL2)
    phi = np.array([0.0, 0.5, 0.0, 1.0])
    step = constrained_step(s, phi, np.array([5.0, -4.0, 3.0, 0.0]), np.eye(4), with_sigma=False, held=(0, 2))
    assert step.phi.tolist() == [0.0, 0.0, 0.0, 1.0]
    step = constrained_step(s, phi, np.array([5.0, 0.3, 3.0, 0.0]), np.eye(4), with_sigma=False, held=(0, 2))
    assert step.phi.tolist() == pytest.approx([0.0, 0.8, 0.0, 1.0])


def test_entries_behind_the_covariances_can_be_held() -> None:
    s = space(np.eye(1, dtype=bool))
    Q = np.eye(4) + 0.3
    score = np.array([0.1, 0.0, 0.4, 0.5])
    step = constrained_step(s, np.array([1.0, 1.0, 2.0, 3.0]), score, Q, with_sigma=False, held=(3,))
    assert step.phi[3] == 3.0
    expected = np.linalg.solve(Q[np.ix_([0, 2], [0, 2])], score[[0, 2]])
    np.testing.assert_allclose(step.phi[[0, 2]] - [1.0, 2.0], expected, atol=1e-9)
    assert step.predicted_gain == pytest.approx(0.5 * score[[0, 2]] @ expected)

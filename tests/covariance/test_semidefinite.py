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

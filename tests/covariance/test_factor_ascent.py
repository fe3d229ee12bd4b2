"""Optima at the boundary that steps in the covariances reach only by crawling."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mixedfx as mfx
from mixedfx.covariance.factor_ascent import RankCoordinates, pivoted_factor
from mixedfx.covariance.parameters import Covariances, ParameterSpace
from mixedfx.grouping import Grouping
from mixedfx.predictors import RandomTerm

TWELVE_ROWS = [
    (51.90953475402937, 1.0549541269233662, 1.2715155786448213, "a1", "f1"),
    (51.43251502611332, 0.020820728522041757, 0.7694846477907346, "a1", "f1"),
    (52.167612532000426, 0.8925141265594766, 0.837466869735825, "a1", "f0"),
    (56.966899023598835, 0.3047656219679122, 0.843937312937816, "a0", "f2"),
    (51.55949261004191, -0.7451751847838439, -0.26665127105587116, "a1", "f2"),
    (51.70742526404513, -1.1920534756682277, 1.4032496788202176, "a1", "f0"),
    (55.89572315639396, -2.0351916069917744, -1.1201859544143138, "a0", "f2"),
    (53.483460244509075, 0.06763961911851189, -1.9105269151582507, "a0", "f2"),
    (51.28874355690941, -0.5664946455554427, 1.1492590815033576, "a1", "f2"),
    (57.25463868093228, 0.5696890920149886, -0.028147708033262924, "a0", "f1"),
    (48.23672439298534, -0.7532242318700125, 0.08876382238234823, "a1", "f2"),
    (57.024527874492705, 0.2809531589562693, -1.1790653649586613, "a0", "f1"),
]
"""Three slopes and two levels. With six starts lme4 1.1-31 (bobyqa, rhoend 1e-11) ends at a deviance of 42.6861302."""


def test_a_rank_of_one() -> None:
    """Steps in the covariances alone are 0.004 above the minimum of the deviance after a hundred of them."""
    data = pd.DataFrame(TWELVE_ROWS, columns=["y", "x", "z", "a", "f"])
    fit = mfx.learn_covariance("y ~ z + x + (0 + f | a)", data, method="ml")
    assert fit.converged
    assert fit.deviance == pytest.approx(42.6861302, abs=1e-6)
    assert np.linalg.matrix_rank(fit.varcorr["a"].to_numpy(), tol=1e-8) == 1
    assert fit.stats["iterations"] < 40


def space(*sizes: int) -> ParameterSpace:
    terms = []
    for k, q in enumerate(sizes):
        grouping = Grouping(f"g{k}", np.zeros(1, dtype=np.int32), pd.RangeIndex(2))
        free = np.ones((q, q), dtype=bool)
        if q == 3:  # two bar terms: (1 + x | g) + (0 + z | g)
            free[2, :2] = free[:2, 2] = False
        names = tuple(f"c{i}" for i in range(q))
        terms.append(RandomTerm(grouping, names, np.arange(q, dtype=np.int32), free))
    return ParameterSpace.of(tuple(terms))


def singular(rng: np.random.Generator, q: int, rank: int) -> np.ndarray:
    root = rng.standard_normal((q, rank))
    return root @ root.T


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000), rank=st.integers(0, 4))
def test_factors_of_any_rank(seed: int, rank: int) -> None:
    S = singular(np.random.default_rng(seed), 4, rank) if rank else np.zeros((4, 4))
    L, order = pivoted_factor(S)
    assert L.shape == (4, rank)
    np.testing.assert_allclose(L @ L.T, S, atol=1e-9 * max(np.abs(S).max(), 1.0))
    # Echelon in the order of the pivots.
    np.testing.assert_array_equal(np.triu(L[order], 1), 0)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10_000), with_sigma=st.booleans())
def test_derivatives_in_factors(seed: int, with_sigma: bool) -> None:
    """Of the quadratic g'phi - phi'Q phi / 2, against differences."""
    rng = np.random.default_rng(seed)
    own = space(2, 3)
    block = np.zeros((3, 3))
    block[:2, :2], block[2, 2] = singular(rng, 2, 1), 0.7
    phi = own.vector(Covariances((singular(rng, 2, 1), block), 1.3))
    vector = np.append(phi, rng.standard_normal(2))  # two fixed effects
    n = len(vector)
    root = rng.standard_normal((n, n))
    Q, g = root @ root.T, rng.standard_normal(n)
    coordinates = RankCoordinates.at(own, vector, with_sigma=with_sigma)
    theta = coordinates.of(vector)
    np.testing.assert_allclose(coordinates.vector(theta, vector), vector, atol=1e-12)

    def value(t: np.ndarray) -> float:
        v = coordinates.vector(t, vector)
        return float(g @ v - 0.5 * v @ Q @ v)

    score = g - Q @ vector
    J = coordinates.jacobian(theta, n)
    steps = 1e-4 * np.eye(len(theta))
    slopes = [(value(theta + h) - value(theta - h)) / 2e-4 for h in steps]
    np.testing.assert_allclose(J.T @ score, slopes, rtol=1e-5, atol=1e-5)
    second = [
        [
            (value(theta + h + k) - value(theta + h - k) - value(theta - h + k) + value(theta - h - k)) / 4e-8
            for k in steps
        ]
        for h in steps
    ]
    np.testing.assert_allclose(coordinates.bend(score) - J.T @ Q @ J, second, rtol=1e-3, atol=1e-3)

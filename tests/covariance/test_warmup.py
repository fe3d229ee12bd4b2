"""Warm-up of chains together: lengths of windows, masses, and when chains agree."""

from __future__ import annotations

import numpy as np
import pytest

from mixedfx.covariance.warmup import Moments, agree, pooled_inverse_mass, windows


@pytest.mark.parametrize(
    ("warmup", "expected"),
    [
        (1000, [50, 50, 100, 100, 300, 400]),
        (300, [50, 50, 100, 100]),
        (400, [50, 50, 100, 100, 100]),
        (30, [5, 5, 10, 10]),
        (1, [1]),
    ],
)
def test_windows_take_all_iterations(warmup: int, expected: list[int]) -> None:
    assert windows(warmup) == expected


def test_masses_of_a_normal_distribution_need_few_draws() -> None:
    """Gradients of N(m, s^2) are -(x - m) / s^2, so that sd(x) / sd(gradient) is s^2 whatever the draws."""
    rng = np.random.default_rng(0)
    variance = np.array([1e-4, 1.0, 400.0])
    chains = []
    for _ in range(3):
        x = 5.0 + np.sqrt(variance) * rng.standard_normal((6, 3))
        g = -(x - 5.0) / variance
        chains.append(Moments(x.mean(axis=0), x.var(axis=0), g.mean(axis=0), g.var(axis=0)))
    np.testing.assert_allclose(pooled_inverse_mass(chains, variance * 2), variance, rtol=1e-9)


def test_what_did_not_move_keeps_its_mass() -> None:
    still = Moments(np.ones(2), np.zeros(2), np.ones(2), np.array([0.0, 1.0]))
    np.testing.assert_array_equal(pooled_inverse_mass([still, still], np.array([3.0, 4.0])), [3.0, 4.0])


def test_chains_agree_where_they_are_in_the_same_place() -> None:
    rng = np.random.default_rng(1)
    together = rng.standard_normal((4, 100))
    assert agree([together])
    apart = together + np.array([[0.0], [0.0], [0.0], [2.0]])
    assert not agree([together, apart])
    moving = together + np.linspace(-2, 2, 100)  # together, but not arrived
    assert not agree([moving])
    assert not agree([np.ones((4, 100)) + np.arange(4)[:, None]])

"""Importance sampling of densities whose moments are known, and what is read off weighted draws."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from scipy.special import logsumexp

from mixedfx.covariance.importance import WeightedDraws, first_proposals, sample_importance, upright
from mixedfx.covariance.weighted_posterior import (
    effective_sizes,
    equal_weight_draws,
    weighted_covariance,
    weighted_quantile,
)

Floats = NDArray[np.float64]
FLIPS = np.array([[-1.0, 1.0, -1.0]])
"""The first coordinate's sign turns the third's."""


def sampled(log_density, mode: Floats, root: Floats, most: int = 4000, seed: int = 0) -> WeightedDraws:
    return sample_importance(
        first_proposals(mode, root, FLIPS),
        FLIPS,
        log_density,
        most=most,
        enough=lambda draws, weights: False,  # noqa: ARG005
        rng=np.random.default_rng(seed),
    )


@pytest.mark.parametrize("centre", [[6.0, 1.0, -1.0], [0.3, 1.0, 0.2], [1.5, 1.0, 0.5]])
def test_moments_of_a_folded_normal(centre: list[float]) -> None:
    """Of N(centre, S) and its mirror image, upright, far from 0, around it and between: against plain draws."""
    S = np.array([[0.5, 0.2, 0.1], [0.2, 1.0, -0.3], [0.1, -0.3, 0.8]])
    target = stats.multivariate_normal(centre, S)

    def log_density(x: Floats) -> Floats:
        return logsumexp([target.logpdf(x), target.logpdf(x * FLIPS[0])], axis=0)

    # A poor start: the mode's covariance without correlations, and half as wide.
    found = sampled(log_density, np.array(centre), 0.5 * np.sqrt(np.diag(np.diag(S))))
    plain = upright(target.rvs(400_000, random_state=1), FLIPS)
    assert (found.draws[:, 0] >= 0).all()
    assert found.pareto_k < 0.4
    sizes = effective_sizes(found.draws, found.weights)
    assert (sizes > 1500).all()
    mean, sd = found.weights @ found.draws, plain.std(axis=0)
    assert (np.abs(mean - plain.mean(axis=0)) < 4 * sd / np.sqrt(sizes)).all()
    covariance = weighted_covariance(found.draws, found.weights)
    np.testing.assert_allclose(np.sqrt(np.diag(covariance)), sd, rtol=0.06)


def test_a_second_rise_at_zero_is_found() -> None:
    """A fifth of the mass lies in a spike at 0, outside the bulk that the mode's curvature describes."""

    def log_density(x: Floats) -> Floats:
        bulk = stats.multivariate_normal([2.0, 0.0, 1.0], np.diag([0.09, 1.0, 1.0]))
        spike = stats.multivariate_normal([0.0, 0.0, 0.0], np.diag([0.01, 1.0, 0.5]))
        both = logsumexp([bulk.logpdf(x), bulk.logpdf(x * FLIPS[0])], axis=0)
        return logsumexp([both + np.log(0.8), np.log(2) + spike.logpdf(x) + np.log(0.2)], axis=0)

    root = np.diag([0.45, 1.0, 1.0])  # 2 is 4.4 of these from 0: within reach
    found = sampled(log_density, np.array([2.0, 0.0, 1.0]), root)
    near = (found.draws[:, 0] < 0.6).astype(float)[:, None]
    error = 0.4 / np.sqrt(effective_sizes(near, found.weights)[0])
    assert abs(float(found.weights @ near[:, 0]) - 0.2) < 4 * error


def test_heavier_tails_than_the_proposals_show_in_k() -> None:
    """Of a density that cannot be normalised the weights have no mean: k is about 1 or more."""
    found = sampled(lambda x: -1.2 * np.log1p((x**2).sum(axis=1)), np.array([9.0, 0.0, 0.0]), np.eye(3))
    assert found.pareto_k > 0.7


def test_interrupted_rounds_are_left_out() -> None:
    calls = []

    def log_density(x: Floats) -> Floats:
        calls.append(len(x))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return stats.multivariate_normal(np.full(3, 9.0)).logpdf(x)

    found = sampled(log_density, np.full(3, 9.0), np.eye(3))
    assert found.interrupted
    assert len(found.draws) == sum(calls[:2])
    calls[:] = [0, 0]
    with pytest.raises(KeyboardInterrupt):
        sampled(log_density, np.full(3, 9.0), np.eye(3))


def test_effective_sizes_are_those_of_repeated_estimates() -> None:
    """Var(h) / Var(weighted mean of h) over many repetitions, for weights of a known proposal."""
    rng = np.random.default_rng(4)
    means, sizes = [], []
    for _ in range(400):
        x = 1.5 * rng.standard_normal(300)
        w = np.exp(-0.5 * x**2 * (1 - 1 / 1.5**2))
        w /= w.sum()
        h = np.stack([x, x**2], axis=1)
        means.append(w @ h)
        sizes.append(effective_sizes(h, w))
    expected = np.array([1.0, 2.0]) / np.var(means, axis=0)
    np.testing.assert_allclose(np.mean(sizes, axis=0), expected, rtol=0.2)


def test_equal_weights_give_the_usual_numbers() -> None:
    x = np.random.default_rng(5).standard_normal((200, 2))
    even = np.full(200, 1 / 200)
    np.testing.assert_allclose(effective_sizes(x, even), 200)
    assert weighted_quantile(x[:, 0], even, 0.25) == np.sort(x[:, 0])[49]


def test_draws_of_equal_weight_occur_by_their_weights() -> None:
    weights = np.array([0.5, 0.0, 0.3, 0.2])
    kept = equal_weight_draws(weights, 100, np.random.default_rng(6))
    assert np.bincount(kept, minlength=4).tolist() == [50, 0, 30, 20]
    assert not (np.diff(kept) >= 0).all()

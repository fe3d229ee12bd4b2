"""The statistics of nested estimates, on normal models where their expectations are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from mixedfx.checks import agreement

LEVELS = 4000


def nested_means(seed: int = 0) -> tuple[np.ndarray, ...]:
    """b ~ N(0, 1); the first stage sees 2 observations of variance 1, the second 5 more.

    Returns posterior means and variances of both stages.
    """
    rng = np.random.default_rng(seed)
    b = rng.standard_normal(LEVELS)
    first = b[:, None] + rng.standard_normal((LEVELS, 2))
    further = b[:, None] + rng.standard_normal((LEVELS, 5))
    b1 = first.sum(axis=1) / 3
    b2 = (first.sum(axis=1) + further.sum(axis=1)) / 8
    return b1, b2, np.full(LEVELS, 1 / 3), np.full(LEVELS, 1 / 8)


def test_slope_is_least_squares() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((2, 30))
    assert agreement.slope(x, y).value == pytest.approx(np.polyfit(x, y, 1)[0])


def test_slope_of_second_on_first_is_one_but_not_the_reverse() -> None:
    b1, b2, _, _ = nested_means()
    forwards, backwards = agreement.slope(b1, b2), agreement.slope(b2, b1)
    assert abs(forwards.value - 1) < 4 * forwards.error
    # Var(b1) / Var(b2) = (1 - 1/3) / (1 - 1/8).
    assert backwards.value == pytest.approx((2 / 3) / (7 / 8), abs=4 * backwards.error)
    assert backwards.p_value < 1e-10


def test_slope_error_is_that_of_repeated_data() -> None:
    slopes = []
    for seed in range(200):
        b1, b2, _, _ = nested_means(seed)
        slopes.append(agreement.slope(b1[:100], b2[:100]))
    spread = np.std([s.value for s in slopes])
    # The standard deviation of 200 values has a relative error of 5 %.
    assert np.mean([s.error for s in slopes]) == pytest.approx(spread, rel=0.2)
    assert np.mean([s.p_value < 0.05 for s in slopes]) == pytest.approx(0.05, abs=0.05)


def test_equal_stages_have_slope_one_without_error() -> None:
    b = np.arange(20.0)
    slope = agreement.slope(b, b)
    assert (slope.value, slope.p_value) == (pytest.approx(1), pytest.approx(1))


def test_z_scores_with_the_difference_of_variances_have_spread_one() -> None:
    b1, b2, V1, V2 = nested_means()
    right = agreement.spread((b2 - b1) / np.sqrt(V1 - V2))
    assert abs(right.value - 1) < 4 * right.error
    # With the sum of the variances, as if the stages shared no data, they would be far too small.
    assert agreement.spread((b2 - b1) / np.sqrt(V1 + V2)).value < 0.8


def test_intervals_cover_draws_as_often_as_they_say_and_means_more_often() -> None:
    b1, b2, V1, V2 = nested_means()
    half = 1.6448536 * np.sqrt(V1)
    draws = agreement.coverage(agreement.share_inside(b1 - half, b1 + half, b2, np.sqrt(V2)), 0.9)
    assert abs(draws.value - 0.9) < 4 * draws.error
    assert draws.p_value > 1e-4
    means = np.mean(np.abs(b2 - b1) < half)
    assert means > 0.94


def test_share_inside_is_that_of_drawn_values() -> None:
    rng = np.random.default_rng(2)
    drawn = 0.3 + 0.5 * rng.standard_normal(100_000)
    share = agreement.share_inside(np.array([-0.2]), np.array([0.6]), np.array([0.3]), np.array([0.5]))[0]
    # Monte Carlo error sqrt(0.25 / 1e5) = 0.0016.
    assert share == pytest.approx(np.mean((drawn > -0.2) & (drawn < 0.6)), abs=0.007)


def test_ranks_of_nested_posteriors_are_uniform() -> None:
    """b1 = E[b | few rows], b2 = E[b | more rows]: draws of the second are uniform among the first's quantiles."""
    rng, n = np.random.default_rng(2), 20_000
    probabilities = np.arange(1, 100) / 100
    b1, V1, V2 = rng.standard_normal(n), 0.5, 0.2
    b2 = b1 + np.sqrt(V1 - V2) * rng.standard_normal(n)
    bounds = b1 + norm.ppf(probabilities)[:, None] * np.sqrt(V1)

    def pit(sd: float, shift: float = 0.0) -> np.ndarray:
        mean, spread = (b2 + shift)[:, None], np.full((n, 1), sd)
        return np.array([agreement.shares_below(bound[:, None], mean, spread)[0] for bound in bounds])

    # The mean over levels has a standard error of at most 0.5 / sqrt(20,000) = 0.0035.
    sound = agreement.uniformity(pit(np.sqrt(V2)), probabilities, n)
    assert sound.value < 0.012
    assert sound.p_value > 0.01
    # Modes taken for draws, and a shift of stage 2, are not uniform.
    assert agreement.uniformity(pit(1e-9), probabilities, n).p_value < 1e-6
    assert agreement.uniformity(pit(np.sqrt(V2), 0.2), probabilities, n).value > 0.08

"""Statistics of two estimates of the same quantities when the second rests on the first one's data and more.

If both are posterior means under one model, E[b2 | b1] = b1: the slope of b2 on b1 is 1, Var(b2 - b1) = V1 - V2, and an
interval of the first covers a draw of the second as often as it says. None of this holds the other way round: the
slope of b1 on b2 is below 1, and an interval of the first covers the second's *mean* more often than it says.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2, kstwo, norm, t

Floats = NDArray[np.float64]

LEAST_RATIO = 1e-6
"""Standard errors are at least this: where both stages had the same rows, the rest is rounding."""


class Estimate(NamedTuple):
    """A statistic, its standard error, and the probability that chance takes it as far from what is expected."""

    value: float
    error: float
    p_value: float


def slope(b1: Floats, b2: Floats) -> Estimate:
    """Least-squares slope of b2 on b1 with intercept, both (J,); 1 is expected.

    The standard error allows for unequal variances (HC3, MacKinnon & White 1985), as levels with few and with many
    rows have.

    Examples
    --------
    >>> round(slope(np.array([-1.0, 0.0, 1.0, 2.0]), np.array([-0.4, 0.1, 0.5, 1.0])).value, 2)
    0.46
    """
    x, y = b1 - b1.mean(), b2 - b2.mean()
    total = float(x @ x)
    value = float(x @ y) / total
    leverage = 1 / len(x) + x**2 / total
    residual = (y - value * x) / np.maximum(1 - leverage, 1e-6)
    error = max(float(np.sqrt(np.sum((x * residual) ** 2))) / total, LEAST_RATIO)
    return Estimate(value, error, float(2 * t.sf(abs(value - 1) / error, len(x) - 2)))


def spread(z: Floats) -> Estimate:
    """Root mean square of z-scores (J,) that are deviations from a mean; 1 is expected, more is wrong."""
    value = float(np.sqrt(np.mean(z**2)))
    degrees = len(z) - 1
    return Estimate(value, float(1 / np.sqrt(2 * degrees)), float(chi2.sf(value**2 * degrees, degrees)))


def share_inside(lower: Floats, upper: Floats, mean: Floats, sd: Floats) -> Floats:
    """Share of the draws from N(mean, sd^2) that are between two bounds; all (J,)."""
    return norm.cdf((upper - mean) / sd) - norm.cdf((lower - mean) / sd)


def shares_below(bound: Floats, mean: Floats, sd: Floats) -> Floats:
    """Mean over the levels, the first axis, of the share of the draws from N(mean, sd^2) below a bound; all (J, q)."""
    with np.errstate(divide="ignore", invalid="ignore"):  # 0 / 0 where a variance in Sigma is 0
        return norm.cdf((bound - mean) / sd).mean(axis=0)


def uniformity(shares: Floats, probabilities: Floats, n_levels: int) -> Estimate:
    """How far a PIT is from uniform: the largest distance between shares and probabilities; 0 is expected.

    The p-value is Kolmogorov and Smirnov's for one draw a level. The shares are averages over the draws of each
    level, which vary less, so that chance takes them as far more seldom than it says.
    """
    distance = np.abs(shares - probabilities)
    value = float(distance.max())
    at = float(probabilities[distance.argmax()])
    return Estimate(value, float(np.sqrt(at * (1 - at) / n_levels)), float(kstwo.sf(value, n_levels)))


def coverage(inside: Floats, expected: float) -> Estimate:
    """Mean over levels of the share of stage-2 draws inside stage 1's interval, (J,)."""
    value = float(inside.mean())
    error = max(float(inside.std(ddof=1) / np.sqrt(len(inside))), LEAST_RATIO)
    return Estimate(value, error, float(2 * t.sf(abs(value - expected) / error, len(inside) - 1)))

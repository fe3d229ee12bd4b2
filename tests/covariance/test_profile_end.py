"""Solving for an end, on profiles that are known in closed form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest

from mixedfx.covariance.held import Held
from mixedfx.covariance.profile_end import FISHER, IDENTITY, LOG, find_end
from mixedfx.errors import ConvergenceError


@dataclass(frozen=True)
class Known:
    """A deviance as a function of the parameter, with its derivative."""

    estimate: float
    deviance: Callable[[float], float]
    tried: list[float] = field(default_factory=list)
    spread: float = 1.0

    def hold(self, value: float, near: Held | None) -> Held:
        assert near is None or near.value in self.tried
        self.tried.append(value)
        step = 1e-6 * max(abs(value), 1e-3)
        slope = (self.deviance(value + step) - self.deviance(value - step)) / (2 * step)
        return Held(value, self.deviance(value), slope, None)


def test_a_parabola_takes_one_step() -> None:
    profile = Known(2.0, lambda x: 7 + 4 * (x - 2) ** 2)
    end = find_end(profile, IDENTITY, deviance=7.0, rise=4.0, first=2.7)
    assert end.value == pytest.approx(3.0, abs=1e-6)
    assert len(profile.tried) <= 3


@pytest.mark.parametrize("side", [-1, 1])
def test_a_variance_with_zero_far_away(side: int) -> None:
    """-2 log-likelihood of a normal variance: n (log v + s^2 / v)."""
    profile = Known(1.5, lambda v: 10 * (np.log(v) + 1.5 / v))
    lowest = profile.deviance(1.5)
    end = find_end(profile, LOG, deviance=lowest, rise=3.84, first=1.5 * 2.0**side)
    assert profile.deviance(end.value) - lowest == pytest.approx(3.84, abs=1e-5)
    assert side * (end.value - 1.5) > 0
    assert len(profile.tried) <= 6


@pytest.mark.parametrize("excess", [1e-1, 1e-3])
def test_an_end_beside_a_variance_of_zero(excess: float) -> None:
    """zeta levels off towards 0 on the scale of the logarithm, a little above its target."""
    profile = Known(1.0, lambda v: (3.84 + excess) * (1 - v) ** 2)
    zero = Held(0.0, 3.84 + excess, np.nan, None)
    end = find_end(profile, LOG, deviance=0.0, rise=3.84, first=0.1, beyond=zero)
    assert profile.deviance(end.value) == pytest.approx(3.84, abs=1e-5)
    assert 0 < end.value < 0.02
    assert len(profile.tried) <= 20


def test_a_profile_that_levels_off_has_an_infinite_end() -> None:
    profile = Known(0.0, lambda x: 3 * (1 - np.exp(-(x**2))))
    assert find_end(profile, IDENTITY, deviance=0.0, rise=3.84, first=1.0).value == np.inf
    assert find_end(profile, IDENTITY, deviance=0.0, rise=3.84, first=-1.0).value == -np.inf


def test_the_last_value_is_not_passed() -> None:
    profile = Known(0.5, lambda r: 0.4 * (np.arctanh(r) - np.arctanh(0.5)) ** 2)
    end = find_end(profile, FISHER, deviance=0.0, rise=3.84, first=0.9, last=0.99)
    assert end.value == 0.99
    assert max(profile.tried) <= 0.99


def test_a_plateau_outside_is_left() -> None:
    """Far from the estimate the deviance no longer changes: Newton's method is of no use from there."""
    profile = Known(0.0, lambda x: min(x**2, 9.0))
    end = find_end(profile, IDENTITY, deviance=0.0, rise=4.0, first=50.0)
    assert end.value == pytest.approx(2.0, abs=1e-5)


def test_a_likelihood_above_the_fits_is_an_error() -> None:
    profile = Known(0.0, lambda x: (x - 1) ** 2 - 1)
    with pytest.raises(ConvergenceError, match="not at its maximum"):
        find_end(profile, IDENTITY, deviance=0.0, rise=4.0, first=1.0)

"""The end of a profile-likelihood interval, found directly: where the deviance has risen by a given amount.

With zeta = sqrt(deviance - smallest deviance) the end solves zeta(value) = z. On the right scale (the logarithm of a
variance, Fisher's of a correlation) zeta is close to a straight line, and the derivative of the deviance is known, so
that Newton's method needs two or three constrained maximisations. Every point tried narrows a bracket, to which it
falls back where zeta is no such line, as beside a boundary (Venzon & Moolgavkar 1988, Appl. Stat. 37, solve for the
end and the other parameters at once, which has no room for the cone).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mixedfx.covariance.held import Held, Profile
from mixedfx.errors import ConvergenceError

ACCURACY = 1e-6
"""Of zeta: an end is as many standard errors off."""
LOWER = 1e-3
"""A deviance as much below that of the fit shows that the fit is not at its maximum."""
MAX_POINTS = 40
FARTHEST = 40.0
"""In standard errors on the profile's scale: a profile that has not risen there is taken never to rise."""
LONGEST = 3.0
"""A step goes at most as many times as far from the estimate as the last point that was inside."""


@dataclass(frozen=True, eq=False)
class Scale:
    """Where zeta is nearly a straight line.

    Attributes
    ----------
    to, back
        The transformation and its inverse.
    rate
        d value / d transformed, at a value.
    middle
        Of two values, either of which may be one at which the transformation is infinite.
    """

    to: Callable[[float], float]
    back: Callable[[float], float]
    rate: Callable[[float], float]
    middle: Callable[[float, float], float]


IDENTITY = Scale(lambda x: x, lambda t: t, lambda _: 1.0, lambda a, b: 0.5 * (a + b))
LOG = Scale(
    lambda v: float(np.log(v)) if v > 0 else -np.inf,
    lambda t: float(np.exp(t)),
    lambda v: v,
    lambda a, b: (0.5 * (np.sqrt(a) + np.sqrt(b))) ** 2,
)
FISHER = Scale(
    lambda r: float(np.arctanh(r)) if abs(r) < 1 else float(np.copysign(np.inf, r)),
    lambda t: float(np.tanh(t)),
    lambda r: 1 - r**2,
    lambda a, b: 0.5 * (a + b),
)


def find_end(
    profile: Profile,
    scale: Scale,
    *,
    deviance: float,
    rise: float,
    first: float,
    beyond: Held | None = None,
    last: float | None = None,
) -> Held:
    """The value on the side of `first` at which the deviance has risen by `rise`.

    Parameters
    ----------
    profile, scale
        The parameter, and where it is nearly quadratic.
    deviance
        At the maximum.
    first
        The value to try first.
    beyond
        A point at which the deviance has risen by more.
    last
        The farthest value to try.

    Returns
    -------
    Held
        Its value is infinite, or `last`, where the deviance never rises so much, and NaN where the profile could not
        be followed.

    Raises
    ------
    ConvergenceError
        A lower deviance than the fit's was met.
    """
    side = 1.0 if first > profile.estimate else -1.0
    z, center = np.sqrt(rise), scale.to(profile.estimate)
    if not np.isfinite(center):
        center = scale.to(first) - side
    step = abs(scale.to(first) - center)
    inside = Held(profile.estimate, deviance, 0.0, None)
    outside, near = beyond, None
    value, gap = first, np.inf
    for _ in range(MAX_POINTS):
        held = profile.hold(value, near)
        if held.deviance < deviance - LOWER:
            raise ConvergenceError(
                f"a likelihood higher than that of the fit was met (deviance {held.deviance:.4f}, the fit's is "
                f"{deviance:.4f}): the fit is not at its maximum; fit again from other starting values (start=)"
            )
        zeta = np.sqrt(max(held.deviance - deviance, 0.0))
        if abs(zeta - z) <= ACCURACY * z:
            return held
        target = _newton(scale, held, zeta, z, side)
        if target is not None and side * (scale.back(target) - inside.value) > 0:
            # A search that starts where the profile is flat, as where a variance has gone to 0, may stay there.
            near = held
        if zeta < z:
            inside = held
            if value == last:
                return held
            if outside is None and side * (scale.to(value) - center) > FARTHEST * step:
                return Held(side * np.inf, held.deviance, held.slope, held.at)
        else:
            outside = held
        slow, gap = abs(zeta - z) > 0.5 * gap, abs(zeta - z)
        value = _next(scale, target, inside, outside, center, step, side, slow=slow)
        if last is not None and side * (value - last) > 0:
            value = last
        if outside is not None and abs(outside.value - inside.value) <= 1e-12 * abs(outside.value):
            break
    return Held(np.nan, inside.deviance, np.nan, inside.at)


def _newton(scale: Scale, held: Held, zeta: float, z: float, side: float) -> float | None:
    """Where the tangent of zeta reaches z; None where it tells nothing."""
    rate = side * held.slope * scale.rate(held.value)
    if not np.isfinite(zeta) or not rate > 0 or zeta == 0:
        return None
    return scale.to(held.value) + side * 2 * zeta * (z - zeta) / rate


def _next(
    scale: Scale,
    target: float | None,
    inside: Held,
    outside: Held | None,
    center: float,
    step: float,
    side: float,
    *,
    slow: bool,
) -> float:
    """Newton's point where it lies in the bracket and has been of use, else a point that narrows the bracket."""
    here = scale.to(inside.value)
    if outside is None:
        here = here if np.isfinite(here) else center
        reached = max(side * (here - center), step)
        far = here + side * LONGEST * reached
        return scale.back(far if target is None or side * (target - far) > 0 else target)
    if target is not None and not slow:
        value = scale.back(target)
        if side * (value - inside.value) > 0 and side * (outside.value - value) > 0:
            return value
    return scale.middle(inside.value, outside.value)

"""The step of an optimizer over covariances: maximise a quadratic model inside the positive semidefinite cone.

    max  s'd - 1/2 d'Q d     subject to   Sigma_k + dSigma_k(d) >= 0,   sigma^2 + d_sigma > 0

Where the unconstrained maximum lies inside, it is the answer. Otherwise a barrier method follows the central path to
the boundary (Boyd & Vandenberghe 2004, section 11.3; a handful of variables, so its cost is nothing beside one
likelihood). The solution satisfies the optimality conditions of the cone: a variance or correlation goes to its
boundary where the model wants it there, and leaves it again as soon as the score says so. No bookkeeping of which
parameters are at a boundary is needed, and a variance of zero is no trap.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from mixedfx.covariance.parameters import Covariances, ParameterSpace

Floats = NDArray[np.float64]

SIGMA2_SHRINK = 0.05
"""One step takes sigma^2 to no less than this share of itself: the quadratic model knows nothing of its pole at 0."""
GAP = 1e-13
"""Duality gap (in units of log-likelihood) at which the central path ends."""
ZERO = 1e-5
"""An eigenvalue below this many standard errors is set to zero exactly: that costs ZERO^2 / 2 of log-likelihood."""


@dataclass(frozen=True, eq=False)
class Step:
    """The model's maximiser phi_new and the gain that the model predicts for it (in log-likelihood)."""

    phi: Floats
    predicted_gain: float


def constrained_step(
    space: ParameterSpace, phi: Floats, score: Floats, information: Floats, *, with_sigma: bool
) -> Step:
    """Maximise score'd - d'information d/2 inside the cone.

    Parameters
    ----------
    space
        Says which entry of phi is which; entries beyond its size (fixed effects) are not constrained.
    phi
        Present point, shape (n,), inside the cone or at its boundary.
    score, information
        Gradient (n,) and positive semidefinite matrix (n, n).
    with_sigma
        False keeps sigma^2, the last of the space's entries, as it is.
    """
    size = space.size
    own, more = slice(None, size), slice(size, None)
    if len(phi) == size:
        return _step_in_cone(space, phi, score, information, with_sigma=with_sigma)
    # Unconstrained entries follow the others: what is left after maximising over them is a problem of the cone alone.
    factor = scipy.linalg.cho_factor(information[more, more])
    follow = scipy.linalg.cho_solve(factor, np.column_stack([score[more], information[more, own]]))
    step = _step_in_cone(
        space,
        phi[own],
        score[own] - information[own, more] @ follow[:, 0],
        information[own, own] - information[own, more] @ follow[:, 1:],
        with_sigma=with_sigma,
    )
    moved = follow[:, 0] - follow[:, 1:] @ (step.phi - phi[own])
    gain = step.predicted_gain + 0.5 * float(score[more] @ follow[:, 0])
    return Step(np.concatenate([step.phi, phi[more] + moved]), gain)


def _step_in_cone(
    space: ParameterSpace, phi: Floats, score: Floats, information: Floats, *, with_sigma: bool
) -> Step:
    free = np.arange(space.size if with_sigma else space.size - 1)
    # In units of each parameter's standard error the model is well scaled, whatever the units of the data.
    unit = 1.0 / np.sqrt(np.maximum(np.diag(information)[free], np.finfo(float).tiny))
    Q = information[np.ix_(free, free)] * np.outer(unit, unit)
    Q = Q + 1e-12 * np.eye(len(free))
    s = score[free] * unit
    cone = _Cone(space, phi, free, unit)
    d = np.linalg.solve(Q, s)
    if with_sigma and cone.sigma2_room(cone.at(d)) <= 0:
        step = _with_least_sigma2(space, phi, score, information)
        if float(score[-1] - information[-1] @ (step.phi - phi)) <= 0:  # sigma^2 wants no other place
            return step
    if not cone.inside(d):
        d = cone.snapped(_central_path(cone, Q, s))
    new = phi.copy()
    new[free] += unit * d
    return Step(new, float(s @ d - 0.5 * d @ Q @ d))


def _with_least_sigma2(space: ParameterSpace, phi: Floats, score: Floats, information: Floats) -> Step:
    """The step that takes sigma^2 as far down as one may, and the others where the model then wants them.

    The barrier has no part in it: so near the pole sigma^2 and its standard error are far apart.
    """
    start = phi.copy()
    start[-1] *= SIGMA2_SHRINK
    score_there = score - information[:, -1] * (start[-1] - phi[-1])
    step = _step_in_cone(space, start, score_there, information, with_sigma=False)
    moved = step.phi - phi
    return Step(step.phi, float(score @ moved - 0.5 * moved @ information @ moved))


@dataclass(frozen=True, eq=False)
class _Cone:
    """The feasible set in the scaled step d."""

    space: ParameterSpace
    phi: Floats
    free: NDArray[np.int64]
    unit: Floats

    def at(self, d: Floats) -> Covariances:
        phi = self.phi.copy()
        phi[self.free] += self.unit * d
        return self.space.point(phi)

    def sigma2_room(self, point: Covariances) -> float:
        return point.sigma2 - SIGMA2_SHRINK * self.phi[-1]

    def inside(self, d: Floats) -> bool:
        point = self.at(d)
        return self.sigma2_room(point) > 0 and all(_positive_definite(S) for S in point.matrices)

    def barrier(self, d: Floats) -> tuple[float, Floats, Floats] | None:
        """-sum log det, its gradient and Hessian in d; None outside."""
        point = self.at(d)
        room = self.sigma2_room(point)
        if room <= 0 or not all(_positive_definite(S) for S in point.matrices):
            return None
        n = len(self.free)
        value, gradient, hessian = 0.0, np.zeros(n), np.zeros((n, n))
        inverses = [np.linalg.inv(S) for S in point.matrices]
        value -= sum(np.linalg.slogdet(S)[1] for S in point.matrices)
        images = [inverses[entry.term] @ self.space.basis(entry) for entry in self.space.entries]
        for a, first in enumerate(self.space.entries):
            gradient[a] = -np.trace(images[a])
            for b, second in enumerate(self.space.entries):
                if first.term == second.term:
                    hessian[a, b] = np.sum(images[a] * images[b].T)
        if n == self.space.size:
            value -= np.log(room)
            gradient[-1], hessian[-1, -1] = -1 / room, 1 / room**2
        return value, gradient * self.unit, hessian * np.outer(self.unit, self.unit)

    def start(self) -> Floats:
        """A step to the inside of the cone: up by a standard error in every variance whose block is singular."""
        d = np.zeros(len(self.free))
        singular = [not _positive_definite(S) for S in self.at(d).matrices]
        for a, entry in enumerate(self.space.entries):
            if singular[entry.term] and entry.i == entry.j:
                d[a] = 1.0
        return d

    def snapped(self, d: Floats) -> Floats:
        """Set eigenvalues that the central path drove towards zero to zero."""
        point = self.at(d)
        matrices = []
        for k, S in enumerate(point.matrices):
            own = [a for a, e in enumerate(self.space.entries) if e.term == k and e.i == e.j]
            scale = np.sqrt(self.unit[own])
            values, vectors = np.linalg.eigh(S / np.outer(scale, scale))
            scaled = (vectors * np.where(values < ZERO, 0.0, values)) @ vectors.T
            # A variance of ZERO^2 can still have covariances of ZERO.
            gone = np.diag(scaled) < ZERO**2
            scaled[gone, :] = scaled[:, gone] = 0.0
            matrices.append(scaled * np.outer(scale, scale))
        snapped = self.space.vector(Covariances(tuple(matrices), point.sigma2))
        return (snapped - self.phi)[self.free] / self.unit


def _central_path(cone: _Cone, Q: Floats, s: Floats) -> Floats:
    d = cone.start()
    n = len(d)
    mu = max(1.0, float(np.abs(s @ np.linalg.solve(Q, s)))) / n
    while mu * n > GAP:
        for _ in range(30):
            at = cone.barrier(d)
            assert at is not None
            value, gradient, hessian = at
            slope = Q @ d - s + mu * gradient
            # Least squares: where rounding has spoilt the information the matrix can be singular.
            newton = -np.linalg.lstsq(Q + mu * hessian, slope, rcond=None)[0]
            decrement = -float(slope @ newton)
            if decrement < 1e-3 * mu:
                break
            objective = 0.5 * d @ Q @ d - s @ d + mu * value
            t = 1.0
            while t > 1e-12:
                trial = d + t * newton
                beyond = cone.barrier(trial)
                if beyond is not None:
                    reached = 0.5 * trial @ Q @ trial - s @ trial + mu * beyond[0]
                    if reached <= objective - 0.1 * t * decrement + 1e-14 * abs(objective):
                        break
                t *= 0.5
            else:
                break
            d = trial
        mu *= 0.1
    return d


def _positive_definite(S: Floats) -> bool:
    """Inside the cone with some room: on the scale of its own standard deviations."""
    diagonal = np.diag(S)
    if (diagonal <= 0).any():
        return False
    scale = np.sqrt(diagonal)
    return bool(np.linalg.eigvalsh(S / np.outer(scale, scale))[0] > 1e-14)

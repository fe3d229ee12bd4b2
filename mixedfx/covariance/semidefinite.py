"""The step of an optimizer over covariances: maximise a quadratic model inside the positive semidefinite cone.

    max  s'd - 1/2 d'Q d     subject to   Sigma_k + dSigma_k(d) >= 0,   sigma^2 + d_sigma > 0

Where the unconstrained maximum lies inside, it is the answer. Otherwise a barrier method follows the central path to
the boundary (Boyd & Vandenberghe 2004, section 11.3; a handful of variables, so its cost is nothing beside one
likelihood). The solution satisfies the optimality conditions of the cone: a variance or correlation goes to its
boundary where the model wants it there, and leaves it again as soon as the score says so. No bookkeeping of which
parameters are at a boundary is needed, and a variance of zero is no trap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from mixedfx.covariance.parameters import Covariances, Entry, ParameterSpace

Floats = NDArray[np.float64]

SIGMA2_SHRINK = 0.05
"""One step takes sigma^2 to no less than this share of itself: the quadratic model knows nothing of its pole at 0."""
GAP = 1e-13
"""Duality gap (in units of log-likelihood) at which the central path ends."""
MOST_NEWTON_STEPS = 30
CENTRED = 1e-3
"""Squared Newton decrement, in units of the barrier, of a point that is near enough to the central path."""
TO_BOUNDARY = 0.95
"""Share of the way to the boundary that a step along the central path takes at most."""
SINGULAR = 1e-14
"""Least eigenvalue, on the scale of the diagonal, of a matrix with some room."""
LEAST_ROOM = 1e-12
"""Standard errors of a variance that are too few to begin from inside the cone."""
LEAST_INFORMATION = 1e-12
"""Least information on a variance with a negative score, relative to its square; of a fit that is not exact it is about
1 over the number of levels."""
NOTHING = 1e-14
"""Information on the size of a variance that is rounding."""
ZERO = 1e-5
"""An eigenvalue below this many standard errors is set to zero exactly: that costs ZERO^2 / 2 of log-likelihood."""


@dataclass(frozen=True, eq=False)
class Step:
    """The model's maximiser phi_new and the gain that the model predicts for it (in log-likelihood)."""

    phi: Floats
    predicted_gain: float


@np.errstate(over="ignore", invalid="ignore")  # numbers out of range end in an error
def constrained_step(
    space: ParameterSpace,
    phi: Floats,
    score: Floats,
    information: Floats,
    *,
    with_sigma: bool,
    held: Sequence[int] = (),
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
    held
        Further entries of phi that are kept. A variance that is held at 0 has its covariances held at 0 as well.
    """
    size = space.size
    kept = set(held) if with_sigma else {*held, size - 1}
    free = np.array([i for i in range(size) if i not in kept], dtype=np.int64)
    own = np.arange(size)
    more = np.array([i for i in range(size, len(phi)) if i not in kept], dtype=np.int64)
    if not len(more):
        step = _step_in_cone(space, phi[own], score[own], information[np.ix_(own, own)], free)
        return Step(np.concatenate([step.phi, phi[size:]]), step.predicted_gain)
    # Unconstrained entries follow the others: what is left after maximising over them is a problem of the cone alone.
    cross = information[np.ix_(more, own)]
    factor = scipy.linalg.cho_factor(information[np.ix_(more, more)])
    follow = scipy.linalg.cho_solve(factor, np.column_stack([score[more], cross]))
    step = _step_in_cone(
        space,
        phi[own],
        score[own] - cross.T @ follow[:, 0],
        information[np.ix_(own, own)] - cross.T @ follow[:, 1:],
        free,
    )
    new = np.concatenate([step.phi, phi[size:]])
    new[more] += follow[:, 0] - follow[:, 1:] @ (step.phi - phi[own])
    return Step(new, step.predicted_gain + 0.5 * float(score[more] @ follow[:, 0]))


def _step_in_cone(
    space: ParameterSpace, phi: Floats, score: Floats, information: Floats, free: NDArray[np.int64]
) -> Step:
    information = information + np.diag(_lacking_information(space, score, information))
    free = free[~undetermined(space, phi, score, information)[free]]
    # In units of each parameter's standard error the model is well scaled, whatever the units of the data.
    units = 1.0 / np.sqrt(np.maximum(np.diag(information), np.finfo(float).tiny))
    unit = units[free]
    Q = information[np.ix_(free, free)] * np.outer(unit, unit)
    Q = Q + 1e-12 * np.eye(len(free))
    s = score[free] * unit
    cone = _Cone(space, phi, free, units)
    d = np.linalg.solve(Q, s)
    if cone.with_sigma and cone.sigma2_room(d) <= 0:
        step = _with_least_sigma2(space, phi, score, information, free)
        if float(score[-1] - information[-1] @ (step.phi - phi)) <= 0:  # sigma^2 wants no other place
            return step
    if not cone.inside(d):
        d = cone.snapped(_central_path(cone, _with_positive_eigenvalues(Q), s))
    new = phi.copy()
    new[free] += unit * d
    for a, entry in enumerate(space.entries):
        if _is_variance(entry):
            new[a] = max(new[a], 0.0)  # a variance of 0, but for rounding
    return Step(new, float(s @ d - 0.5 * d @ Q @ d))


def undetermined(space: ParameterSpace, phi: Floats, score: Floats, information: Floats) -> NDArray[np.bool_]:
    """Entries of coefficients whose variance the data say nothing of, shape (n,): steps leave them as they are.

    REML knows nothing of a factor whose levels the fixed effects tell apart: its score and information are rounding.
    """
    unknown = set()
    for a, e in enumerate(space.entries):
        if _is_variance(e):
            size = max(phi[a], phi[-1])
            if information[a, a] * size**2 < NOTHING and abs(score[a]) * size < np.sqrt(NOTHING):
                unknown.add((e.term, e.i))
    flags = [(e.term, e.i) in unknown or (e.term, e.j) in unknown for e in space.entries]
    return np.array([*flags, False])


def _lacking_information(space: ParameterSpace, score: Floats, information: Floats) -> Floats:
    """What to add to the diagonal so that each entry has a scale, shape (n,).

    A response that the fixed effects meet exactly, such as one proportion in all rows, leaves no average information on
    variances, whose scores all the same say that they are 0.
    """
    falls = {(e.term, e.i): max(-score[a], 0.0) for a, e in enumerate(space.entries) if _is_variance(e)}
    least = [LEAST_INFORMATION * falls[e.term, e.i] * falls[e.term, e.j] for e in space.entries]
    lacking = np.zeros(len(score))
    lacking[: len(least)] = np.maximum(least - np.diag(information)[: len(least)], 0.0)
    return lacking


def _with_least_sigma2(
    space: ParameterSpace, phi: Floats, score: Floats, information: Floats, free: NDArray[np.int64]
) -> Step:
    """The step that takes sigma^2 as far down as one may, and the others where the model then wants them.

    The barrier has no part in it: so near the pole sigma^2 and its standard error are far apart.
    """
    start = phi.copy()
    start[-1] *= SIGMA2_SHRINK
    score_there = score - information[:, -1] * (start[-1] - phi[-1])
    step = _step_in_cone(space, start, score_there, information, free[:-1])
    moved = step.phi - phi
    return Step(step.phi, float(score @ moved - 0.5 * moved @ information @ moved))


@dataclass(frozen=True, eq=False)
class _Part:
    """What has to be positive definite of one term: matrix + sum_a d[columns[a]] directions[a].

    Coefficients whose variance is held at 0 are left out.

    Attributes
    ----------
    coefficients
        Those that are in it, shape (r,).
    matrix, directions
        At d = 0, shape (r, r), and its change with each entry of d that bears on it, shape (m, r, r).
    columns
        These entries, shape (m,).
    """

    term: int
    coefficients: NDArray[np.int64]
    matrix: Floats
    directions: Floats
    columns: NDArray[np.int64]

    def at(self, d: Floats) -> Floats:
        return self.matrix + self.change(d)

    def change(self, step: Floats) -> Floats:
        """Of the matrix, with a step in d."""
        flat = self.directions.reshape(len(self.columns), -1)
        return (step[self.columns] @ flat).reshape(self.matrix.shape)


@dataclass(frozen=True, eq=False)
class _Cone:
    """The feasible set in the scaled step d.

    Attributes
    ----------
    phi, units
        The present point and the scale of each of its entries, shape (size,).
    free
        Which of them may move; d has one entry for each.
    """

    space: ParameterSpace
    phi: Floats
    free: NDArray[np.int64]
    units: Floats

    def at(self, d: Floats) -> Covariances:
        phi = self.phi.copy()
        phi[self.free] += self.units[self.free] * d
        return self.space.point(phi)

    @cached_property
    def movable(self) -> frozenset[int]:
        """Entries that may move."""
        return frozenset(self.free.tolist())

    @cached_property
    def with_sigma(self) -> bool:
        """Whether sigma^2 may move; it is d's last entry then."""
        return self.space.size - 1 in self.movable

    @cached_property
    def parts(self) -> tuple[_Part, ...]:
        """One a term that is not held as a whole."""
        space, parts = self.space, []
        point = space.point(self.phi)
        for k, S in enumerate(point.matrices):
            own = [(a, e) for a, e in enumerate(space.entries) if e.term == k]
            if self.movable.isdisjoint(a for a, _ in own):
                continue
            variances = [a for a, e in own if _is_variance(e)]
            kept = np.flatnonzero([a in self.movable or self.phi[a] > 0 for a in variances])
            moving = [(column, a) for column, a in enumerate(self.free) if a in dict(own)]
            directions = [
                self.units[a] * space.basis(space.entries[a])[np.ix_(kept, kept)] for _, a in moving
            ]
            columns = np.array([column for column, _ in moving])
            parts.append(_Part(k, kept, S[np.ix_(kept, kept)], np.array(directions), columns))
        return tuple(parts)

    def sigma2_room(self, d: Floats) -> float:
        moved = self.units[-1] * d[-1] if self.with_sigma else 0.0
        return self.phi[-1] * (1 - SIGMA2_SHRINK) + moved

    def inside(self, d: Floats) -> bool:
        room = not self.with_sigma or self.sigma2_room(d) > 0
        return room and all(_is_inside(part.at(d)) for part in self.parts)

    def images(self, d: Floats) -> list[Floats] | None:
        """Each part's directions in the metric of its matrix at d: R' direction R with R R' the inverse.

        (m, r, r) each. sigma^2's room is a matrix of one entry. None where a matrix is singular, but for rounding.
        """
        images, room = [], self.sigma2_room(d)
        for part in self.parts:
            S = part.at(d)
            diagonal = np.diag(S)
            if not (diagonal > 0).all():
                return None
            scale = 1.0 / np.sqrt(diagonal)
            values, vectors = np.linalg.eigh(S * np.outer(scale, scale))
            if values[0] <= SINGULAR:
                return None
            root = scale[:, None] * vectors / np.sqrt(values)
            images.append(root.T @ part.directions @ root)
        if self.with_sigma:
            if room <= 0:
                return None
            images.append(np.full((1, 1, 1), self.units[-1] / room))
        return images

    @cached_property
    def columns(self) -> list[NDArray[np.int64]]:
        """Entries of d that bear on each of the `images`."""
        own = [part.columns for part in self.parts]
        return [*own, np.array([len(self.free) - 1])] if self.with_sigma else own

    def barrier_derivatives(self, images: list[Floats]) -> tuple[Floats, Floats]:
        """Gradient and Hessian in d of the barrier, -sum log det."""
        n = len(self.free)
        gradient, hessian = np.zeros(n), np.zeros((n, n))
        for columns, image in zip(self.columns, images, strict=True):
            gradient[columns] = -np.trace(image, axis1=1, axis2=2)
            flat = image.reshape(len(image), -1)
            hessian[np.ix_(columns, columns)] = flat @ flat.T
        return gradient, hessian

    def changes(self, images: list[Floats], step: Floats) -> Floats:
        """Numbers e such that the barrier falls by sum log(1 + t e) with t times the step."""
        return np.concatenate(
            [
                np.linalg.eigvalsh(np.tensordot(step[columns], image, 1))
                for columns, image in zip(self.columns, images, strict=True)
            ]
        )

    def start(self) -> Floats:
        """A step to the inside of the cone: up by a standard error in every variance whose block is singular, or small
        beyond what the barrier can be computed of."""
        d = np.zeros(len(self.free))
        singular = {part.term for part in self.parts if not _is_inside(part.matrix)}
        singular |= {
            entry.term
            for a, entry in enumerate(self.space.entries)
            if _is_variance(entry) and self.phi[a] < LEAST_ROOM * self.units[a]
        }
        for a, index in enumerate(self.free):
            if index < len(self.space.entries):
                entry = self.space.entries[index]
                if entry.term in singular and _is_variance(entry):
                    d[a] = 1.0
        return d

    def snapped(self, d: Floats) -> Floats:
        """Set eigenvalues that the central path drove towards zero to zero.

        Held variances keep their value; a block with a held covariance stays inside the cone, as the path left it.
        """
        point, movable = self.at(d), self.movable
        matrices = list(point.matrices)
        for k, part in ((part.term, part.coefficients) for part in self.parts):
            S = point.matrices[k]
            own = [(a, e) for a, e in enumerate(self.space.entries) if e.term == k]
            if any(a not in movable and not _is_variance(e) and e.i in part and e.j in part for a, e in own):
                continue
            variances = [a for a, e in own if _is_variance(e)]
            held = np.array([a not in movable for a in variances])
            scale = np.sqrt(self.units[variances])
            values, vectors = np.linalg.eigh(S / np.outer(scale, scale))
            scaled = (vectors * np.where(values < ZERO, 0.0, values)) @ vectors.T
            # A variance of ZERO^2 can still have covariances of ZERO.
            gone = (np.diag(scaled) < ZERO**2) & ~held
            scaled[gone, :] = scaled[:, gone] = 0.0
            matrix = scaled * np.outer(scale, scale)
            stretch = np.ones(len(S))
            there = held & (np.diag(matrix) > 0)
            stretch[there] = np.sqrt(np.diag(S)[there] / np.diag(matrix)[there])
            matrices[k] = matrix * np.outer(stretch, stretch)
        snapped = self.space.vector(Covariances(tuple(matrices), point.sigma2))
        return (snapped - self.phi)[self.free] / self.units[self.free]


def _central_path(cone: _Cone, Q: Floats, s: Floats) -> Floats:
    d = cone.start()
    images = cone.images(d)
    n = len(d)
    mu = max(1.0, float(np.abs(s @ np.linalg.solve(Q, s)))) / n
    while mu * n > GAP:
        before = np.inf
        for _ in range(MOST_NEWTON_STEPS):
            assert images is not None
            gradient, hessian = cone.barrier_derivatives(images)
            slope = Q @ d - s + mu * gradient
            newton = -_solved(Q + mu * hessian, slope)
            decrement = -float(slope @ newton)
            # Near the centre the decrement falls quadratically, unless what is left of it is rounding.
            if decrement < CENTRED * mu or (decrement < mu and decrement > 0.5 * before):
                break
            before = decrement
            rise, bend = float((Q @ d - s) @ newton), float(newton @ Q @ newton)
            t = _best_length(rise, bend, mu, cone.changes(images, newton))
            there = cone.images(d + t * newton)
            if there is None:  # as near to the boundary as rounding allows
                return d
            d, images = d + t * newton, there
        mu *= 0.02
    return d


def _best_length(rise: float, bend: float, mu: float, changes: Floats) -> float:
    """The t that minimises rise t + bend t^2 / 2 - mu sum log(1 + t e), at most `TO_BOUNDARY` of the way there."""
    fall = -float(changes.min())
    high = TO_BOUNDARY / fall if fall > 0 else np.inf
    low, t = 0.0, min(1.0, high)
    for _ in range(30):
        shares = changes / (1.0 + t * changes)
        slope = rise + bend * t - mu * float(shares.sum())
        if slope < 0 and t == high:
            break
        low, high = (t, high) if slope < 0 else (low, t)
        t_new = t - slope / (bend + mu * float(shares @ shares))
        if not low < t_new < high:
            t_new = min(high, 2 * t) if np.isinf(high) or slope < 0 else 0.5 * (low + high)
        if abs(t_new - t) < 0.01 * t:
            return t_new
        t = t_new
    return t


def _solved(A: Floats, b: Floats) -> Floats:
    """A^-1 b of a positive definite matrix; by least squares where rounding has spoilt that.

    Raises
    ------
    LinAlgError
        A number is not finite.
    """
    if not (np.isfinite(A).all() and np.isfinite(b).all()):
        raise np.linalg.LinAlgError("the numbers of a step are not finite")
    scale = 1.0 / np.sqrt(np.maximum(np.diag(A), np.finfo(float).tiny))
    scaled = A * np.outer(scale, scale)
    try:
        return scale * scipy.linalg.cho_solve(scipy.linalg.cho_factor(scaled, check_finite=False), scale * b)
    except np.linalg.LinAlgError:
        return scale * np.linalg.lstsq(scaled, scale * b, rcond=None)[0]


def _with_positive_eigenvalues(Q: Floats) -> Floats:
    """Rounding can leave the information with negative eigenvalues, along which the model would rise for ever."""
    values, vectors = np.linalg.eigh(Q)
    return (vectors * np.maximum(values, 1e-12)) @ vectors.T


def _is_variance(entry: Entry) -> bool:
    return entry.i == entry.j


def _is_inside(S: Floats) -> bool:
    """Whether S is positive definite with some room, on the scale of its own standard deviations."""
    diagonal = np.diag(S)
    if not (diagonal > 0).all():
        return False
    scale = np.sqrt(diagonal)
    return bool(np.linalg.eigvalsh(S / np.outer(scale, scale))[0] > SINGULAR)

"""A likelihood maximised with one of its parameters held at a value: the points of a profile.

The deviance's derivative along the profile is that along any path through feasible points on which the held parameter
changes (the others' contributions vanish at the constrained maximum). Where a correlation is at +-1, a variance
cannot move alone: its path stretches its coefficient, covariances included, which leaves no cone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mixedfx.covariance.average_information import Optimum, maximise
from mixedfx.covariance.gaussian import GaussianPoint, GaussianProblem
from mixedfx.covariance.likelihood_point import LikelihoodPoint
from mixedfx.covariance.parameters import ParameterSpace

Floats = NDArray[np.float64]

SETTLED = 1e-4
"""What a further step may still promise, in log-likelihood, for a point to be used that did not fully converge."""


@dataclass(frozen=True, eq=False)
class Held:
    """The constrained maximum at one value.

    Attributes
    ----------
    value
        Of the parameter that is held.
    deviance
        -2 log-likelihood, infinite where no likelihood could be computed or maximised.
    slope
        d deviance / d value along the profile.
    at
        The likelihood there: where a neighbour's search starts.
    """

    value: float
    deviance: float
    slope: float
    at: Any


class Profile(Protocol):
    """A parameter that can be held."""

    @property
    def estimate(self) -> float:
        """Its value at the maximum of the likelihood."""
        ...

    @property
    def spread(self) -> float:
        """About its standard error."""
        ...

    def hold(self, value: float, near: Held | None) -> Held:
        """The constrained maximum at a value; the search starts from `near`, or from the maximum."""
        ...


@dataclass(frozen=True, eq=False)
class Search:
    """How a fit's likelihood was maximised, to be done again under a constraint.

    Attributes
    ----------
    optimum
        The unconstrained maximum.
    space
        Its covariance parameters.
    with_sigma, memory
        As `maximise` has them.
    """

    optimum: Optimum[Any]
    space: ParameterSpace
    with_sigma: bool
    memory: int

    def maximum(self, start: LikelihoodPoint, held: Sequence[int]) -> Optimum[Any] | None:
        """The maximum with some entries held; None where it is not found."""
        if not np.isfinite(start.loglik):
            return None
        found = maximise(start, self.space, with_sigma=self.with_sigma, held=held, memory=self.memory)
        return found if found.converged or abs(found.predicted_gain) < SETTLED else None

    def spread(self, index: int) -> float:
        """Standard error of one entry of the vector, as the information at the maximum has it."""
        return information_spread(
            self.optimum.information, index, () if self.with_sigma else (self.space.size - 1,)
        )


def information_spread(information: Floats, index: int, held: Sequence[int]) -> float:
    """Standard error of one entry, those in `held` known."""
    free = np.array([i for i in range(len(information)) if i not in held])
    inverse = np.linalg.pinv(information[np.ix_(free, free)], hermitian=True)
    return float(np.sqrt(max(inverse[np.searchsorted(free, index)] @ (free == index), 0.0)))


def not_found(value: float, at: Any) -> Held:
    """Where there is no constrained maximum; the next search starts from `at`."""
    return Held(value, np.inf, np.nan, at)


@dataclass(frozen=True, eq=False)
class _OfOneEntry:
    """One entry of the vector: its estimate and standard error."""

    search: Search
    index: int

    @property
    def estimate(self) -> float:
        """The entry at the maximum."""
        return float(self.search.optimum.phi[self.index])

    @property
    def spread(self) -> float:
        """Its standard error, as if there were no boundary."""
        return self.search.spread(self.index)


@dataclass(frozen=True, eq=False)
class EntryProfile(_OfOneEntry):
    """An entry of the vector on which no constraint bears: sigma^2, a fixed effect or a threshold.

    Attributes
    ----------
    index
        Of the entry.
    along
        Entries that start as far from where they were as this one: thresholds keep their order in this way.
    """

    along: tuple[int, ...] = ()

    def hold(self, value: float, near: Held | None) -> Held:
        """See `Profile`."""
        at = self.search.optimum.at if near is None else near.at
        vector = at.vector.copy()
        vector[list(self.along)] += value - vector[self.index]
        vector[self.index] = value
        found = self.search.maximum(at.move(vector), (self.index,))
        if found is None:
            return not_found(value, at)
        return Held(value, -2 * found.at.loglik, -2 * float(found.gradient[self.index]), found.at)


@dataclass(frozen=True, eq=False)
class VarianceProfile(_OfOneEntry):
    """The variance of one random coefficient, 0 included."""

    @property
    def _covariances(self) -> list[int]:
        own = self.search.space.entries[self.index]
        return [
            a
            for a, e in enumerate(self.search.space.entries)
            if e.term == own.term and e.i != e.j and own.i in (e.i, e.j)
        ]

    def hold(self, value: float, near: Held | None) -> Held:
        """See `Profile`; at 0 it is the model without this coefficient."""
        at = self.search.optimum.at if near is None else near.at
        vector = at.vector.copy()
        before = vector[self.index]
        # The correlations stay, so that the start is positive semidefinite.
        vector[self._covariances] *= np.sqrt(value / before) if before > 0 else 0.0
        vector[self.index] = value
        held = (self.index,) if value > 0 else (self.index, *self._covariances)
        found = self.search.maximum(at.move(vector), held)
        if found is None:
            return not_found(value, at)
        path = np.zeros_like(found.phi)
        path[self.index] = 1.0
        if value > 0:
            path[self._covariances] = found.phi[self._covariances] / (2 * value)
        return Held(value, -2 * found.at.loglik, -2 * float(found.gradient @ path), found.at)


@dataclass(frozen=True, eq=False)
class GaussianCoefficientProfile:
    """A fixed effect of a gaussian model, whose likelihood has them profiled out.

    Held at b it is an offset: the response less b x, and the model without x.

    Attributes
    ----------
    search
        Of the model with it.
    without
        The model without it.
    estimate, spread
        The fixed effect and its standard error.
    x, x_on_others
        Its column less what the other columns explain, shape (N,) in the layout's order, and the coefficients of
        these, shape (p - 1,).
    """

    search: Search
    without: GaussianProblem
    estimate: float
    spread: float
    x: Floats
    x_on_others: Floats

    def hold(self, value: float, near: Held | None) -> Held:
        """See `Profile`."""
        start = self.search.optimum.at.point if near is None else near.at.point
        y = self.without.y - value * self.x
        coefficients = self.without.least_squares - value * self.x_on_others
        problem = replace(self.without, y=y, least_squares=coefficients)
        found = self.search.maximum(problem.at(start), ())
        if found is None:
            return not_found(value, self.search.optimum.at)
        at: GaussianPoint = found.at
        return Held(value, -2 * at.loglik, -2 * float(self.x @ at.Py), at)

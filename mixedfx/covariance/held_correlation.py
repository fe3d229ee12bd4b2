"""A likelihood maximised with one correlation held.

A correlation is no linear function of covariances. So its factor's Sigma becomes D R D: the entries of R take the
places of those of Sigma, with the diagonal and one correlation held, and the logarithms of D's standard deviations
stand behind all other parameters. What remains is the same problem: a matrix in the cone, some of its entries held.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mixedfx.covariance.held import Held, Search, information_spread, not_found
from mixedfx.covariance.likelihood_point import LikelihoodPoint
from mixedfx.covariance.parameters import ParameterSpace
from mixedfx.varcorr import lower_factor

Floats = NDArray[np.float64]

SMALLEST_SD = 0.1
"""Where a standard deviation that is 0 starts, in units of its variance's standard error."""
INWARD = 1e-3
"""Share of the identity in the R that a search starts from, if R is singular."""
RIDGE = 1e-3
"""Added to the information of each log standard deviation: data that say nothing of one leave it where it is."""


@dataclass(frozen=True, eq=False)
class CorrelationPoint:
    """A likelihood in the parameters (R, other covariances, sigma^2, fixed effects, log standard deviations).

    Attributes
    ----------
    inner
        The likelihood in its own parameters.
    space
        The covariance parameters.
    term
        Which factor's Sigma is D R D.
    log_sd, R
        Of that factor, shapes (q,) and (q, q).
    """

    inner: LikelihoodPoint
    space: ParameterSpace
    term: int
    log_sd: Floats
    R: Floats

    @classmethod
    def of(cls, inner: LikelihoodPoint, space: ParameterSpace, term: int, floor: Floats) -> CorrelationPoint:
        """At `inner`, no standard deviation below `floor`, shape (q,)."""
        S = space.point(inner.vector).matrices[term]
        own = np.sqrt(np.diag(S))
        divisor = np.where(own > 0, own, 1.0)
        R = S / np.outer(divisor, divisor)
        np.fill_diagonal(R, 1.0)
        return cls(inner, space, term, np.log(np.maximum(own, floor)), R)

    @cached_property
    def own(self) -> list[int]:
        """Places of the factor's entries."""
        return [a for a, e in enumerate(self.space.entries) if e.term == self.term]

    @property
    def vector(self) -> Floats:
        """The parameters."""
        vector = np.concatenate([self.inner.vector, self.log_sd])
        vector[self.own] = self._entries(self.R)
        return vector

    def move(self, vector: Floats) -> CorrelationPoint:
        """The same likelihood at other parameters."""
        n, q = len(vector) - len(self.log_sd), len(self.log_sd)
        log_sd, R = vector[n:], np.zeros((q, q))
        for a in self.own:
            e = self.space.entries[a]
            R[e.i, e.j] = R[e.j, e.i] = vector[a]
        inner = vector[:n].copy()
        inner[self.own] = self._entries(R * np.exp(log_sd[:, None] + log_sd))
        return replace(self, inner=self.inner.move(inner), log_sd=log_sd, R=R)

    @property
    def loglik(self) -> float:
        """The value."""
        return self.inner.loglik

    def gradient(self) -> Floats:
        """In the order of `vector`."""
        return self.inner.gradient() @ self._jacobian

    def average_information(self) -> Floats:
        """In the order of `vector`."""
        J = self._jacobian
        information = J.T @ self.inner.average_information() @ J
        place = np.arange(J.shape[0], J.shape[1])
        information[place, place] += RIDGE
        return information

    def _entries(self, matrix: Floats) -> Floats:
        entries = [self.space.entries[a] for a in self.own]
        return np.array([matrix[e.i, e.j] for e in entries])

    @cached_property
    def _jacobian(self) -> Floats:
        """d own parameters of `inner` / d vector."""
        n, q = len(self.inner.vector), len(self.log_sd)
        J = np.hstack([np.eye(n), np.zeros((n, q))])
        for a in self.own:
            e = self.space.entries[a]
            scale = np.exp(self.log_sd[e.i] + self.log_sd[e.j])
            J[a, a] = scale
            J[a, n + e.i] += scale * self.R[e.i, e.j]
            J[a, n + e.j] += scale * self.R[e.i, e.j]
        return J


@dataclass(frozen=True, eq=False)
class CorrelationProfile:
    """The correlation of two coefficients of a factor, neither of whose variances is 0 at the maximum.

    Attributes
    ----------
    index
        The covariance's place among the parameters.
    """

    search: Search
    index: int

    @cached_property
    def _optimum(self) -> CorrelationPoint:
        search, term = self.search, self.search.space.entries[self.index].term
        own = [a for a, e in enumerate(search.space.entries) if e.term == term and e.i == e.j]
        information = np.diag(search.optimum.information)[own]
        floor = SMALLEST_SD * np.maximum(information, np.finfo(float).tiny) ** -0.25
        variances = search.optimum.phi[own]
        return CorrelationPoint.of(search.optimum.at, search.space, term, np.where(variances > 0, 0.0, floor))

    @property
    def estimate(self) -> float:
        """The correlation at the maximum."""
        return float(self._optimum.vector[self.index])

    @property
    def spread(self) -> float:
        """Its standard error."""
        at = self._optimum
        held = [a for a in at.own if at.space.entries[a].i == at.space.entries[a].j]
        if not self.search.with_sigma:
            held.append(at.space.size - 1)
        return information_spread(at.average_information(), self.index, held)

    def hold(self, value: float, near: Held | None) -> Held:
        """See `mixedfx.covariance.held.Profile`; the value is above -1 and below 1."""
        at: CorrelationPoint = self._optimum if near is None else near.at
        entries = at.space.entries
        pair = (entries[self.index].i, entries[self.index].j)
        vector = at.vector
        vector[at.own] = at._entries(_with_correlation(at.R, pair, value))
        held = [a for a in at.own if entries[a].i == entries[a].j]
        found = self.search.maximum(at.move(vector), (*held, self.index))
        if found is None:
            return not_found(value, at)
        there: CorrelationPoint = found.at
        path = np.zeros_like(found.phi)
        path[at.own] = at._entries(_path(there.R, pair, value))
        return Held(value, -2 * there.loglik, -2 * float(found.gradient @ path), there)


def _with_correlation(R: Floats, pair: Sequence[int], value: float) -> Floats:
    """R with another correlation of `pair`, positive definite: one row of its factor turned, the others as they are."""
    order, L = _factor(R, pair)
    L[1, :2] = value, np.sqrt(1 - value**2)
    turned = L @ L.T
    if np.linalg.eigvalsh(turned)[0] < INWARD**2:
        identity = np.eye(len(R))
        identity[0, 1] = identity[1, 0] = value
        turned = (1 - INWARD) * turned + INWARD * identity
    np.fill_diagonal(turned, 1.0)
    out = np.empty_like(R)
    out[np.ix_(order, order)] = turned
    return out


def _path(R: Floats, pair: Sequence[int], value: float) -> Floats:
    """Derivative of `_with_correlation` in the value, at the R that has it."""
    order, L = _factor(R, pair)
    change = np.zeros_like(L)
    change[1, :2] = 1.0, -value / np.sqrt(1 - value**2)
    out = np.empty_like(R)
    out[np.ix_(order, order)] = change @ L.T + L @ change.T
    np.fill_diagonal(out, 0.0)
    return out


def _factor(R: Floats, pair: Sequence[int]) -> tuple[list[int], Floats]:
    """(order of the coefficients that starts with the pair, lower factor of R in that order)."""
    order = [*pair, *(k for k in range(len(R)) if k not in pair)]
    return order, lower_factor(R[np.ix_(order, order)])

"""The free covariances as entries of their lower factors (lme4's theta, times sigma), where differences can be taken.

Singular covariances are no special case there: where a column of Lambda_k is zero, the likelihood is even in it, so
that its cross derivatives with all other parameters vanish and it can be left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedfx.covariance.parameters import Covariances, ParameterSpace
from mixedfx.varcorr import lower_factor

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class FactorCoordinates:
    """Free entries (term, i, j) of the lower factor of each term, those of zero columns left out."""

    space: ParameterSpace
    factors: tuple[Floats, ...]
    entries: tuple[tuple[int, int, int], ...]

    @classmethod
    def at(cls, space: ParameterSpace, point: Covariances) -> FactorCoordinates:
        factors = tuple(lower_factor(S) for S in point.matrices)
        entries = tuple(
            (k, int(i), int(j))
            for k, (term, L) in enumerate(zip(space.terms, factors, strict=True))
            for i, j in np.argwhere(np.tril(term.free))
            if L[j, j] > 0
        )
        return cls(space, factors, entries)

    def jacobian(self, factors: tuple[Floats, ...]) -> Floats:
        """d phi / d theta without sigma^2, shape (n, n_theta)."""
        columns = []
        for k, i, j in self.entries:
            change = tuple(np.zeros_like(L) for L in factors)
            change[k][i] += factors[k][:, j]
            change[k][:, i] += factors[k][:, j]
            columns.append(self.space.vector(Covariances(change, 0.0))[:-1])
        return np.array(columns).reshape(len(columns), self.space.size - 1).T

    def jacobian_beside(self, factors: tuple[Floats, ...], n_others: int) -> Floats:
        """The Jacobian of a vector with `n_others` parameters behind the entries, which stay as they are."""
        own = self.jacobian(factors)
        J = np.zeros((len(own) + n_others, own.shape[1] + n_others))
        J[: len(own), : own.shape[1]] = own
        J[len(own) :, own.shape[1] :] = np.eye(n_others)
        return J

    def moved(self, step: Floats) -> tuple[Floats, ...]:
        """The factors after a step in theta."""
        factors = tuple(L.copy() for L in self.factors)
        for (k, i, j), s in zip(self.entries, step, strict=True):
            factors[k][i, j] += s
        return factors

"""Sampling covariance of all parameters of a generalized model: the Hessian in (theta, beta, alpha), as glmer's.

Differences of the analytic gradient. In theta (free entries of the covariance factors) rather than in Sigma,
because singular covariances are no special case there: where a column of Lambda_k is zero, the likelihood is even in
it, so that its cross derivatives with all other parameters vanish and it can be left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedfx.covariance.average_information import LikelihoodPoint
from mixedfx.covariance.parameters import Covariances, ParameterSpace
from mixedfx.varcorr import lower_factor

Floats = NDArray[np.float64]

STEP = 2e-4
"""Of the differences, in (conditional) standard errors. Their error is about STEP, so that one side is enough, at half
the work; that of the gradient is divided by STEP."""


@dataclass(frozen=True, eq=False)
class JointCovariance:
    """Inverse of minus the Hessian.

    Attributes
    ----------
    entries
        Of the free covariance entries in the order of the space (delta method), shape (n, n); NaN for the entries of
        a singular block.
    fixed
        Of (beta, alpha), shape (p + m, p + m).
    smallest_eigenvalue
        Of minus the Hessian, scaled to a unit diagonal: not above 0 where the point is no maximum.
    """

    entries: Floats
    fixed: Floats
    smallest_eigenvalue: float


@dataclass(frozen=True, eq=False)
class _Theta:
    """Free entries (i, j) of the lower factor of each term, those of zero columns left out."""

    space: ParameterSpace
    factors: tuple[Floats, ...]
    entries: tuple[tuple[int, int, int], ...]

    @classmethod
    def at(cls, space: ParameterSpace, point: Covariances) -> _Theta:
        factors = tuple(lower_factor(S) for S in point.matrices)
        entries = tuple(
            (k, int(i), int(j))
            for k, (term, L) in enumerate(zip(space.terms, factors, strict=True))
            for i, j in np.argwhere(np.tril(term.free))
            if L[j, j] > 0
        )
        return cls(space, factors, entries)

    def jacobian(self, factors: tuple[Floats, ...]) -> Floats:
        """d phi / d theta, shape (n, n_theta)."""
        columns = []
        for k, i, j in self.entries:
            change = tuple(np.zeros_like(L) for L in factors)
            change[k][i] += factors[k][:, j]
            change[k][:, i] += factors[k][:, j]
            columns.append(self.space.vector(Covariances(change, 0.0))[:-1])
        return np.array(columns).reshape(len(columns), self.space.size - 1).T

    def moved(self, step: Floats) -> tuple[Floats, ...]:
        """The factors after a step in theta."""
        factors = tuple(L.copy() for L in self.factors)
        for (k, i, j), s in zip(self.entries, step, strict=True):
            factors[k][i, j] += s
        return factors


def joint_covariance(optimum: LikelihoodPoint, space: ParameterSpace) -> JointCovariance:
    """Differences of the gradient from `optimum`: a likelihood a parameter.

    The point's vector must be the space's (with sigma^2, which is held fixed), then beta and alpha.
    """
    n = space.size - 1
    vector = optimum.vector
    theta = _Theta.at(space, space.point(vector[: n + 1]))
    n_theta, n_fixed = len(theta.entries), len(vector) - n - 1

    def in_theta(g: Floats, factors: tuple[Floats, ...]) -> Floats:
        return np.concatenate([theta.jacobian(factors).T @ g[:n], g[n + 1 :]])

    def gradient(step: Floats) -> Floats:
        factors = theta.moved(step[:n_theta])
        phi = space.vector(Covariances(tuple(L @ L.T for L in factors), 1.0))
        there = optimum.move(np.concatenate([phi, vector[n + 1 :] + step[n_theta:]]))
        return in_theta(there.gradient(), factors)

    here = in_theta(optimum.gradient(), theta.factors)
    J = theta.jacobian(theta.factors)
    information = optimum.average_information()
    own = np.einsum("ia,ij,ja->a", J, information[:n, :n], J)
    scale = np.concatenate([own, np.diag(information)[n + 1 :]])
    steps = STEP / np.sqrt(scale)
    rows = [gradient(h) - here for h in np.diag(steps)]
    H = -np.array(rows).reshape(n_theta + n_fixed, -1) / steps[:, None]
    H = 0.5 * (H + H.T)
    unit = 1.0 / np.sqrt(scale)
    scaled = H * np.outer(unit, unit)
    smallest = float(np.linalg.eigvalsh(scaled)[0]) if len(scaled) else 1.0
    covariance = np.linalg.pinv(scaled, hermitian=True) * np.outer(unit, unit)
    entries = J @ covariance[:n_theta, :n_theta] @ J.T
    full = [all(L[j, j] > 0 for j in range(len(L))) for L in theta.factors]
    lost = np.array([not full[e.term] for e in space.entries], dtype=bool)
    entries[lost, :] = entries[:, lost] = np.nan
    return JointCovariance(entries, covariance[n_theta:, n_theta:], smallest)

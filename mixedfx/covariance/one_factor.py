"""The likelihood of a gaussian model with one of its factors alone: sums over the levels, no large matrix.

With A_j = Z_j'W Z_j, c_j = Z_j'W r of each level and r'W r, the data are not needed again: an evaluation costs J q^3.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mixedfx.covariance.parameters import Covariances, ParameterSpace
from mixedfx.varcorr import lower_factor

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class OneFactor:
    """What the likelihood needs of the data.

    Attributes
    ----------
    space
        Of the one term, and sigma^2.
    A, c
        Z_j'W Z_j, shape (J, q, q), and Z_j'W r, shape (J, q).
    square
        r'W r.
    n_rows
        N.
    """

    space: ParameterSpace
    A: Floats
    c: Floats
    square: float
    n_rows: int

    def at(self, point: Covariances) -> OneFactorPoint:
        return OneFactorPoint(self, point)


@dataclass(frozen=True, eq=False)
class OneFactorPoint:
    """The log-likelihood of r at one point; formulas as in `mixedfx.covariance.gaussian`, with T = V^-1."""

    problem: OneFactor
    point: Covariances

    @property
    def vector(self) -> Floats:
        return self.problem.space.vector(self.point)

    def move(self, vector: Floats) -> OneFactorPoint:
        return self.problem.at(self.problem.space.point(vector))

    @cached_property
    def _M(self) -> tuple[Floats, float]:
        """Covariances of b_j given r, (J, q, q), and log|V| without the weights'."""
        problem, s = self.problem, self.point.sigma2
        factor = lower_factor(self.point.matrices[0])
        L = np.linalg.cholesky(factor.T @ problem.A @ factor / s + np.eye(len(factor)))
        root = factor @ np.swapaxes(np.linalg.inv(L), 1, 2)
        logdet = problem.n_rows * np.log(s) + 2 * np.log(np.diagonal(L, axis1=1, axis2=2)).sum()
        return root @ np.swapaxes(root, 1, 2), float(logdet)

    @cached_property
    def _F(self) -> Floats:
        """Z_j'V^-1 = F_j Z_j'W / sigma^2."""
        return np.eye(self.problem.A.shape[1]) - self.problem.A @ self._M[0] / self.point.sigma2

    @cached_property
    def _g(self) -> Floats:
        """Z_j'V^-1 r, shape (J, q)."""
        return _times(self._F, self.problem.c) / self.point.sigma2

    @cached_property
    def _T(self) -> Floats:
        """Z_j'V^-1 Z_j, shape (J, q, q)."""
        return self._F @ self.problem.A / self.point.sigma2

    @cached_property
    def _residual_square(self) -> float:
        """e'W e, e = r - Z b."""
        problem, b = self.problem, self._g @ self.point.matrices[0]
        return problem.square - float(np.vdot(b, 2 * problem.c - _times(problem.A, b)))

    @property
    def loglik(self) -> float:
        """Up to a constant."""
        explained = float(np.vdot(self._g @ self.point.matrices[0], self.problem.c))
        return -0.5 * (self._M[1] + (self.problem.square - explained) / self.point.sigma2)

    def gradient(self) -> Floats:
        """In the order of the space, as `average_information`."""
        s, g, traces = self.point.sigma2, self._g, self._T.sum(axis=0)
        random = float(np.sum(self.point.matrices[0] * traces))
        of_sigma2 = 0.5 * (self._residual_square / s**2 - (self.problem.n_rows - random) / s)
        return self.problem.space.gradient((0.5 * (g.T @ g - traces),), of_sigma2)

    def average_information(self) -> Floats:
        s, g, space = self.point.sigma2, self._g, self.problem.space
        a = np.stack([g @ space.basis(entry) for entry in space.entries], axis=2)  # f = Z a
        out = np.empty((space.size, space.size))
        out[:-1, :-1] = np.einsum("jam,jan->mn", a, self._T @ a)
        out[-1, :-1] = out[:-1, -1] = np.einsum("jam,ja->m", a, _times(self._F, g)) / s  # f = e / sigma^2
        out[-1, -1] = self._residual_square / s**3 - np.vdot(g, _times(self._M[0], g)) / s**2
        return 0.5 * out


def _times(matrices: Floats, vectors: Floats) -> Floats:
    """Level by level."""
    return (matrices @ vectors[:, :, None])[:, :, 0]

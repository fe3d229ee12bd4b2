"""The Schur complement on the rest, factored part by part, with beta as the border of all parts.

S = [D B'; B C],   D block-diagonal (`Components`),   T = C - B D^-1 B'
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from mixedfx.errors import ConvergenceError
from mixedfx.linalg.components import Components
from mixedfx.linalg.dense import DenseReduced
from mixedfx.linalg.lapack import upper_inverse

Floats = NDArray[np.float64]


class PartFactor(Protocol):
    """Parts of equal size, factored."""

    @property
    def logdet(self) -> float:
        """Of all parts together."""
        ...

    def solve(self, b: Floats) -> Floats:
        """Part by part, b (parts, size, m)."""
        ...

    def root_times(self, z: Floats) -> Floats:
        """R z with R R' the inverse, part by part, z (parts, size, m): normal with that covariance if z is standard
        normal."""
        ...

    def invert(self) -> None:
        """Put the inverses' lower triangles where the factors are."""
        ...


@dataclass(frozen=True, eq=False)
class LargePart:
    """One part, by LAPACK."""

    dense: DenseReduced
    logdet: float

    @classmethod
    def of(cls, S: Floats) -> LargePart:
        """In the memory of S."""
        dense = DenseReduced.of(S, len(S))
        return cls(dense, dense.logdet_random)

    def solve(self, b: Floats) -> Floats:
        return self.dense.solve(b[0])[None]

    def root_times(self, z: Floats) -> Floats:
        return scipy.linalg.solve_triangular(self.dense.U, z[0], check_finite=False)[None]

    def invert(self) -> None:
        upper_inverse(self.dense.U)


@dataclass(frozen=True, eq=False)
class SmallParts:
    """Many small parts at once, by their inverses (parts, size, size)."""

    inverses: Floats
    logdet: float

    @classmethod
    def of(cls, blocks: Floats) -> SmallParts:
        """In the memory of the blocks."""
        L_inverse = np.linalg.inv(np.linalg.cholesky(blocks))
        logdet = -2.0 * float(np.log(np.diagonal(L_inverse, axis1=1, axis2=2)).sum())
        return cls(np.matmul(np.swapaxes(L_inverse, 1, 2), L_inverse, out=blocks), logdet)

    def solve(self, b: Floats) -> Floats:
        return self.inverses @ b

    def root_times(self, z: Floats) -> Floats:
        return np.linalg.cholesky(self.inverses) @ z

    def invert(self) -> None:
        """They are there."""


@dataclass(frozen=True, eq=False)
class ComponentFactor:
    """S, factored.

    Attributes
    ----------
    parts
        Factors of D, by the groups of `components`.
    Y
        D^-1 B', shape (n, p).
    L
        Lower Cholesky factor of T, shape (p, p).
    """

    components: Components
    parts: Sequence[PartFactor]
    Y: Floats
    L: Floats

    @classmethod
    def of(cls, components: Components, flat: Floats) -> ComponentFactor:
        """Factor what a flat array of `Components` holds, in its own memory.

        Raises
        ------
        ConvergenceError
            S is not positive definite to rounding: fixed effects are collinear given the random ones.
        """
        beta = components.beta_rows(flat)
        B, C = beta[:, : components.n], beta[:, components.n :]
        try:
            parts = [_factor(group.of(flat)) for group in components.groups]
            Y = _solve(components, parts, B.T)
            C = np.tril(C) + np.tril(C, -1).T
            L = np.linalg.cholesky(C - B @ Y)
        except np.linalg.LinAlgError as error:
            raise ConvergenceError(
                "the normal equations are singular to working precision; are fixed effects constant, collinear or on "
                "scales that differ by many powers of ten?"
            ) from error
        return cls(components, parts, Y, L)

    @property
    def logdet_random(self) -> float:
        """log|D|."""
        return sum(part.logdet for part in self.parts)

    @property
    def logdet_fixed(self) -> float:
        """log|T| = log|X'V^-1 X|."""
        return 2.0 * float(np.log(np.diag(self.L)).sum())

    def fixed_covariance(self) -> Floats:
        """T^-1, shape (p, p)."""
        return scipy.linalg.cho_solve((self.L, True), np.eye(self.components.p), check_finite=False)

    def solve(self, b: Floats) -> Floats:
        """S^-1 b, b (n + p, m)."""
        random, fixed = b[: self.components.n], b[self.components.n :]
        t = scipy.linalg.cho_solve((self.L, True), fixed - self.Y.T @ random, check_finite=False)
        return np.vstack([_solve(self.components, self.parts, random) - self.Y @ t, t])

    def draw(self, fixed: Floats, rng: np.random.Generator) -> Floats:
        """N(0, S^-1), shape (n + p,), with its last part, beta's, given: `fixed` (p,)."""
        z, x = rng.standard_normal(self.components.n), np.empty((self.components.n, 1))
        for group, part in zip(self.components.groups, self.parts, strict=True):
            x[group.columns] = part.root_times(z[group.columns][:, :, None])
        return np.concatenate([x[:, 0] - self.Y @ fixed, fixed])

    def invert_random(self) -> None:
        """Put the lower triangles of D^-1 where the factors are; `solve` is of no use then."""
        for part in self.parts:
            part.invert()

    def fixed_root(self) -> Floats:
        """R with S^-1 = blockdiag(D^-1, 0) + R R', what the uncertainty of beta adds, shape (n + p, p)."""
        K = np.vstack([-self.Y, np.eye(self.components.p)])
        return scipy.linalg.solve_triangular(self.L, K.T, lower=True, check_finite=False).T


def _factor(blocks: Floats) -> PartFactor:
    return LargePart.of(blocks[0]) if len(blocks) == 1 else SmallParts.of(blocks)


def _solve(components: Components, parts: Sequence[PartFactor], b: Floats) -> Floats:
    x = np.empty_like(b)
    for group, part in zip(components.groups, parts, strict=True):
        x[group.columns] = part.solve(b[group.columns])
    return x

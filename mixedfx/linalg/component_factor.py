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

    def write_inverse(self, out: Floats) -> None:
        """Inverses into `out` (parts, size, size), lower triangles."""
        ...


@dataclass(frozen=True, eq=False)
class LargePart:
    """One part, by LAPACK."""

    dense: DenseReduced

    @property
    def logdet(self) -> float:
        return self.dense.logdet_random

    def solve(self, b: Floats) -> Floats:
        return self.dense.solve(b[0])[None]

    def write_inverse(self, out: Floats) -> None:
        out[0] = self.dense.U.T
        # LAPACK writes columns first: in out[0].T, the same memory, it is the upper triangle that it reads and fills.
        (potri,) = scipy.linalg.get_lapack_funcs(("potri",), (out,))
        potri(out[0].T, lower=0, overwrite_c=1)


@dataclass(frozen=True, eq=False)
class SmallParts:
    """Many small parts at once, by their inverses (parts, size, size)."""

    inverses: Floats
    logdet: float

    @classmethod
    def of(cls, blocks: Floats) -> SmallParts:
        L_inverse = np.linalg.inv(np.linalg.cholesky(blocks))
        logdet = -2.0 * float(np.log(np.diagonal(L_inverse, axis1=1, axis2=2)).sum())
        return cls(np.swapaxes(L_inverse, 1, 2) @ L_inverse, logdet)

    def solve(self, b: Floats) -> Floats:
        return self.inverses @ b

    def write_inverse(self, out: Floats) -> None:
        out[...] = self.inverses


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

    def random_inverse(self, out: Floats) -> Floats:
        """D^-1 in `out`, a flat array, whose rows of beta mean nothing: beta is held fixed.

        Memory is the caller's: to get it from the system anew can take longer than the inverse.
        """
        for group, part in zip(self.components.groups, self.parts, strict=True):
            part.write_inverse(group.of(out))
        return out

    def fixed_root(self) -> Floats:
        """R with S^-1 = blockdiag(D^-1, 0) + R R', what the uncertainty of beta adds, shape (n + p, p)."""
        K = np.vstack([-self.Y, np.eye(self.components.p)])
        return scipy.linalg.solve_triangular(self.L, K.T, lower=True, check_finite=False).T


def _factor(blocks: Floats) -> PartFactor:
    if len(blocks) == 1:
        return LargePart(DenseReduced.of(blocks[0], blocks.shape[1]))
    return SmallParts.of(blocks)


def _solve(components: Components, parts: Sequence[PartFactor], b: Floats) -> Floats:
    x = np.empty_like(b)
    for group, part in zip(components.groups, parts, strict=True):
        x[group.columns] = part.solve(b[group.columns])
    return x

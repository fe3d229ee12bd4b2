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

    def write_inverse(self, out: Floats, half: Floats) -> None:
        """Inverses + half'half into `out` (parts, size, size), lower triangles; half (parts, p, size)."""
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

    def write_inverse(self, out: Floats, half: Floats) -> None:
        out[0] = self.dense.U.T
        # LAPACK writes columns first: in out[0].T, the same memory, it is the upper triangle that it reads and fills.
        (potri,) = scipy.linalg.get_lapack_funcs(("potri",), (out,))
        potri(out[0].T, lower=0, overwrite_c=1)
        if half.shape[1]:
            (syrk,) = scipy.linalg.get_blas_funcs(("syrk",), (out,))
            syrk(1.0, half[0], beta=1.0, c=out[0].T, trans=1, lower=0, overwrite_c=1)


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

    def write_inverse(self, out: Floats, half: Floats) -> None:
        out[...] = self.inverses + np.swapaxes(half, 1, 2) @ half


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
        return np.vstack([self.solve_random(random) - self.Y @ t, t])

    def solve_random(self, b: Floats) -> Floats:
        """D^-1 b, b (n, m)."""
        return _solve(self.components, self.parts, b)

    def inverse(self, *, with_fixed: bool, out: Floats | None = None) -> Floats:
        """S^-1 where D has entries, and in the rows of beta, as a flat array; without beta, D^-1, and no such rows.

        `out` may give the memory: to get it from the system anew can take longer than the inverse.
        """
        components = self.components
        flat = np.empty(components.entries) if out is None else out
        half = np.zeros((0, components.n))
        if with_fixed:
            half = scipy.linalg.solve_triangular(self.L, self.Y.T, lower=True, check_finite=False)
            beta = components.beta_rows(flat)
            beta[:, components.n :] = self.fixed_covariance()
            beta[:, : components.n] = -scipy.linalg.cho_solve((self.L, True), self.Y.T, check_finite=False)
        for group, part in zip(components.groups, self.parts, strict=True):
            part.write_inverse(group.of(flat), np.moveaxis(half[:, group.columns], 1, 0))
        return flat


def _factor(blocks: Floats) -> PartFactor:
    if len(blocks) == 1:
        return LargePart(DenseReduced.of(blocks[0], blocks.shape[1]))
    return SmallParts.of(blocks)


def _solve(components: Components, parts: Sequence[PartFactor], b: Floats) -> Floats:
    x = np.empty_like(b)
    for group, part in zip(components.groups, parts, strict=True):
        x[group.columns] = part.solve(b[group.columns])
    return x

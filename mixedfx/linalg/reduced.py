"""Solve the reduced system S x = b: conjugate gradients, block-diagonal and deflated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedfx.linalg.deflation import COLUMNS_AT_ONCE, CoarseSpace, coarse_space, symmetric_pseudo_inverse
from mixedfx.linalg.dense import DenseReduced, dense_reduced
from mixedfx.linalg.elimination import Elimination, inverse_and_logdet
from mixedfx.linalg.pcg import CGSolution, pcg

Floats = NDArray[np.float64]

DENSE_FALLBACK = 6000
"""A rest of up to this size is solved by a dense Cholesky (0.3 GB) where CG stalls."""


@dataclass(frozen=True, eq=False)
class ReducedSystem:
    """S at given weights with its two-level preconditioner.

    Attributes
    ----------
    elimination
        Gives products with S.
    coarse
        The deflated directions.
    inverses
        Inverses of S's diagonal blocks, (J_k, q_k, q_k) a remaining factor.
    beta_inverse
        Pseudo-inverse of S's block of beta, (p, p).
    """

    elimination: Elimination
    coarse: CoarseSpace
    inverses: tuple[Floats, ...]
    beta_inverse: Floats

    @property
    def setup_passes(self) -> int:
        """Traversals of the rows that the set-up took: one a remaining factor, one a batch of E's columns."""
        return len(self.inverses) + -(-self.coarse.E.shape[1] // COLUMNS_AT_ONCE)

    def precondition(self, r: Floats) -> Floats:
        """P r, P about S^-1; r (n_rest, m)."""
        layout = self.elimination.operator.layout
        z = np.empty_like(r)
        for block, inverse in zip(layout.rest, self.inverses, strict=True):
            levels = r[block.slice].reshape(block.n_levels, block.q, r.shape[1])
            z[block.slice] = (inverse @ levels).reshape(block.stop - block.start, r.shape[1])
        z[layout.beta_start :] = self.beta_inverse @ r[layout.beta_start :]
        return self.coarse.correct(z, r)

    def energy(self, r: Floats) -> Floats:
        """r'Pr, about r'S^-1 r, shape (m,)."""
        x = self.coarse.solve(r)
        deflated = r - self.coarse.SE @ (self.coarse.inverse @ (self.coarse.E.T @ r))
        return np.einsum("im,im->m", r, x) + np.einsum("im,im->m", deflated, self.precondition(deflated))

    def solve(self, b: Floats, *, tol: float = 1e-10, max_iterations: int = 500) -> CGSolution:
        """x with S x = b to relative accuracy `tol` in energy norm; b (n_rest, m)."""
        # A-DEF2 is right only for residuals orthogonal to E, so the coarse part of the answer comes first.
        x = self.coarse.solve(b)
        residual = b - self.coarse.SE @ (self.coarse.inverse @ (self.coarse.E.T @ b))
        solution = pcg(
            self.elimination.product,
            self.precondition,
            residual,
            x,
            reference=self.energy(b),
            tol=tol,
            max_iterations=max_iterations,
        )
        if solution.converged or len(b) > DENSE_FALLBACK:
            return solution
        x = self.dense().solve(b)
        return CGSolution(x, solution.iterations, True, 0.0)

    def dense(self) -> DenseReduced:
        """S as a factored dense matrix."""
        return dense_reduced(self.elimination)


def reduced_system(elimination: Elimination, E: Floats) -> ReducedSystem:
    """Set up the preconditioner: one traversal a remaining factor, and products for the columns of E."""
    coarse = coarse_space(elimination, E)
    beta_start = elimination.operator.layout.beta_start
    p = elimination.operator.layout.p
    # E ends with beta's unit vectors, so S's block of beta stands in S E already.
    beta_block = coarse.SE[beta_start:, coarse.SE.shape[1] - p :]
    inverses = tuple(inverse_and_logdet(block)[0] for block in elimination.diagonal())
    return ReducedSystem(elimination, coarse, inverses, symmetric_pseudo_inverse(beta_block))

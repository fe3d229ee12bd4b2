"""Solve the reduced system S x = b: conjugate gradients, block-diagonal and deflated."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mixedfx.linalg.deflation import (
    CoarseDirections,
    CoarseSpace,
    coarse_space,
    symmetric_pseudo_inverse,
)
from mixedfx.linalg.dense import DenseReduced, dense_reduced
from mixedfx.linalg.elimination import Reduction, inverse_and_logdet
from mixedfx.linalg.pcg import CGSolution, pcg

Floats = NDArray[np.float64]

DENSE_FALLBACK = 6000
"""A rest of up to this size is solved by a dense Cholesky (0.3 GB) where CG stalls."""


@dataclass(frozen=True, eq=False)
class ReducedSystem:
    """S at given weights with its two-level preconditioner.

    Attributes
    ----------
    reduction
        Gives products with S.
    coarse
        The deflated directions, which end with the unit vectors of beta and thresholds.
    setup_passes
        Traversals of the rows that the set-up took: one for the blocks, one a batch of coarse directions.
    inverses
        Inverses of S's diagonal blocks, (J_k, q_k, q_k) a remaining factor.
    fixed_inverse
        Pseudo-inverse of S's block of beta and thresholds.
    """

    reduction: Reduction
    coarse: CoarseSpace
    setup_passes: int
    inverses: tuple[Floats, ...]
    fixed_inverse: Floats

    def precondition(self, r: Floats) -> Floats:
        """P r, P about S^-1; r (n_rest, m)."""
        layout = self.reduction.operator.layout
        z = np.empty_like(r)
        for block, inverse in zip(layout.rest, self.inverses, strict=True):
            if block.q == 1:
                z[block.slice] = inverse[:, :, 0] * r[block.slice]
            else:
                levels = r[block.slice].reshape(block.n_levels, block.q, r.shape[1])
                z[block.slice] = (inverse @ levels).reshape(block.stop - block.start, r.shape[1])
        z[layout.beta_start :] = self.fixed_inverse @ r[layout.beta_start :]
        return self.coarse.correct(z, r)

    def energy(self, r: Floats) -> Floats:
        """r'Pr, about r'S^-1 r, shape (m,)."""
        x, deflated = self.coarse.split(r)
        return np.einsum("im,im->m", r, x) + np.einsum("im,im->m", deflated, self.precondition(deflated))

    def solve(self, b: Floats, *, tol: float = 1e-10, max_iterations: int = 500) -> CGSolution:
        """x with S x = b to relative accuracy `tol` in energy norm; b (n_rest, m)."""
        x, residual = self.coarse.split(b)
        solution = self.solve_from(x, residual, self.energy(b), tol=tol, max_iterations=max_iterations)
        if solution.converged or len(b) > DENSE_FALLBACK:
            return solution
        return replace(solution, x=self._dense_solve(b), converged=True, relative_error=0.0)

    def solve_from(
        self,
        x: Floats,
        residual: Floats,
        reference: Floats,
        *,
        tol: float | Floats,
        max_iterations: int = 500,
    ) -> CGSolution:
        """Continue from `x`, whose residual is orthogonal to the coarse space: A-DEF2 is right for no other."""
        return pcg(
            self.reduction.product,
            self.precondition,
            residual,
            x,
            reference=reference,
            tol=tol,
            max_iterations=max_iterations,
        )

    def dense(self) -> DenseReduced:
        """S without thresholds as a factored dense matrix."""
        return dense_reduced(self.reduction)

    def _dense_solve(self, b: Floats) -> Floats:
        """S^-1 b, thresholds joined to the dense factor by their columns of S, which S G holds."""
        dense = self.dense()
        n = len(dense.U)
        if n == len(b):
            return dense.solve(b)
        columns = self.coarse.SG[:, self.coarse.SG.shape[1] - (len(b) - n) :]
        inner = dense.solve(np.hstack([columns[:n], b[:n]]))
        X, x = inner[:, : len(b) - n], inner[:, len(b) - n :]
        alpha = np.linalg.solve(columns[n:] - columns[:n].T @ X, b[n:] - columns[:n].T @ x)
        return np.vstack([x - X @ alpha, alpha])


def reduced_system(
    reduction: Reduction, directions: CoarseDirections, near: ReducedSystem | None = None
) -> ReducedSystem:
    """Set up the preconditioner: a traversal for the diagonal blocks, and products for the coarse directions.

    Parameters
    ----------
    reduction
        S.
    directions
        What to deflate.
    near
        A system at weights so near that its diagonal blocks will do: they only precondition, where the coarse space has
        to be exact.
    """
    coarse = coarse_space(reduction, directions)
    passes = coarse.passes
    if near is None:
        inverses = tuple(inverse_and_logdet(block)[0] for block in reduction.diagonal())
        passes += 1
    else:
        inverses = near.inverses
    layout = reduction.operator.layout
    n_fixed = layout.n_rest - layout.beta_start
    # G ends with the unit vectors of beta and thresholds, so their block of S stands in S G already.
    fixed_block = coarse.SG[layout.beta_start :, coarse.SG.shape[1] - n_fixed :]
    return ReducedSystem(reduction, coarse, passes, inverses, symmetric_pseudo_inverse(fixed_block))

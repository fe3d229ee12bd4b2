"""The reduced system as a dense matrix: log-determinants, inverses, exact covariances of every level."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from mixedfx.errors import ConvergenceError
from mixedfx.linalg.blas import shared
from mixedfx.linalg.elimination import Reduction
from mixedfx.linalg.lambdas import Lambdas
from mixedfx.linalg.lapack import upper_cholesky, upper_inverse
from mixedfx.linalg.layout import Block

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class DenseReduced:
    """S = U'U with the factors first and beta last, without thresholds.

    Attributes
    ----------
    n_random
        Coefficients of the remaining factors: where beta begins.
    U
        Upper Cholesky factor of S, shape (n, n).
    """

    n_random: int
    U: Floats

    @classmethod
    def of(cls, S: Floats, n_random: int) -> DenseReduced:
        """Factor S, of which the lower triangle is read, in its own memory.

        Raises
        ------
        ConvergenceError
            S is not positive definite to rounding: fixed effects are collinear given the random ones.
        """
        try:
            U = upper_cholesky(S)
        except scipy.linalg.LinAlgError as error:
            raise ConvergenceError(
                "the normal equations are singular to working precision; are fixed effects constant, collinear or on "
                "scales that differ by many powers of ten?"
            ) from error
        return cls(n_random, U)

    @property
    def logdet_random(self) -> float:
        """log|S| of the remaining factors alone, without beta."""
        return 2.0 * float(np.log(np.diag(self.U)[: self.n_random]).sum())

    @property
    def logdet_fixed(self) -> float:
        """log|Schur complement on beta| = log|X'V^-1 X|."""
        return 2.0 * float(np.log(np.diag(self.U)[self.n_random :]).sum())

    def solve(self, b: Floats) -> Floats:
        """S^-1 b, b (n, m)."""
        with shared(min(b.shape)):
            return scipy.linalg.cho_solve((self.U, False), b, check_finite=False)

    def half_solve(self, b: Floats) -> Floats:
        """U'^-1 b, so that its crossproduct is b'S^-1 b."""
        return scipy.linalg.solve_triangular(self.U, b, trans=1, check_finite=False)

    def inverse(self, *, with_fixed: bool) -> Floats:
        """S^-1, full and symmetric; without beta (C_bb) its rows and columns of beta are 0."""
        from mixedfx.linalg.dense_kernels import mirror_lower

        size, n = len(self.U), len(self.U) if with_fixed else self.n_random
        inverse = np.zeros((size, size))
        if n:
            # LAPACK wants its matrix in one piece and works in place: at the end of the memory, from where the rows
            # then move to their places. It writes columns first: of a transpose the lower triangle is filled.
            dense = inverse.reshape(-1)[size * size - n * n :].reshape(n, n)
            dense[...] = self.U[:n, :n].T
            upper_inverse(dense.T)
            if n < size:
                for own, row in zip(inverse, dense, strict=False):
                    own[:n] = row
                inverse[:, n:] = inverse[n:] = 0.0
            mirror_lower(inverse[:n])
        return inverse


def dense_reduced(reduction: Reduction) -> DenseReduced:
    """Form S by `RowOperator.dense_reduced` and factor it; raises what `DenseReduced.of` does."""
    G = reduction.operator.dense_reduced(reduction.omega, reduction.M)
    return DenseReduced.of(scaled_with_penalty(G, reduction.lambdas), reduction.operator.layout.beta_start)


def scaled_with_penalty(G: Floats, lambdas: Lambdas) -> Floats:
    """Lambda_o' G Lambda_o + penalty from the lower triangle of G, in place; the upper triangle is meaningless."""
    layout = lambdas.layout
    for block, factor in zip(layout.rest, lambdas.rest, strict=True):
        if block.q == 1:
            G[block.slice, : block.stop] *= factor[0, 0]
            G[block.start :, block.slice] *= factor[0, 0]
            continue
        _complete_level_blocks(G, block)
        rows = G[block.slice, : block.stop].reshape(block.n_levels, block.q, block.stop)
        G[block.slice, : block.stop] = (factor.T @ rows).reshape(-1, block.stop)
        columns = G[block.start :, block.slice].reshape(-1, block.n_levels, block.q)
        G[block.start :, block.slice] = (columns @ factor).reshape(-1, block.stop - block.start)
    random = np.arange(layout.beta_start)
    G[random, random] += 1.0
    return G


def level_blocks(H: Floats, block: Block) -> Floats:
    """The diagonal blocks (J_k, q_k, q_k) of one factor in a full symmetric matrix H over the rest."""
    first = block.start + block.q * np.arange(block.n_levels)
    within = np.arange(block.q)
    rows = first[:, None, None] + within[None, :, None]
    columns = first[:, None, None] + within[None, None, :]
    return H[rows, columns]


def _complete_level_blocks(G: Floats, block: Block) -> None:
    first = block.start + block.q * np.arange(block.n_levels)
    for i in range(block.q):
        for h in range(i + 1, block.q):
            G[first + i, first + h] = G[first + h, first + i]

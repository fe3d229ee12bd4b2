"""Henderson's matrix at given weights, with the largest factor eliminated exactly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedfx.linalg.lambdas import Lambdas
from mixedfx.linalg.operator import DiagonalBlocks, Parts, RowOperator

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Elimination:
    """H = Lambda' D' W D Lambda + penalty, and its Schur complement S on the rest; all in u coordinates.

    Attributes
    ----------
    operator, lambdas, omega
        D, Lambda and diag(W), shape (N,) in sorted order.
    blocks
        Diagonal blocks of D' W D (in b).
    A_inverse
        Inverses of the eliminated blocks A_j = Lambda_e' Z_j' W Z_j Lambda_e + I, shape (J_e, q_e, q_e).
    M
        Lambda_e A_j^-1 Lambda_e': covariance of the eliminated coefficients given the rest.
    logdet_e
        sum_j log|A_j|.
    """

    operator: RowOperator
    lambdas: Lambdas
    omega: Floats
    blocks: DiagonalBlocks
    A_inverse: Floats
    M: Floats
    logdet_e: float

    def product(self, v: Floats) -> Floats:
        """S v, v (n_rest, m)."""
        inner = self.operator.reduced_product(self.omega, self.M, self.lambdas.rest_times(v))
        return self.lambdas.rest_transpose_times(inner) + self.lambdas.penalty(v)

    def diagonal(self) -> tuple[Floats, ...]:
        """Diagonal blocks of S for each remaining factor, (J_k, q_k, q_k)."""
        reduced = self.operator.reduced_blocks(self.omega, self.M, self.blocks)
        return tuple(
            factor.T @ block @ factor + np.eye(len(factor))
            for block, factor in zip(reduced, self.lambdas.rest, strict=True)
        )

    def reduce(self, rhs: Parts) -> Floats:
        """Right-hand side of the reduced system for H x = rhs, shape (n_rest, m)."""
        a = self.lambdas.e_times(self.A_inverse @ rhs.e)
        return rhs.rest - self.lambdas.rest_transpose_times(self.operator.cross(self.omega, a))

    def recover(self, rhs: Parts, x_rest: Floats) -> tuple[Parts, Floats]:
        """All of x from its rest, and the rows D Lambda x, shape (N, m)."""
        h = self.lambdas.e_times(self.A_inverse @ rhs.e)
        sums, rows = self.operator.back_substitute(self.omega, self.M, h, self.lambdas.rest_times(x_rest))
        x_e = self.A_inverse @ (rhs.e - self.lambdas.e_transpose_times(sums))
        return Parts(x_e, x_rest), rows


def eliminate(operator: RowOperator, lambdas: Lambdas, omega: Floats) -> Elimination:
    """Set up `Elimination` at the weights `omega` (sorted order): one traversal of the rows."""
    omega = np.ascontiguousarray(omega)
    blocks = operator.diagonal_blocks(omega)
    factor = lambdas.e
    A = factor.T @ blocks.e @ factor + np.eye(len(factor))
    A_inverse, logdet = inverse_and_logdet(A)
    return Elimination(operator, lambdas, omega, blocks, A_inverse, factor @ A_inverse @ factor.T, logdet)


def inverse_and_logdet(A: Floats) -> tuple[Floats, float]:
    """Inverses of symmetric positive definite blocks (J, q, q), and the sum of their log-determinants."""
    if A.shape[-1] == 1:
        return 1.0 / A, float(np.log(A).sum())
    L = np.linalg.cholesky(A)
    L_inverse = np.linalg.inv(L)
    logdet = 2.0 * float(np.log(np.diagonal(L, axis1=-2, axis2=-1)).sum())
    return np.swapaxes(L_inverse, -1, -2) @ L_inverse, logdet

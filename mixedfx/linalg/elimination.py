"""Henderson's matrix at given weights, with the largest factor eliminated exactly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedfx.linalg.curvature import Curvature
from mixedfx.linalg.lambdas import Lambdas, level_products
from mixedfx.linalg.operator import DiagonalBlocks, Parts, RowOperator
from mixedfx.linalg.random_parts import gram

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Reduction:
    """S, the Schur complement on the rest of H = Lambda' D' W D Lambda + penalty; all in u coordinates.

    Attributes
    ----------
    operator, lambdas, curvature
        D, Lambda and W, in the sorted order of the rows.
    blocks
        Diagonal blocks of D' W D (in b).
    M
        Lambda_e A_j^-1 Lambda_e', A_j = Lambda_e' Z_j' W Z_j Lambda_e + I: covariance of the eliminated coefficients
        given the rest, shape (J_e, q_e, q_e).
    """

    operator: RowOperator
    lambdas: Lambdas
    curvature: Curvature
    blocks: DiagonalBlocks
    M: Floats

    @property
    def omega(self) -> NDArray:
        """diag(W), shape (N,)."""
        return self.curvature.omega

    def product(self, v: Floats) -> Floats:
        """S v, v (n_rest, m)."""
        return self.image(self.lambdas.rest_times(v)) + self.penalty(v)

    def image(self, b: Floats) -> Floats:
        """The rows' part of S for coefficients in b: Lambda_o' D_o' T_e D_o b, b (n_rest, m)."""
        images = self.operator.reduced_product(self.curvature, self.blocks.e, self.M, b)
        return self.lambdas.rest_transpose_times(images)

    def penalty(self, v: Floats) -> Floats:
        """The part of S v that no row has: the prior's, and that of the distances between thresholds."""
        out = self.lambdas.penalty(v)
        alpha = slice(self.operator.layout.alpha_start, None)
        out[alpha] += self.curvature.gap @ v[alpha]
        return out

    def diagonal(self) -> tuple[Floats, ...]:
        """Diagonal blocks of S for each remaining factor, (J_k, q_k, q_k)."""
        reduced = self.operator.reduced_blocks(self.curvature, self.M, self.blocks.rest)
        return tuple(
            factor.T @ block @ factor + np.eye(len(factor))
            for block, factor in zip(reduced, self.lambdas.rest, strict=True)
        )


@dataclass(frozen=True, eq=False)
class Elimination(Reduction):
    """A reduction that can come back to the eliminated coefficients.

    Attributes
    ----------
    A_inverse
        A_j^-1, shape (J_e, q_e, q_e).
    logdet_e
        sum_j log|A_j|.
    """

    A_inverse: Floats
    logdet_e: float

    def reduce(self, rhs: Parts) -> Floats:
        """Right-hand side of the reduced system for H x = rhs, shape (n_rest, m)."""
        a = self.lambdas.e_times(level_products(self.A_inverse, rhs.e))
        crossed = self.operator.cross(self.curvature, self.blocks.e, a)
        return rhs.rest - self.lambdas.rest_transpose_times(crossed)

    def gram(self, b: Parts) -> Parts:
        """D'WD b for D without fixed effects and thresholds, in b."""
        return gram(self.operator, self.curvature, self.blocks.e, b)

    def recover(self, rhs: Parts, x_rest: Floats) -> Parts:
        """All of x from its rest."""
        in_b = self.lambdas.rest_times(x_rest)
        sums = self.operator.level_sums(self.curvature, self.blocks.e, in_b)
        return Parts(level_products(self.A_inverse, rhs.e - self.lambdas.e_transpose_times(sums)), x_rest)


def eliminate(
    operator: RowOperator,
    lambdas: Lambdas,
    curvature: Curvature | NDArray,
    blocks: DiagonalBlocks | None = None,
) -> Elimination:
    """Set up `Elimination` at a curvature, or weights of the rows (sorted order): one traversal of the rows.

    It is saved where the diagonal `blocks` of D'WD are known.
    """
    if not isinstance(curvature, Curvature):
        curvature = Curvature.of(curvature)
    if blocks is None:
        blocks = operator.diagonal_blocks(curvature.omega)
    factor = lambdas.e
    A = factor.T @ blocks.e @ factor + np.eye(len(factor))
    A_inverse, logdet = inverse_and_logdet(A)
    return Elimination(
        operator=operator,
        lambdas=lambdas,
        curvature=curvature,
        blocks=blocks,
        M=factor @ A_inverse @ factor.T,
        A_inverse=A_inverse,
        logdet_e=logdet,
    )


def inverse_and_logdet(A: Floats) -> tuple[Floats, float]:
    """Inverses of symmetric positive definite blocks (J, q, q), and the sum of their log-determinants."""
    if A.shape[-1] == 1:
        return 1.0 / A, float(np.log(A).sum())
    L = np.linalg.cholesky(A)
    L_inverse = np.linalg.inv(L)
    logdet = 2.0 * float(np.log(np.diagonal(L, axis1=-2, axis2=-1)).sum())
    return np.swapaxes(L_inverse, -1, -2) @ L_inverse, logdet

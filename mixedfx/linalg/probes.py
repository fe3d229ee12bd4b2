"""Random probes of the reduced system: what its determinant and its inverse come from where no dense matrix fits.

S, without fixed effects, is preconditioned by its diagonal blocks M = L L' and deflated by E = [N G]. With white s
(independent signs), and Pi the orthogonal projector off L'E, CG is started at r = L Pi s, which is orthogonal to E:

    log|S|  = log|M| + log|E'SE| - log|E'ME| + E[ s'Pi log(A) Pi s ],   A = L^-1 (S - S E (E'SE)^-1 E'S) L^-T
    S^-1    = Q + E[ x y' ],   Q = E (E'SE)^-1 E',   x = S^-1 r,   y = (I - Q S) L^-T s

One solution serves both. The nearly flat directions, in which the inverse is large and single probes would be noisy,
are in the exact parts. So is what a level's own coefficients do to each other, from M^-1 r beside x:

    E[ M^-1 r y' ] = M^-1 (I - S Q)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import hadamard
from scipy.sparse import block_diag, bsr_array, csc_array, hstack

from mixedfx.linalg.deflation import DEPENDENT, CoarseSpace, factorised
from mixedfx.linalg.lanczos import log_quadratics
from mixedfx.linalg.layout import Block
from mixedfx.linalg.pcg import CGSolution
from mixedfx.linalg.reduced import ReducedSystem

Floats = NDArray[np.float64]


COMPLETE_WORK = 2**22
"""Rows times probes up to which a complete set is taken although fewer were asked for: a second of work for a fit."""


@dataclass(frozen=True, eq=False)
class ProbeSigns:
    """Signs of +-1 for n coefficients and m probes, twice.

    Everything that probes estimate is quadratic in them. So a complete set, in which the rows of both are orthogonal to
    each other as independent signs are on average, gives the expectation itself: nothing is left to chance.

    Attributes
    ----------
    white, more
        Shape (n, m); `more` are those of the null directions.
    complete
        Whether the set is complete.
    """

    white: Floats
    more: Floats
    complete: bool

    @classmethod
    def of(cls, n: int, probes: int, seed: int, *, n_rows: int) -> ProbeSigns:
        """Independent signs, the first of them the same for any number of probes; or a complete set, if that is little
        work with so many rows, or no larger than what is asked for."""
        size = 2 ** max(2 * n - 1, 1).bit_length()
        if size <= max(probes, COMPLETE_WORK // n_rows):
            array = hadamard(size).astype(np.float64)
            return cls(array[:n], array[n : 2 * n], True)
        signs = np.empty((2, n, probes))
        for own, first in zip(signs, (2 * seed, 2 * seed + 1), strict=True):
            for c, child in enumerate(np.random.SeedSequence(first).spawn(probes)):
                own[:, c] = 2.0 * np.random.default_rng(child).integers(0, 2, n, dtype=np.int8) - 1.0
        return cls(signs[0], signs[1], False)

    @classmethod
    def none(cls, n: int) -> ProbeSigns:
        """No probes."""
        return cls(np.zeros((n, 0)), np.zeros((n, 0)), False)

    @property
    def count(self) -> int:
        """m."""
        return self.white.shape[1]

    def settled(self, estimates: Floats) -> Floats:
        """Each probe's estimate, in the last axis; those of a complete set are right together only, so their mean."""
        if not self.complete:
            return estimates
        return np.broadcast_to(estimates.mean(axis=-1, keepdims=True), estimates.shape)


@dataclass(frozen=True, eq=False)
class Probes:
    """Right-hand sides to solve for, and what to make of the solutions.

    Attributes
    ----------
    system
        S.
    residual, partner
        r and y, shape (n_rest, m).
    squares
        |Pi s|^2, shape (m,).
    logdet_known
        log|M| + log|E'SE| - log|E'ME|.
    coarse
        B with B B' = Q - Q_N, Q_N = N (N'N)^-1 N', shape (n_rest, c).
    null_part
        Columns v with E[v v'] = Q_N, shape (n_rest, m); None where no factors are nested.
    near
        M^-1 r, shape (n_rest, m).
    near_blocks
        Diagonal blocks of M^-1 (I - S B B'), (J_k, q_k, q_k) a remaining factor.
    """

    system: ReducedSystem
    residual: Floats
    partner: Floats
    squares: Floats
    logdet_known: float
    coarse: Floats
    null_part: Floats | None
    near: Floats
    near_blocks: tuple[Floats, ...]

    @classmethod
    def of(cls, system: ReducedSystem, signs: ProbeSigns) -> Probes:
        """For signs of n_rest coefficients."""
        layout, space = system.reduction.operator.layout, system.coarse
        # M^-1 = R R', so that L^-T = R.
        roots = [np.linalg.cholesky(inverse) for inverse in system.inverses]
        inverse_roots = [np.linalg.inv(root) for root in roots]
        logdet_M = -2.0 * sum(float(np.log(np.einsum("jaa->ja", root)).sum()) for root in roots)
        basis = _Basis.of(space)
        project, logdet_ME = _projector(layout.rest, inverse_roots, space.N, space.G @ basis.T)
        kept = project(signs.white)
        residual = _blockwise(layout.rest, [np.swapaxes(R, 1, 2) for R in inverse_roots], kept)
        near, MSB = (_blockwise(layout.rest, system.inverses, v) for v in (residual, basis.SB))
        near_blocks = tuple(
            inverse - np.einsum("jac,jbc->jab", _by_level(block, MSB), _by_level(block, basis.B))
            for block, inverse in zip(layout.rest, system.inverses, strict=True)
        )
        return cls(
            system=system,
            residual=residual,
            partner=space.correct(_blockwise(layout.rest, roots, signs.white), np.zeros_like(signs.white)),
            squares=np.einsum("im,im->m", kept, kept),
            logdet_known=logdet_M + basis.logdet - logdet_ME,
            coarse=basis.B,
            null_part=space.N @ space.solve_gram(space.N.T @ signs.more) if len(space.gram_NG) else None,
            near=near,
            near_blocks=near_blocks,
        )

    def logdets(self, solution: CGSolution) -> Floats:
        """log|S| as each probe has it, shape (m,); their mean estimates it."""
        return self.logdet_known + log_quadratics(solution.alphas, solution.betas, self.squares)

    def pairs(self, solution: CGSolution) -> tuple[Floats, Floats]:
        """(x, y) of shape (n_rest, m) with S^-1 = B B' + E[x y']."""
        if self.null_part is None:
            return solution.x, self.partner
        return solution.x + self.null_part, self.partner + self.null_part

    def level_sums(self, solution: CGSolution) -> dict[str, Floats]:
        """sum_j (S^-1)_jj as each probe has it, remaining factor -> (q, q, m)."""
        blocks = self.system.reduction.operator.layout.rest
        x, y = self.pairs(solution)
        x = x - self.near
        if self.null_part is not None:
            x -= _blockwise(blocks, self.system.inverses, self.null_part)
        out = {}
        for block, near in zip(blocks, self.near_blocks, strict=True):
            B = _by_level(block, self.coarse)
            known = near.sum(axis=0) + np.einsum("jac,jbc->ab", B, B)
            sampled = np.einsum("jam,jbm->abm", _by_level(block, x), _by_level(block, y))
            out[block.name] = known[:, :, None] + sampled
        return out


@dataclass(frozen=True, eq=False)
class _Basis:
    """E = [N, G T]: what of the dense directions G is independent of the null directions N.

    Attributes
    ----------
    T
        Shape (columns of G, c).
    B, SB
        B B' = Q - Q_N, and S B, shape (n_rest, c).
    logdet
        log|E'SE|.
    """

    T: Floats
    B: Floats
    SB: Floats
    logdet: float

    @classmethod
    def of(cls, space: CoarseSpace) -> _Basis:
        K = space.G.T @ space.SG - (space.N.T @ space.G).T @ space.gram_NG
        scale = np.sqrt(np.maximum(np.diag(K), np.finfo(float).tiny))
        values, vectors = np.linalg.eigh(K / np.outer(scale, scale))
        kept = values > DEPENDENT * np.max(values, initial=0.0)
        T, root = vectors[:, kept] / scale[:, None], np.sqrt(values[kept])
        null = space.N @ space.gram_NG  # S N = N
        logdet = 2.0 * float(np.log(root).sum())
        if len(space.gram_NG):
            logdet += _logdet(csc_array(space.N.T @ space.N))
        return cls(T, (space.G - null) @ T / root, (space.SG - null) @ T / root, logdet)


def _projector(
    blocks: Sequence[Block], inverse_roots: Sequence[Floats], N: csc_array, G: Floats
) -> tuple[Callable[[Floats], Floats], float]:
    """(Pi, log|E'ME|) for E = [N G] and M = R^-T R^-1."""
    if not N.nnz:
        Q, triangle = np.linalg.qr(_blockwise(blocks, inverse_roots, G))
        logdet = 2.0 * float(np.log(np.abs(np.diag(triangle))).sum())
        return lambda v: v - Q @ (Q.T @ v), logdet
    whitened = csc_array(_block_diagonal(inverse_roots) @ hstack([N, csc_array(G)]))
    gram = csc_array(whitened.T @ whitened)
    lu = factorised(gram)
    return lambda v: v - whitened @ lu.solve(whitened.T @ v), _logdet(gram)


def _logdet(gram: csc_array) -> float:
    """log|gram|, positive definite."""
    return float(np.log(np.abs(factorised(gram).U.diagonal())).sum())


def _by_level(block: Block, V: Floats) -> Floats:
    """A factor's rows of V (n_rest, m), shape (J, q, m)."""
    return V[block.slice].reshape(block.n_levels, block.q, V.shape[1])


def _blockwise(blocks: Sequence[Block], matrices: Sequence[Floats], V: Floats) -> Floats:
    """blockdiag(matrices) V."""
    out = np.empty_like(V)
    for block, own in zip(blocks, matrices, strict=True):
        out[block.slice] = (own @ _by_level(block, V)).reshape(block.stop - block.start, V.shape[1])
    return out


def _block_diagonal(matrices: Sequence[Floats]) -> csc_array:
    """blockdiag(matrices), sparse."""
    parts = [
        bsr_array((own, np.arange(len(own)), np.arange(len(own) + 1)), shape=(len(own) * own.shape[1],) * 2)
        for own in matrices
    ]
    return csc_array(block_diag(parts))

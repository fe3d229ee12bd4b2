"""Random probes of the reduced system: what its determinant and its inverse come from where no dense matrix fits.

S is preconditioned by its diagonal blocks M = L L' and deflated by E. With white s (independent signs), and Pi the
orthogonal projector off L'E, CG is started at the residual r = L Pi s, which is orthogonal to E:

    log|S|  = log|M| + log|E'SE| - log|E'ME| + E[ s'Pi log(A) Pi s ],   A = L^-1 (S - S E (E'SE)^-1 E'S) L^-T
    S^-1    = E (E'SE)^-1 E' + E[ x y' ],   x = S^-1 r,   y = (I - E (E'SE)^-1 E'S) L^-T s

One solution serves both. The nearly flat directions, in which the inverse is large and single probes would be noisy,
are in the exact parts. What a level's own coefficients do to each other is known too, from M^-1 r instead of x:

    E[ M^-1 r y' ] = M^-1 (I - S E (E'SE)^-1 E')
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray
from scipy.sparse import bsr_array, csc_array, hstack
from scipy.sparse.linalg import splu

from mixedfx.linalg.lanczos import log_quadratics
from mixedfx.linalg.pcg import CGSolution
from mixedfx.linalg.reduced import ReducedSystem

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Probes:
    """Right-hand sides to solve for, and what to make of the solutions.

    Attributes
    ----------
    residual
        r, orthogonal to the coarse space, shape (n_rest, m).
    partner
        y, shape (n_rest, m).
    squares
        |Pi s|^2, shape (m,).
    logdet_known
        log|M| + log|E'SE| - log|E'ME|.
    coarse
        B with B B' = E (E'SE)^-1 E' as far as the dense directions go, shape (n_rest, c).
    null_part
        Columns v with E[v v'] = the rest of it, due to the null directions of nested factors; None without such.
    near
        M^-1 r, shape (n_rest, m).
    near_blocks
        Diagonal blocks of E[M^-1 r y'] without the null directions' part, (J_k, q_k, q_k) a remaining factor.
    """

    residual: Floats
    partner: Floats
    squares: Floats
    logdet_known: float
    coarse: Floats
    null_part: Floats | None
    near: Floats
    near_blocks: tuple[Floats, ...]

    @classmethod
    def of(cls, system: ReducedSystem, signs: Floats, more: Floats) -> Probes:
        """For white `signs` and `more` of shape (n_rest, m); S without fixed effects, so that it is at least I."""
        space = system.coarse
        roots = [np.linalg.cholesky(inverse) for inverse in system.inverses]
        logdet_M = -2.0 * sum(
            float(np.log(np.diagonal(root, axis1=1, axis2=2)).sum()) for root in roots
        )
        basis, B, SB, logdet_SE = _independent(system)
        dense = space.G @ basis
        E = dense if not space.N.shape[1] else csc_array(hstack([space.N, csc_array(dense)]))
        white_E = _blockwise(system, [np.linalg.inv(root) for root in roots], E)
        project, logdet_ME = _projector(white_E)
        kept = project(signs)
        residual = _blockwise(system, [np.swapaxes(np.linalg.inv(root), 1, 2) for root in roots], kept)
        partner = system.coarse.correct(_blockwise(system, roots, signs), np.zeros_like(signs))
        null_part = None
        if space.N.shape[1]:
            null_part = space.N @ space.solve_gram(space.N.T @ more)
        known = logdet_M + logdet_SE - logdet_ME
        squares = np.einsum("im,im->m", kept, kept)
        near, MSB = (_blockwise(system, list(system.inverses), v) for v in (residual, SB))
        near_blocks = tuple(
            inverse - np.einsum("jac,jbc->jab", *(v[block.slice].reshape(block.n_levels, block.q, -1) for v in (MSB, B)))
            for inverse, block in zip(system.inverses, system.reduction.operator.layout.rest, strict=True)
        )
        return cls(residual, partner, squares, known, B, null_part, near, near_blocks)

    def logdets(self, solution: CGSolution) -> Floats:
        """log|S| as each probe has it, shape (m,); their mean estimates it."""
        return self.logdet_known + log_quadratics(solution.alphas, solution.betas, self.squares)

    def pairs(self, solution: CGSolution) -> tuple[Floats, Floats]:
        """(x, y) of shape (n_rest, m) with S^-1 = B B' + E[x y']."""
        if self.null_part is None:
            return solution.x, self.partner
        return solution.x + self.null_part, self.partner + self.null_part

    def level_sums(self, system: ReducedSystem, solution: CGSolution) -> tuple[Floats, ...]:
        """sum_j (S^-1)_jj as each probe has it, (q_k, q_k, m) a remaining factor."""
        x, y = self.pairs(solution)
        x = x - self.near
        if self.null_part is not None:
            x += _blockwise(system, list(system.inverses), self.null_part)
        out = []
        for block, near in zip(system.reduction.operator.layout.rest, self.near_blocks, strict=True):
            xs, ys, Bs = (v[block.slice].reshape(block.n_levels, block.q, -1) for v in (x, y, self.coarse))
            known = near.sum(axis=0) + np.einsum("jac,jbc->ab", Bs, Bs)
            out.append(known[:, :, None] + np.einsum("jam,jbm->abm", xs, ys))
        return tuple(out)


def signs(n: int, m: int, seed: int) -> Floats:
    """White signs, shape (n, m): the first columns are the same whatever m is."""
    out = np.empty((n, m))
    for c, child in enumerate(np.random.SeedSequence(seed).spawn(m)):
        out[:, c] = 2.0 * np.random.default_rng(child).integers(0, 2, n, dtype=np.int8) - 1.0
    return out


def _independent(system: ReducedSystem) -> tuple[Floats, Floats, float]:
    """(T, B, S B, log|E'SE|) for E = [N G T]: what of the dense directions G is independent of the null directions N.

    B B' is the part of E (E'SE)^-1 E' that is not N (N'N)^-1 N'.
    """
    space = system.coarse
    NG = space.N.T @ space.G
    K = space.G.T @ space.SG - NG.T @ space.gram_NG
    scale = np.sqrt(np.maximum(np.diag(K), np.finfo(float).tiny))
    values, vectors = np.linalg.eigh(K / np.outer(scale, scale))
    kept = values > 1e-10 * np.max(values, initial=0.0)
    T = vectors[:, kept] / scale[:, None]
    null = space.N @ space.gram_NG
    scaled = T / np.sqrt(values[kept])
    return T, (space.G - null) @ scaled, (space.SG - null) @ scaled, float(np.log(values[kept]).sum()) + _logdet_gram(space.N)


def _logdet_gram(N: csc_array) -> float:
    """log|N'N|."""
    if not N.shape[1]:
        return 0.0
    return float(np.log(np.abs(splu(csc_array(N.T @ N)).U.diagonal())).sum())


def _blockwise(system: ReducedSystem, blocks: list[Floats], V: Floats | csc_array) -> Floats | csc_array:
    """blockdiag(blocks) V."""
    rest = system.reduction.operator.layout.rest
    if not isinstance(V, np.ndarray):
        ready = [
            bsr_array((b, np.arange(len(b)), np.arange(len(b) + 1)), shape=(len(b) * b.shape[1],) * 2)
            for b in blocks
        ]
        parts = [matrix @ V[block.slice] for matrix, block in zip(ready, rest, strict=True)]
        from scipy.sparse import vstack

        return csc_array(vstack(parts))
    out = np.empty_like(V)
    for block, own in zip(rest, blocks, strict=True):
        levels = V[block.slice].reshape(block.n_levels, block.q, V.shape[1])
        out[block.slice] = (own @ levels).reshape(block.stop - block.start, V.shape[1])
    return out


def _projector(F: Floats | csc_array):
    """(v -> v less its projection on the columns of F, log|F'F|)."""
    if isinstance(F, np.ndarray):
        Q, R = scipy.linalg.qr(F, mode="economic")
        return lambda v: v - Q @ (Q.T @ v), 2.0 * float(np.log(np.abs(np.diag(R))).sum())
    lu = splu(csc_array(F.T @ F))
    return lambda v: v - F @ lu.solve(F.T @ v), float(np.log(np.abs(lu.U.diagonal())).sum())

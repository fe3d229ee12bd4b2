"""The coarse space: directions along which the objective is nearly flat, solved exactly.

Shifting all levels of a factor by c and beta by -c changes no linear predictor and costs only the prior's penalty.
Such directions ruin the condition number of S, and there are few of them, so they are taken out: the two-level
preconditioner A-DEF2 (Tang, Nabben, Vuik & Erlangga 2009, J. Sci. Comput. 39, table 2).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedfx.linalg.elimination import Elimination
from mixedfx.linalg.layout import RestBlock, RowLayout

Floats = NDArray[np.float64]

MOST_OUTER_LEVELS = 200
"""A nested factor gets a direction per outer level up to this many: each costs one column of products."""
COLUMNS_AT_ONCE = 16


@dataclass(frozen=True, eq=False)
class CoarseSpace:
    """E (n_rest, m), S E and the pseudo-inverse of E' S E."""

    E: Floats
    SE: Floats
    inverse: Floats

    def solve(self, r: Floats) -> Floats:
        """E (E'SE)^-1 E' r."""
        return self.E @ (self.inverse @ (self.E.T @ r))

    def correct(self, z: Floats, r: Floats) -> Floats:
        """z + E (E'SE)^-1 E'(r - S z), without a product with S."""
        return z + self.E @ (self.inverse @ (self.E.T @ r - self.SE.T @ z))


def coarse_directions(layout: RowLayout) -> Floats:
    """E, shape (n_rest, m): beta's unit vectors, and "all levels" of every factor and coefficient in u.

    A factor nested in another remaining factor has one such direction per level of the outer one.
    """
    columns: list[Floats] = []
    for block in layout.rest:
        outer = _outer_levels(block, layout)
        for i in range(block.q):
            direction = np.zeros((layout.n_rest, outer.max() + 1))
            direction[block.start + i : block.stop : block.q][np.arange(block.n_levels), outer] = 1.0
            columns.append(direction)
    beta = np.zeros((layout.n_rest, layout.p))
    beta[layout.beta_start :] = np.eye(layout.p)
    return np.hstack([*columns, beta])


def coarse_space(elimination: Elimination, E: Floats) -> CoarseSpace:
    """Multiply S into E and factor E'SE."""
    columns = [
        elimination.product(np.ascontiguousarray(E[:, i : i + COLUMNS_AT_ONCE]))
        for i in range(0, E.shape[1], COLUMNS_AT_ONCE)
    ]
    SE = np.hstack(columns) if columns else np.zeros_like(E)
    return CoarseSpace(E, SE, symmetric_pseudo_inverse(E.T @ SE))


def symmetric_pseudo_inverse(A: Floats) -> Floats:
    """Pseudo-inverse of a positive semidefinite matrix, scaled to a unit diagonal first; null directions get 0."""
    if not len(A):
        return A
    scale = np.sqrt(np.maximum(np.diag(A), np.finfo(float).tiny))
    values, vectors = np.linalg.eigh(A / np.outer(scale, scale))
    kept = values > len(A) * np.finfo(float).eps * values[-1]
    inverse = (vectors[:, kept] / values[kept]) @ vectors[:, kept].T
    return inverse / np.outer(scale, scale)


def _outer_levels(block: RestBlock, layout: RowLayout) -> NDArray[np.int64]:
    """For each level of `block`, the level of the finest remaining factor it is nested in, 0 where there is none."""
    own = block.term.grouping
    best = np.zeros(own.n_levels, dtype=np.int64)
    for other in layout.rest:
        grouping = other.term.grouping
        if other is block or not best.max() + 1 < grouping.n_levels <= MOST_OUTER_LEVELS:
            continue
        outer = np.zeros(own.n_levels, dtype=np.int64)
        outer[own.codes] = grouping.codes
        if np.array_equal(outer[own.codes], grouping.codes):
            best = outer
    return best

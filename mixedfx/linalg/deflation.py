"""The coarse space: directions along which the objective is nearly flat, solved exactly.

Shifting all levels of a factor by c and beta by -c changes no linear predictor and costs only the prior's penalty.
Such directions ruin the condition number of S, and there are few of them, so they are taken out: the two-level
preconditioner A-DEF2 (Tang, Nabben, Vuik & Erlangga 2009, J. Sci. Comput. 39, table 2).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedfx.linalg.elimination import Reduction
from mixedfx.linalg.layout import Block, RowLayout

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


@dataclass(frozen=True, eq=False)
class CoarseDirections:
    """E, and what its columns have in common.

    "All levels" of a coefficient give every row the coefficient's feature, and so does beta's entry for that feature.
    In b every column of E is therefore a combination of few columns F, at most one a feature, as far as rows can see:
    ``D_o Lambda E = D_o F C``, and only F has to be multiplied.

    Attributes
    ----------
    E
        Directions in u, shape (n_rest, m).
    F
        Shape (n_rest, d), d <= m.
    members
        For each column of E, the (factor, coefficient) it stands for, factor -1 for beta and thresholds.
    of_coefficient
        Column of F of each (factor, coefficient, direction), and of beta and thresholds by their place in E.
    """

    E: Floats
    F: Floats
    members: tuple[tuple[int, int, int], ...]
    of_coefficient: Mapping[tuple[int, int, int], int]

    def combinations(self, reduction: Reduction) -> Floats:
        """C, shape (d, m)."""
        C = np.zeros((self.F.shape[1], self.E.shape[1]))
        for column, (k, i, direction) in enumerate(self.members):
            if k < 0:
                C[self.of_coefficient[k, i, direction], column] = 1.0
                continue
            for a, weight in enumerate(reduction.lambdas.rest[k][:, i]):
                C[self.of_coefficient[k, a, direction], column] += weight
        return C


def coarse_directions(layout: RowLayout) -> CoarseDirections:
    """ "All levels" of every factor and coefficient in u, and unit vectors of beta and thresholds.

    A factor nested in another remaining factor has one such direction per level of the outer one.
    """
    columns: list[Floats] = []
    members: list[tuple[int, int, int]] = []
    distinct: list[Floats] = []
    of_coefficient: dict[tuple[int, int, int], int] = {}
    of_feature: dict[int, int] = {}

    def represent(key: tuple[int, int, int], direction: Floats, feature: int | None) -> None:
        if feature in of_feature:
            of_coefficient[key] = of_feature[feature]
            return
        of_coefficient[key] = len(distinct)
        if feature is not None:
            of_feature[feature] = len(distinct)
        distinct.append(direction)

    fixed = np.eye(layout.n_rest - layout.beta_start)
    for i, unit in enumerate(fixed):
        direction = np.concatenate([np.zeros(layout.beta_start), unit])
        represent((-1, i, 0), direction, int(layout.fixed_columns[i]) if i < layout.p else None)
    for k, block in enumerate(layout.rest):
        outer = _outer_levels(block, layout)
        n_directions = int(outer.max()) + 1
        for i in range(block.q):
            for d in range(n_directions):
                direction = np.zeros(layout.n_rest)
                direction[block.start + i : block.stop : block.q][outer == d] = 1.0
                columns.append(direction)
                members.append((k, i, d))
                represent((k, i, d), direction, int(block.columns[i]) if n_directions == 1 else None)
    for i, unit in enumerate(fixed):
        columns.append(np.concatenate([np.zeros(layout.beta_start), unit]))
        members.append((-1, i, 0))
    stacked = [
        np.array(some, dtype=float).reshape(len(some), layout.n_rest).T.copy() for some in (columns, distinct)
    ]
    return CoarseDirections(stacked[0], stacked[1], tuple(members), of_coefficient)


def coarse_space(reduction: Reduction, directions: CoarseDirections) -> CoarseSpace:
    """Multiply S into E and factor E'SE."""
    E, F = directions.E, directions.F
    images = [
        reduction.image(np.ascontiguousarray(F[:, i : i + COLUMNS_AT_ONCE]))
        for i in range(0, F.shape[1], COLUMNS_AT_ONCE)
    ]
    SE = reduction.penalty(E)
    if images:
        SE += np.hstack(images) @ directions.combinations(reduction)
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


def _outer_levels(block: Block, layout: RowLayout) -> NDArray[np.int64]:
    """For each level of `block`, the level of the finest remaining factor it is nested in, 0 where there is none."""
    best = np.zeros(block.n_levels, dtype=np.int64)
    own = layout.level_codes(block.name)
    for other in layout.rest:
        if other is block or not best.max() + 1 < other.n_levels <= MOST_OUTER_LEVELS:
            continue
        codes = layout.level_codes(other.name)
        outer = np.zeros(block.n_levels, dtype=np.int64)
        outer[own] = codes
        if np.array_equal(outer[own], codes):
            best = outer
    return best

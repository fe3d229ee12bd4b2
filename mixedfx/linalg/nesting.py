"""Factors nested in others, and the directions in which only the prior holds them.

Where every level of an inner factor lies in one level of an outer factor, raising the outer level by c and lowering its
inner levels by c changes no row. Such a direction has the prior's curvature alone, one a level of the outer factor and
feature that both have: S N = N in u, so that any number of them can be deflated without a product with S.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csc_array

from mixedfx.linalg.lambdas import Lambdas
from mixedfx.linalg.layout import RowLayout

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Nesting:
    """One remaining factor nested in another: their numbers among the remaining ones, and the outer level of each
    inner level, shape (J_inner,)."""

    inner: int
    outer: int
    outer_level: NDArray[np.int64]


def nestings(layout: RowLayout) -> tuple[Nesting, ...]:
    """Every remaining factor with the finest others it is nested in.

    A factor two levels up follows from the two steps to it, and would only repeat them.
    """
    found: dict[tuple[int, int], NDArray[np.int64]] = {}
    for i, inner in enumerate(layout.rest):
        for o, outer in enumerate(layout.rest):
            larger = (inner.n_levels, -i) > (outer.n_levels, -o)
            if i != o and larger and (levels := _outer_levels(layout, i, o)) is not None:
                found[i, o] = levels
    steps = [
        Nesting(i, o, levels)
        for (i, o), levels in found.items()
        if not any((i, m) in found and (m, o) in found for m in range(len(layout.rest)))
    ]
    return tuple(steps)


def null_directions(layout: RowLayout, lambdas: Lambdas, steps: tuple[Nesting, ...]) -> csc_array:
    """N in u, shape (n_rest, k), sparse: one column a nesting, shared feature and outer level.

    A coefficient that a singular Sigma holds fixed has no such direction.
    """
    rows: list[NDArray] = []
    columns: list[NDArray] = []
    values: list[Floats] = []
    n_columns = 0
    for step in steps:
        inner, outer = layout.rest[step.inner], layout.rest[step.outer]
        for i, feature in enumerate(inner.columns):
            for o in np.flatnonzero(outer.columns == feature):
                of_inner, of_outer = (
                    _in_u(lambdas.rest[step.inner], i),
                    _in_u(lambdas.rest[step.outer], int(o)),
                )
                if of_inner is None or of_outer is None:
                    continue
                for block, direction, level in (
                    (inner, of_inner, step.outer_level),
                    (outer, -of_outer, np.arange(outer.n_levels)),
                ):
                    place = block.start + block.q * np.arange(block.n_levels)[:, None] + np.arange(block.q)
                    rows.append(place.ravel())
                    columns.append(np.repeat(n_columns + level, block.q))
                    values.append(np.tile(direction, block.n_levels))
                n_columns += outer.n_levels
    if not n_columns:
        return csc_array((layout.n_rest, 0))
    entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    return csc_array(coo_array(entries, shape=(layout.n_rest, n_columns)))


def _in_u(factor: Floats, i: int) -> Floats | None:
    """u with Lambda u = e_i; None where there is none."""
    unit = np.eye(len(factor))[i]
    u = np.linalg.pinv(factor) @ unit
    return u if np.allclose(factor @ u, unit, atol=1e-6) else None


def _outer_levels(layout: RowLayout, i: int, o: int) -> NDArray[np.int64] | None:
    """The outer level of each inner level, or None where an inner level lies in several."""
    own, codes = layout.codes[i], layout.codes[o]
    outer = np.zeros(layout.rest[i].n_levels, dtype=np.int64)
    for rows in (slice(0, 10_000), slice(None)):  # crossed factors show within the first rows
        outer[own[rows]] = codes[rows]
        if not np.array_equal(outer[own[rows]], codes[rows]):
            return None
    return outer

"""Products for few right-hand sides, and diagonal blocks: the part of `NumbaOperator` that takes a level at a time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mixedfx.linalg.curvature import Curvature
from mixedfx.linalg.layout import RowLayout, bounds
from mixedfx.linalg.threads import over_levels, per_thread

if TYPE_CHECKING:
    from mixedfx.linalg.level_rows import LevelRows

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LevelOperator:
    """Some of `RowOperator`'s products; see there.

    Attributes
    ----------
    layout
        How rows and coefficients are arranged.
    """

    layout: RowLayout

    @cached_property
    def rows(self) -> LevelRows:
        """What the kernels read."""
        from mixedfx.linalg.level_rows import level_rows_of

        return level_rows_of(self.layout)

    def cross(self, curvature: Curvature, blocks: Floats, e: Floats) -> Floats:
        """D_o' W Z_e e, shape (n_rest, m); e (J_e, q_e, m)."""
        m = e.shape[2]
        if not m:
            return np.empty((self.layout.n_rest, 0))
        from mixedfx.linalg.level_kernels import cross

        sums = self._sums(m * self.layout.n_rest), self._sums(m * (self.layout.n_thresholds + 2))
        arguments = (self.rows, m, *rowwise(curvature), blocks, one_after_the_other(e))
        over_levels(self.layout, cross, *arguments, each=[self._each_row(), self._each_own(), *sums])
        return side_by_side(self.layout, m, *sums)

    def reduced_product(self, curvature: Curvature, blocks: Floats, M: Floats, v: Floats) -> Floats:
        """D_o' T_e D_o v, shape (n_rest, m)."""
        m = v.shape[1]
        if not m:
            return np.empty((self.layout.n_rest, 0))
        from mixedfx.linalg.level_kernels import product

        sums = self._sums(m * self.layout.n_rest), self._sums(m * (self.layout.n_thresholds + 2))
        vectors = one_after_the_other(v), one_after_the_other(padded_alpha(self.layout, v))
        arguments = (self.rows, m, *rowwise(curvature), blocks, M, *vectors)
        buffers = [self._each_row(), self._each_row(), *(self._each_own() for _ in range(3))]
        over_levels(self.layout, product, *arguments, each=[*buffers, *sums])
        return side_by_side(self.layout, m, *sums)

    def level_sums(self, curvature: Curvature, blocks: Floats, v: Floats) -> Floats:
        """Z_e' W D_o v, shape (J_e, q_e, m)."""
        m, J, q = v.shape[1], self.layout.n_levels, self.layout.q
        if not m:
            return np.empty((J, q, 0))
        from mixedfx.linalg.level_kernels import level_sums

        out = np.empty(m * J * q)
        vectors = one_after_the_other(v), one_after_the_other(padded_alpha(self.layout, v))
        arguments = (self.rows, m, *rowwise(curvature), blocks, *vectors, out)
        over_levels(self.layout, level_sums, *arguments, each=[self._each_row(), self._each_own()])
        return np.ascontiguousarray(np.moveaxis(out.reshape(m, J, q), 0, 2))

    def diagonal_blocks(self, omega: NDArray) -> tuple[Floats, tuple[Floats, ...]]:
        """Blocks of D' W D: the eliminated levels', and the remaining factors'."""
        from mixedfx.linalg.level_kernels import diagonal_blocks

        layout, starts = self.layout, block_starts(self.layout)
        e, flat = np.empty((layout.n_levels, layout.q, layout.q)), self._sums(int(starts[-1]))
        arguments = (self.rows, np.ascontiguousarray(omega), starts, e)
        over_levels(layout, diagonal_blocks, *arguments, each=[self.columns(), self._each_row(), flat])
        return e, split_blocks(layout, flat.sum(axis=0))

    def eliminated_share(self, omega: NDArray, M: Floats) -> tuple[Floats, ...]:
        """What elimination takes from the remaining factors' diagonal blocks."""
        from mixedfx.linalg.level_kernels import eliminated_share

        layout, starts = self.layout, block_starts(self.layout)
        levels = bounds(block.n_levels for block in layout.rest)
        pairs = bounds(block.n_levels * block.q * layout.q for block in layout.rest)
        flat, pair = self._sums(int(starts[-1])), self._sums(int(pairs[-1]))
        seen = np.zeros((len(flat), int(levels[-1])), dtype=np.bool_)
        values = [self.columns(), self.columns(), self._each_row(), self._each_own()]
        arguments = (self.rows, omega, M, starts, levels, pairs)
        over_levels(layout, eliminated_share, *arguments, each=[*values, pair, seen, flat])
        return split_blocks(layout, flat.sum(axis=0))

    def columns(self) -> Floats:
        """Room for the columns of each factor, one at a time, in all rows of a level, for each thread."""
        return per_thread(
            self.layout.n_rows, (max(block.q for block in self.layout.blocks), self.layout.longest)
        )

    def _each_row(self) -> Floats:
        return per_thread(self.layout.n_rows, (self.layout.longest,))

    def _each_own(self) -> Floats:
        return per_thread(self.layout.n_rows, (self.layout.q,))

    def _sums(self, size: int) -> Floats:
        return per_thread(self.layout.n_rows, (size,), 0.0)


def one_after_the_other(columns: Floats) -> Floats:
    """The columns, the last axis, of an array in one run; float64."""
    return np.ascontiguousarray(np.moveaxis(columns, -1, 0), dtype=np.float64).reshape(-1)


def padded_alpha(layout: RowLayout, v: Floats) -> Floats:
    """The thresholds' part of rest vectors v between two zeros, shape (thresholds + 2, m)."""
    return np.pad(v[layout.alpha_start :], ((1, 1), (0, 0)))


def side_by_side(layout: RowLayout, m: int, sums: Floats, into_alpha: Floats) -> Floats:
    """All threads' sums of m columns, one after the other, as (n_rest, m), with the thresholds' in their place."""
    out = sums.sum(axis=0).reshape(m, layout.n_rest)
    out[:, layout.alpha_start :] = into_alpha.sum(axis=0).reshape(m, -1)[:, 1:-1]
    return np.ascontiguousarray(out.T)


def rowwise(curvature: Curvature) -> tuple[NDArray, NDArray | None, NDArray | None]:
    """A curvature as the kernels take it."""
    if not curvature.has_thresholds:
        return curvature.omega, None, None
    return curvature.omega, curvature.upper, curvature.category


def block_starts(layout: RowLayout) -> NDArray[np.int64]:
    """Where the diagonal blocks of each remaining factor begin in a flat array, and its length; shape (K,)."""
    return bounds(block.n_levels * block.q**2 for block in layout.rest)


def split_blocks(layout: RowLayout, flat: Floats) -> tuple[Floats, ...]:
    """Diagonal blocks by factor, (J_k, q_k, q_k) each, from a flat array that holds their lower triangles."""
    starts = block_starts(layout)
    lower = (
        flat[start : start + block.n_levels * block.q**2].reshape(block.n_levels, block.q, block.q)
        for block, start in zip(layout.rest, starts[:-1], strict=True)
    )
    return tuple(_symmetric(block) for block in lower)


def _symmetric(lower: Floats) -> Floats:
    """Blocks (J, q, q) from their lower triangles, which are filled in place."""
    for i in range(lower.shape[-1]):
        for h in range(i):
            lower[:, h, i] = lower[:, i, h]
    return lower

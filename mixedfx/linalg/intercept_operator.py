"""`RowOperator` for models whose random coefficients are all intercepts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mixedfx.linalg.curvature import Curvature
from mixedfx.linalg.layout import RowLayout
from mixedfx.linalg.operator import (
    DiagonalBlocks,
    NumbaOperator,
    Parts,
    RowOperator,
    contiguous,
    rowwise,
    split_blocks,
)
from mixedfx.linalg.threads import over_levels
from mixedfx.predictors import CONSTANT

if TYPE_CHECKING:
    from mixedfx.linalg.intercept_kernels import InterceptRows

Floats = NDArray[np.float64]


def row_operator(layout: RowLayout) -> RowOperator:
    """The fastest operator for a layout on the CPU."""
    general = NumbaOperator(layout)
    columns = np.concatenate([block.columns for block in layout.blocks])
    plain = all(block.q == 1 for block in layout.blocks) and (columns == CONSTANT).all()
    # X's values must stand in the rows: what lies in tables by level takes the general kernels.
    by_row = all(table.shape[1] == 0 for table in layout.features.tables)
    return InterceptOperator(general) if plain and by_row else general


@dataclass(frozen=True, eq=False)
class InterceptOperator:
    """Specialised kernels for what a solver does most; everything else is left to `general`."""

    general: NumbaOperator

    @property
    def layout(self) -> RowLayout:
        return self.general.layout

    @cached_property
    def rows(self) -> InterceptRows:
        """What the kernels read."""
        from mixedfx.linalg.intercept_kernels import InterceptRows

        layout = self.layout
        is_constant = layout.fixed_columns == CONSTANT
        at = np.flatnonzero(is_constant)
        return InterceptRows(
            ptr=layout.ptr,
            near=layout.codes[0] if len(layout.codes) else np.zeros(0, dtype=np.int32),
            codes=layout.codes,
            start=np.array([block.start for block in layout.rest], dtype=np.int64),
            values=layout.features.rows,
            constant=layout.beta_start + int(at[0]) if at.size else -1,
            x_index=layout.beta_start + np.flatnonzero(~is_constant),
            x_columns=layout.features.positions(layout.fixed_columns[~is_constant]),
        )

    def matvec(self, parts: Parts) -> Floats:
        return self.general.matvec(parts)

    def rmatvec(self, rows: Floats) -> Parts:
        return self.general.rmatvec(rows)

    def cross(self, curvature: Curvature, e: Floats) -> Floats:
        return self.general.cross(curvature, e)

    def level_sums(self, curvature: Curvature, v: Floats) -> Floats:
        return self.general.level_sums(curvature, v)

    def noise(self, curvature: Curvature, seed: int, m: int) -> Parts:
        return self.general.noise(curvature, seed, m)

    def dense_reduced(self, omega: Floats, M: Floats) -> Floats:
        return self.general.dense_reduced(omega, M)

    def level_quadratic(self, omega: Floats, H: Floats) -> Floats:
        return self.general.level_quadratic(omega, H)

    def diagonal_blocks(self, omega: Floats) -> DiagonalBlocks:
        from mixedfx.linalg import intercept_kernels as kernels

        e, sums = np.empty(self.layout.n_levels), self.general.accumulators(self.layout.beta_start)
        arguments = (self.rows, np.ascontiguousarray(omega), e)
        over_levels(self.layout, kernels.diagonal_blocks, *arguments, each=[sums])
        return DiagonalBlocks(e[:, None, None], split_blocks(self.layout, sums.sum(axis=0)))

    def reduced_product(self, curvature: Curvature, M: Floats, v: Floats) -> Floats:
        if v.shape[1] != 1:
            return self.general.reduced_product(curvature, M, v)
        from mixedfx.linalg import intercept_kernels as kernels

        layout = self.layout
        sums = self.general.accumulators(layout.n_rest)
        into_alpha = self.general.accumulators(layout.n_thresholds + 2)
        forms, rows = self.general.buffers(layout.longest), self.rows
        arguments = (contiguous(M).reshape(-1), contiguous(v).reshape(-1))
        if len(layout.codes) == 1 and not len(rows.x_index) and not curvature.has_thresholds:
            shared = (rows.ptr, rows.near, rows.constant, curvature.omega, *arguments)
            over_levels(layout, kernels.product_of_two, *shared, each=[forms, sums])
            return sums.sum(axis=0)[:, None]
        alpha = np.ascontiguousarray(self.general.padded_alpha(v)[:, 0])
        each = [forms, sums, into_alpha]
        over_levels(layout, kernels.product, rows, *rowwise(curvature), *arguments, alpha, each=each)
        out = sums.sum(axis=0)
        out[layout.alpha_start :] = into_alpha.sum(axis=0)[1:-1]
        return out[:, None]

    def reduced_blocks(self, curvature: Curvature, M: Floats, rest: tuple[Floats, ...]) -> tuple[Floats, ...]:
        from mixedfx.linalg import intercept_kernels as kernels

        sums = self.general.accumulators(self.layout.beta_start)
        arguments = (self.rows, curvature.omega, contiguous(M).reshape(-1))
        pairs = self.general.accumulators(self.layout.beta_start)
        over_levels(self.layout, kernels.eliminated_share, *arguments, each=[pairs, sums])
        shares = split_blocks(self.layout, sums.sum(axis=0))
        return tuple(own - share for own, share in zip(rest, shares, strict=True))

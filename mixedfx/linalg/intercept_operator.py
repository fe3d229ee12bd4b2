"""`RowOperator` for models whose random coefficients are all intercepts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mixedfx.linalg.curvature import Curvature
from mixedfx.linalg.layout import RowLayout
from mixedfx.linalg.level_operator import (
    one_after_the_other,
    padded_alpha,
    rowwise,
    side_by_side,
    split_blocks,
)
from mixedfx.linalg.leverages import LeverageSums, LeverageWeights
from mixedfx.linalg.operator import (
    FEW_COLUMNS,
    DiagonalBlocks,
    NumbaOperator,
    Parts,
    RowOperator,
    contiguous,
    leverage_totals,
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
    by_row = not layout.p or all(table.shape[1] == 0 for table in layout.features.tables)
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

    @property
    def _random_alone(self) -> bool:
        """Whether there is nothing but random intercepts of two or more factors."""
        return bool(len(self.layout.codes)) and self.layout.n_rest == self.layout.beta_start

    @cached_property
    def _columns(self) -> tuple[NDArray, ...]:
        """The arguments that the kernels for several right-hand sides begin with."""
        rows = self.rows
        return rows.ptr, rows.near, rows.codes, rows.start

    def matvec(self, parts: Parts) -> Floats:
        if not self._random_alone:
            return self.general.matvec(parts)
        from mixedfx.linalg import intercept_columns as kernels

        out = np.empty((self.layout.n_rows, parts.rest.shape[1]))
        arguments = (contiguous(parts.e[:, 0]), contiguous(parts.rest), out)
        over_levels(self.layout, kernels.matvec, *self._columns, *arguments)
        return out

    def rmatvec(self, rows: Floats) -> Parts:
        if not self._random_alone:
            return self.general.rmatvec(rows)
        from mixedfx.linalg import intercept_columns as kernels

        e, sums = np.empty((self.layout.n_levels, rows.shape[1])), self._sums(rows.shape[1])
        over_levels(self.layout, kernels.rmatvec, *self._columns, contiguous(rows), e, each=[sums])
        return Parts(e[:, None, :], sums.sum(axis=0))

    def cross(self, curvature: Curvature, blocks: Floats, e: Floats) -> Floats:
        if not self._random_alone:
            return self.general.cross(curvature, blocks, e)
        from mixedfx.linalg import intercept_columns as kernels

        sums = self._sums(e.shape[2])
        arguments = (*self._columns, curvature.omega, contiguous(e[:, 0]))
        over_levels(self.layout, kernels.cross, *arguments, each=[sums])
        return sums.sum(axis=0)

    def level_sums(self, curvature: Curvature, blocks: Floats, v: Floats) -> Floats:
        if not self._random_alone:
            return self.general.level_sums(curvature, blocks, v)
        from mixedfx.linalg import intercept_columns as kernels

        out = np.empty((self.layout.n_levels, v.shape[1]))
        over_levels(self.layout, kernels.level_sums, *self._columns, curvature.omega, contiguous(v), out)
        return out[:, None, :]

    def leverage_sums(
        self, M: Floats, e: Floats, v: Floats, weights: LeverageWeights, m: int
    ) -> LeverageSums:
        if not self._random_alone:
            return self.general.leverage_sums(M, e, v, weights, m)
        from mixedfx.linalg import intercept_columns as kernels

        into_e, sums = np.empty((len(e), m)), self.general.leverage_accumulators(weights, m)
        arguments = (contiguous(M).reshape(-1), contiguous(e[:, 0]), contiguous(v), weights.arrays, into_e)
        each = [self.general.buffers(v.shape[1]), self.general.buffers(m), *sums]
        over_levels(self.layout, kernels.leverage_sums, *self._columns, *arguments, each=each)
        return leverage_totals(into_e[:, None, :], sums)

    def _products(self, curvature: Curvature, M: Floats, v: Floats) -> Floats:
        """`reduced_product` of random intercepts alone, for several columns."""
        from mixedfx.linalg import intercept_columns as kernels

        m, rows = v.shape[1], self.rows
        sums, total = self._sums(m), self.general.buffers(m)
        weights = (curvature.omega, contiguous(M).reshape(-1), contiguous(v))
        if len(self.layout.codes) == 1:
            arguments = (rows.ptr, rows.near, *weights)
            over_levels(self.layout, kernels.products_of_two, *arguments, each=[total, sums])
        else:
            each = [self.general.buffers(self.layout.longest, m), total, sums]
            over_levels(self.layout, kernels.products, *self._columns, *weights, each=each)
        return sums.sum(axis=0)

    def _sums(self, m: int) -> Floats:
        return self.general.accumulators(self.layout.n_rest, m)

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

    def reduced_product(self, curvature: Curvature, blocks: Floats, M: Floats, v: Floats) -> Floats:
        if self._random_alone and v.shape[1] != 1:
            return self._products(curvature, M, v)
        if 0 < v.shape[1] <= FEW_COLUMNS:
            return self._few_products(curvature, M, v)
        return self.general.reduced_product(curvature, blocks, M, v)

    def _few_products(self, curvature: Curvature, M: Floats, v: Floats) -> Floats:
        from mixedfx.linalg import intercept_kernels as kernels

        layout, rows, m = self.layout, self.rows, v.shape[1]
        zeros, buffers = self.general.accumulators, self.general.buffers
        forms, sums = buffers(layout.longest), zeros(m * layout.n_rest)
        arguments = (contiguous(M).reshape(-1), one_after_the_other(v))
        if m == 1 and len(layout.codes) == 1 and not len(rows.x_index) and not curvature.has_thresholds:
            shared = (rows.ptr, rows.near, rows.constant, curvature.omega, *arguments)
            over_levels(layout, kernels.product_of_two, *shared, each=[forms, sums])
            return sums.sum(axis=0)[:, None]
        alpha = one_after_the_other(padded_alpha(layout, v))
        into_alpha, into_lower = zeros(len(alpha)), zeros(len(alpha))
        each = [forms, buffers(layout.longest), sums, into_alpha, into_lower]
        over_levels(layout, kernels.product, rows, m, *rowwise(curvature), *arguments, alpha, each=each)
        return side_by_side(layout, m, sums, into_alpha + into_lower)

    def reduced_blocks(self, curvature: Curvature, M: Floats, rest: tuple[Floats, ...]) -> tuple[Floats, ...]:
        from mixedfx.linalg import intercept_kernels as kernels

        sums = self.general.accumulators(self.layout.beta_start)
        arguments = (self.rows, curvature.omega, contiguous(M).reshape(-1))
        pairs = self.general.accumulators(self.layout.beta_start)
        over_levels(self.layout, kernels.eliminated_share, *arguments, each=[pairs, sums])
        shares = split_blocks(self.layout, sums.sum(axis=0))
        return tuple(own - share for own, share in zip(rest, shares, strict=True))

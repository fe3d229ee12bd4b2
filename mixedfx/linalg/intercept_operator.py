"""`RowOperator` for models whose random coefficients are all intercepts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixedfx.linalg.layout import RowLayout
from mixedfx.linalg.operator import DiagonalBlocks, NumbaOperator, Parts, RowOperator, thread_chunks
from mixedfx.linalg.threads import launch
from mixedfx.predictors import CONSTANT

Floats = NDArray[np.float64]


def row_operator(layout: RowLayout) -> RowOperator:
    """The fastest operator for a layout on the CPU."""
    general = NumbaOperator(layout)
    columns = np.concatenate([layout.eliminated_columns, layout.rest_columns])
    plain = layout.q == 1 and all(block.q == 1 for block in layout.rest) and (columns == CONSTANT).all()
    return InterceptOperator(general) if plain else general


@dataclass(frozen=True, eq=False)
class InterceptOperator:
    """Specialised kernels for one right-hand side; everything else is left to `general`."""

    general: NumbaOperator

    @property
    def layout(self) -> RowLayout:
        return self.general.layout

    def matvec(self, parts: Parts) -> Floats:
        if parts.rest.shape[1] != 1:
            return self.general.matvec(parts)
        from mixedfx.linalg import intercept_kernels as kernels

        return launch(kernels.matvec, self.layout.n_rows, *self._rows(), _flat(parts.e), _flat(parts.rest))[
            :, None
        ]

    def rmatvec(self, rows: Floats) -> Parts:
        if rows.shape[1] != 1:
            return self.general.rmatvec(rows)
        from mixedfx.linalg import intercept_kernels as kernels

        e, rest = launch(kernels.rmatvec, self.layout.n_rows, *self._rows(), _flat(rows), self.layout.n_rest)
        return Parts(e[:, None, None], rest.sum(axis=0)[:, None])

    def diagonal_blocks(self, omega: Floats) -> DiagonalBlocks:
        from mixedfx.linalg import intercept_kernels as kernels

        layout = self.layout
        e, flat = launch(
            kernels.level_sums,
            self.layout.n_rows,
            thread_chunks(layout),
            layout.ptr,
            layout.codes,
            layout.rest_start,
            omega,
            layout.beta_start,
        )
        flat = flat.sum(axis=0)
        return DiagonalBlocks(e[:, None, None], tuple(flat[b.slice][:, None, None] for b in layout.rest))

    def cross(self, omega: Floats, e: Floats) -> Floats:
        if e.shape[2] != 1:
            return self.general.cross(omega, e)
        from mixedfx.linalg import intercept_kernels as kernels

        return launch(
            kernels.cross, self.layout.n_rows, *self._rows(), omega, _flat(e), self.layout.n_rest
        ).sum(axis=0)[:, None]

    def reduced_product(self, omega: Floats, M: Floats, v: Floats) -> Floats:
        if v.shape[1] != 1:
            return self.general.reduced_product(omega, M, v)
        from mixedfx.linalg import intercept_kernels as kernels

        longest = self.layout.longest
        product = launch(
            kernels.reduced_product, self.layout.n_rows, *self._rows(), omega, _flat(M), _flat(v), longest
        )
        return product.sum(axis=0)[:, None]

    def reduced_blocks(self, omega: Floats, M: Floats, blocks: DiagonalBlocks) -> tuple[Floats, ...]:
        from mixedfx.linalg import intercept_kernels as kernels

        layout, chunks = self.layout, thread_chunks(self.layout)
        shares = [
            launch(
                kernels.eliminated_share,
                self.layout.n_rows,
                chunks,
                layout.ptr,
                layout.codes[k],
                omega,
                _flat(M),
                block.n_levels,
            )
            for k, block in enumerate(layout.rest)
        ]
        return tuple(
            own - share.sum(axis=0)[:, None, None] for own, share in zip(blocks.rest, shares, strict=True)
        )

    def back_substitute(self, omega: Floats, M: Floats, h: Floats, v: Floats) -> tuple[Floats, Floats]:
        if v.shape[1] != 1:
            return self.general.back_substitute(omega, M, h, v)
        from mixedfx.linalg import intercept_kernels as kernels

        sums, rows = launch(
            kernels.back_substitute, self.layout.n_rows, *self._rows(), omega, _flat(M), _flat(h), _flat(v)
        )
        return sums[:, None, None], rows[:, None]

    def dense_reduced(self, omega: Floats, M: Floats) -> Floats:
        return self.general.dense_reduced(omega, M)

    def level_quadratic(self, omega: Floats, H: Floats) -> Floats:
        return self.general.level_quadratic(omega, H)

    def _rows(self) -> tuple[Any, Any, Any, Any, Any, Any, Any, Any]:
        """The arguments that the kernels begin with."""
        o = self.layout
        at = np.flatnonzero(o.fixed_columns == CONSTANT)
        constant = o.beta_start + int(at[0]) if at.size else -1
        slopes = np.flatnonzero(o.fixed_columns != CONSTANT)
        return (
            thread_chunks(o),
            o.ptr,
            o.codes,
            o.rest_start,
            o.features,
            constant,
            o.beta_start + slopes,
            o.fixed_columns[slopes],
        )


def _flat(array: Floats) -> Floats:
    return np.ascontiguousarray(array, dtype=np.float64).reshape(-1)

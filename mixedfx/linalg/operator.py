"""The operator protocol between the algorithms and the kernels, and its Numba implementation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from mixedfx.linalg.layout import RowLayout
from mixedfx.linalg.threads import launch, thread_count

Floats = NDArray[np.float64]


class Parts(NamedTuple):
    """A vector over all coefficients: `e` (J_e, q_e, m), `rest` (n_rest, m)."""

    e: Floats
    rest: Floats


class DiagonalBlocks(NamedTuple):
    """Z_j' W Z_j of every level: `e` (J_e, q_e, q_e); `rest`, one array (J_k, q_k, q_k) a remaining factor."""

    e: Floats
    rest: tuple[Floats, ...]


class RowOperator(Protocol):
    """Products with D = [Z_e D_o] and W = diag(omega), in the rows' sorted order and in b coordinates.

    All several-column arguments have m columns. T_e = W - W Z_e M Z_e' W, where M (J_e, q_e, q_e) is the covariance
    of the eliminated coefficients given the rest.
    """

    @property
    def layout(self) -> RowLayout:
        """How rows and coefficients are arranged."""
        ...

    def matvec(self, parts: Parts) -> Floats:
        """D parts, shape (N, m)."""
        ...

    def rmatvec(self, rows: Floats) -> Parts:
        """D' rows; rows (N, m)."""
        ...

    def diagonal_blocks(self, omega: Floats) -> DiagonalBlocks:
        """Level by level blocks of D' W D."""
        ...

    def cross(self, omega: Floats, e: Floats) -> Floats:
        """D_o' W Z_e e, shape (n_rest, m); e (J_e, q_e, m)."""
        ...

    def reduced_product(self, omega: Floats, M: Floats, v: Floats) -> Floats:
        """D_o' T_e D_o v, shape (n_rest, m)."""
        ...

    def reduced_blocks(self, omega: Floats, M: Floats, blocks: DiagonalBlocks) -> tuple[Floats, ...]:
        """Diagonal blocks (J_k, q_k, q_k) of D_o' T_e D_o for each remaining factor."""
        ...

    def back_substitute(self, omega: Floats, M: Floats, h: Floats, v: Floats) -> tuple[Floats, Floats]:
        """(sums = Z_e' W D_o v, rows D_o v + Z_e (h - M sums)); h (J_e, q_e, m), v (n_rest, m)."""
        ...

    def dense_reduced(self, omega: Floats, M: Floats) -> Floats:
        """D_o' T_e D_o as a dense matrix (n_rest, n_rest); only its lower triangle is filled."""
        ...

    def level_quadratic(self, omega: Floats, H: Floats) -> Floats:
        """B_j H B_j', B_j = Z_ej' W D_o, for each eliminated level, shape (J_e, q_e, q_e); H (n_rest, n_rest)."""
        ...


@dataclass(frozen=True, eq=False)
class NumbaOperator:
    """`RowOperator` with compiled loops on the CPU's threads.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from mixedfx.design import build_design
    >>> from mixedfx.linalg.layout import arrange
    >>> data = pd.DataFrame({"y": [1.0, 2.0, 4.0], "g": list("aab"), "h": list("uvv")})
    >>> operator = NumbaOperator(arrange(build_design("y ~ 1 + (1 | g) + (1 | h)", data).predictors))
    >>> operator.rmatvec(np.ones((3, 1))).rest.ravel()  # rows of u and v, and of beta
    array([1., 2., 3.])
    """

    layout: RowLayout

    def matvec(self, parts: Parts) -> Floats:
        from mixedfx.linalg import kernels

        return launch(kernels.matvec, self.layout.n_rows, *self._rows(), _c(parts.e), _c(parts.rest))

    def rmatvec(self, rows: Floats) -> Parts:
        from mixedfx.linalg import kernels

        e, rest = launch(kernels.rmatvec, self.layout.n_rows, *self._rows(), _c(rows), self.layout.n_rest)
        return Parts(e, rest.sum(axis=0))

    def diagonal_blocks(self, omega: Floats) -> DiagonalBlocks:
        from mixedfx.linalg import kernels

        layout = self.layout
        sizes = [block.n_levels * block.q**2 for block in layout.rest]
        starts = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]).astype(np.int64)
        e, flat = launch(
            kernels.diagonal_blocks,
            self.layout.n_rows,
            *self._rows()[:6],
            layout.rest_first,
            starts,
            omega,
            int(starts[-1]),
        )
        flat = flat.sum(axis=0)
        rest = tuple(
            flat[s : s + size].reshape(block.n_levels, block.q, block.q)
            for block, s, size in zip(layout.rest, starts[:-1], sizes, strict=True)
        )
        return DiagonalBlocks(e, rest)

    def cross(self, omega: Floats, e: Floats) -> Floats:
        from mixedfx.linalg import kernels

        return launch(kernels.cross, self.layout.n_rows, *self._rows(), omega, _c(e), self.layout.n_rest).sum(
            axis=0
        )

    def reduced_product(self, omega: Floats, M: Floats, v: Floats) -> Floats:
        from mixedfx.linalg import kernels

        return launch(
            kernels.reduced_product, self.layout.n_rows, *self._rows(), omega, M, _c(v), self.layout.longest
        ).sum(axis=0)

    def reduced_blocks(self, omega: Floats, M: Floats, blocks: DiagonalBlocks) -> tuple[Floats, ...]:
        from mixedfx.linalg import kernels

        layout = self.layout
        shares = (
            launch(
                kernels.eliminated_share,
                self.layout.n_rows,
                thread_chunks(self.layout),
                layout.ptr,
                layout.codes[k],
                layout.features,
                layout.eliminated_columns,
                block.term.columns.astype(np.int32),
                omega,
                M,
                block.n_levels,
            ).sum(axis=0)
            for k, block in enumerate(layout.rest)
        )
        return tuple(own - share for own, share in zip(blocks.rest, shares, strict=True))

    def back_substitute(self, omega: Floats, M: Floats, h: Floats, v: Floats) -> tuple[Floats, Floats]:
        from mixedfx.linalg import kernels

        return launch(kernels.back_substitute, self.layout.n_rows, *self._rows(), omega, M, _c(h), _c(v))

    def dense_reduced(self, omega: Floats, M: Floats) -> Floats:
        from mixedfx.linalg import dense_kernels

        return launch(
            dense_kernels.dense_reduced, self.layout.n_rows, *self._rows(), omega, M, self.layout.n_rest
        )

    def level_quadratic(self, omega: Floats, H: Floats) -> Floats:
        from mixedfx.linalg import dense_kernels

        return launch(dense_kernels.level_quadratic, self.layout.n_rows, *self._rows(), omega, _c(H))

    def _rows(self) -> tuple[Any, Any, Any, Any, Any, Any, Any, Any, Any]:
        """The arguments that all kernels begin with."""
        o = self.layout
        return (
            thread_chunks(o),
            o.ptr,
            o.codes,
            o.features,
            o.eliminated_columns,
            o.rest_columns,
            o.rest_first,
            o.rest_start,
            o.fixed_columns,
        )


def thread_chunks(layout: RowLayout) -> NDArray[np.int64]:
    """Bounds of the runs of levels that the threads take."""
    return layout.chunks(thread_count(layout.n_rows))


def _c(array: Floats) -> Floats:
    return np.ascontiguousarray(array, dtype=np.float64)

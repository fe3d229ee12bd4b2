"""The operator protocol between the algorithms and the kernels, and its Numba implementation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from mixedfx.linalg.curvature import Curvature
from mixedfx.linalg.layout import RowLayout
from mixedfx.linalg.level_operator import LevelOperator, padded_alpha, rowwise
from mixedfx.linalg.leverages import LeverageSums, LeverageWeights
from mixedfx.linalg.threads import in_threads, over_levels, per_thread, thread_count

if TYPE_CHECKING:
    from mixedfx.linalg.rows import Rows

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
    """Products with D = [Z_e D_o] and the weights of a `Curvature`, in the rows' sorted order and in b coordinates.

    All several-column arguments have m columns. T_e = W - W Z_e M Z_e' W, where M (J_e, q_e, q_e) is the covariance
    of the eliminated coefficients given the rest. D_o has columns of thresholds where the curvature has thresholds.
    `blocks`, Z_j' W Z_j (J_e, q_e, q_e), save work for fixed effects, and are not read without fixed effects.
    """

    @property
    def layout(self) -> RowLayout:
        """How rows and coefficients are arranged."""
        ...

    def matvec(self, parts: Parts) -> Floats:
        """D parts, shape (N, m): linear predictors, which thresholds do not enter."""
        ...

    def rmatvec(self, rows: Floats) -> Parts:
        """D' rows; rows (N, m); 0 for thresholds."""
        ...

    def diagonal_blocks(self, omega: Floats) -> DiagonalBlocks:
        """Level by level blocks of D' W D."""
        ...

    def cross(self, curvature: Curvature, blocks: Floats, e: Floats) -> Floats:
        """D_o' W Z_e e, shape (n_rest, m); e (J_e, q_e, m)."""
        ...

    def reduced_product(self, curvature: Curvature, blocks: Floats, M: Floats, v: Floats) -> Floats:
        """D_o' T_e D_o v, shape (n_rest, m)."""
        ...

    def reduced_blocks(self, curvature: Curvature, M: Floats, rest: tuple[Floats, ...]) -> tuple[Floats, ...]:
        """Diagonal blocks (J_k, q_k, q_k) of D_o' T_e D_o for each remaining factor, from those of D_o' W D_o."""
        ...

    def level_sums(self, curvature: Curvature, blocks: Floats, v: Floats) -> Floats:
        """Z_e' W D_o v, shape (J_e, q_e, m)."""
        ...

    def noise(self, curvature: Curvature, seed: int, m: int) -> Parts:
        """D' n for m columns of row noise n of covariance W; what of it is due to thresholds stands at them."""
        ...

    def leverage_sums(
        self, M: Floats, e: Floats, v: Floats, weights: LeverageWeights, m: int
    ) -> LeverageSums:
        """Sums over the rows' leverages h_rc = z_e' M z_e + f_c f_(m + c) + sum of squares of the further f.

        f = Z_e e + Z_o v are the rows' forms, several columns; M (J_e, q_e, q_e). See `mixedfx.linalg.probes` for what
        they are good for. D is Z alone here: random coefficients, without fixed effects and thresholds.
        """
        ...

    def dense_reduced(self, omega: Floats, M: Floats) -> Floats:
        """D_o' T_e D_o without thresholds as a dense matrix; only its lower triangle is filled."""
        ...

    def level_quadratic(self, omega: Floats, H: Floats) -> Floats:
        """B_j H B_j', B_j = Z_ej' W D_o, for each eliminated level, shape (J_e, q_e, q_e); H as `dense_reduced`."""
        ...


FEW_COLUMNS = 8
"""Up to so many right-hand sides a level's rows are taken at once: loops over rows beat loops over columns."""


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

    @cached_property
    def rows(self) -> Rows:
        """What kernels read that take a row at a time."""
        from mixedfx.linalg.rows import rows_of

        return rows_of(self.layout)

    @cached_property
    def by_level(self) -> LevelOperator:
        """The same for few right-hand sides, and for diagonal blocks."""
        return LevelOperator(self.layout)

    def matvec(self, parts: Parts) -> Floats:
        from mixedfx.linalg import kernels

        m = parts.rest.shape[1]
        out = np.empty((self.layout.n_rows, m))
        arguments = (self.rows, contiguous(parts.e), contiguous(parts.rest), out)
        over_levels(self.layout, kernels.matvec, *arguments, each=[self.row_values(), self.buffers(m)])
        return out

    def rmatvec(self, rows: Floats) -> Parts:
        from mixedfx.linalg import kernels

        m = rows.shape[1]
        e = np.empty((self.layout.n_levels, self.layout.q, m))
        sums = self.accumulators(self.layout.n_rest, m)
        each = [self.row_values(), self.buffers(m), sums]
        over_levels(self.layout, kernels.rmatvec, self.rows, contiguous(rows), e, each=each)
        return Parts(e, sums.sum(axis=0))

    def diagonal_blocks(self, omega: Floats) -> DiagonalBlocks:
        return DiagonalBlocks(*self.by_level.diagonal_blocks(omega))

    def cross(self, curvature: Curvature, blocks: Floats, e: Floats) -> Floats:
        m = e.shape[2]
        if m <= FEW_COLUMNS:
            return self.by_level.cross(curvature, blocks, e)
        from mixedfx.linalg import kernels

        sums, into_alpha = self.accumulators(self.layout.n_rest, m), self._alpha_accumulators(m)
        zero = np.zeros((self.layout.n_thresholds + 2, m))
        each = [self.row_values(), self.buffers(m), self.buffers(m), sums, into_alpha]
        over_levels(
            self.layout, kernels.cross, self.rows, *rowwise(curvature), contiguous(e), zero, each=each
        )
        return self._with_alpha(sums, into_alpha)

    def reduced_product(self, curvature: Curvature, blocks: Floats, M: Floats, v: Floats) -> Floats:
        m = v.shape[1]
        if m <= FEW_COLUMNS:
            return self.by_level.reduced_product(curvature, blocks, M, v)
        from mixedfx.linalg import kernels

        q, buffers = self.layout.q, self.buffers
        sums, into_alpha = self.accumulators(self.layout.n_rest, m), self._alpha_accumulators(m)
        each = [self.row_values(), buffers(self.layout.longest, m), buffers(m), buffers(m)]
        each += [buffers(q, m), buffers(q, m), sums, into_alpha]
        arguments = (self.rows, *rowwise(curvature), M, contiguous(v), padded_alpha(self.layout, v))
        over_levels(self.layout, kernels.products, *arguments, each=each)
        return self._with_alpha(sums, into_alpha)

    def reduced_blocks(self, curvature: Curvature, M: Floats, rest: tuple[Floats, ...]) -> tuple[Floats, ...]:
        shares = self.by_level.eliminated_share(curvature.omega, M)
        return tuple(own - share for own, share in zip(rest, shares, strict=True))

    def level_sums(self, curvature: Curvature, blocks: Floats, v: Floats) -> Floats:
        m = v.shape[1]
        if m <= FEW_COLUMNS:
            return self.by_level.level_sums(curvature, blocks, v)
        from mixedfx.linalg import kernels

        out = np.empty((self.layout.n_levels, self.layout.q, m))
        arguments = (*rowwise(curvature), contiguous(v), padded_alpha(self.layout, v), out)
        each = [self.row_values(), self.buffers(m)]
        over_levels(self.layout, kernels.level_sums, self.rows, *arguments, each=each)
        return out

    def noise(self, curvature: Curvature, seed: int, m: int) -> Parts:
        from mixedfx.linalg.noise import noise_rmatvec

        e = np.empty((self.layout.n_levels, self.layout.q, m))
        sums, into_alpha = self.accumulators(self.layout.n_rest, m), self._alpha_accumulators(m)
        arguments = (*rowwise(curvature), self.layout.order, seed, e)
        each = [self.row_values(), self.buffers(m), self.buffers(m), sums, into_alpha]
        over_levels(self.layout, noise_rmatvec, self.rows, *arguments, each=each)
        return Parts(e, self._with_alpha(sums, into_alpha))

    def leverage_sums(
        self, M: Floats, e: Floats, v: Floats, weights: LeverageWeights, m: int
    ) -> LeverageSums:
        from mixedfx.linalg.leverage_kernels import leverage_sums

        into_e, sums = np.empty((*e.shape[:2], m)), self.leverage_accumulators(weights, m)
        arguments = (self.rows, M, contiguous(e), contiguous(v), weights.arrays, into_e)
        each = [self.row_values(), self.buffers(v.shape[1]), self.buffers(m), *sums]
        over_levels(self.layout, leverage_sums, *arguments, each=each)
        return leverage_totals(into_e, sums)

    def leverage_accumulators(self, weights: LeverageWeights, m: int) -> tuple[Floats, Floats, Floats]:
        """For the remaining coefficients, the fixed effects, and the thresholds between two that do not count."""
        sizes = (self.layout.n_rest, weights.X.shape[1], weights.thresholds + 2)
        rest, beta, alpha = (self.accumulators(size, m) for size in sizes)
        return rest, beta, alpha

    def dense_reduced(self, omega: Floats, M: Floats) -> Floats:
        from mixedfx.linalg import dense_kernels

        n = self.layout.alpha_start
        G = np.zeros((n, n))
        parts = thread_count(self.layout.n_rows)
        arguments = (self.rows, np.ascontiguousarray(omega), M, G)
        each = self._dense_buffers()
        in_threads(
            [
                (dense_kernels.dense_reduced, (t, parts, *arguments, *(items[t] for items in each)))
                for t in range(parts)
            ]
        )
        return G

    def level_quadratic(self, omega: Floats, H: Floats) -> Floats:
        from mixedfx.linalg import dense_kernels

        out = np.empty((self.layout.n_levels, self.layout.q, self.layout.q))
        arguments = (self.rows, np.ascontiguousarray(omega), contiguous(H), out)
        over_levels(self.layout, dense_kernels.level_quadratic, *arguments, each=self._dense_buffers())
        return out

    def _dense_buffers(self) -> list[NDArray]:
        """For each thread: row values, position and columns touched, a row's form, and two level matrices."""
        layout, threads = self.layout, thread_count(self.layout.n_rows)
        width = sum(block.q for block in layout.rest) + layout.p
        capacity = min(layout.alpha_start, layout.longest * (width - layout.p) + layout.p)
        position = np.full((threads, layout.alpha_start), -1, dtype=np.int64)
        touched, index = (np.empty((threads, n), dtype=np.int64) for n in (capacity, width))
        level = (max(capacity, 1), layout.q)
        values = self.buffers(width)
        return [
            self.row_values(),
            position,
            touched,
            index,
            values,
            self.buffers(*level),
            self.buffers(*level),
        ]

    def accumulators(self, *shape: int) -> Floats:
        """Zeros for each thread, shape (T, ...)."""
        return per_thread(self.layout.n_rows, shape, 0.0)

    def buffers(self, *shape: int) -> Floats:
        """Room for each thread, shape (T, ...)."""
        return per_thread(self.layout.n_rows, shape)

    def row_values(self) -> Floats:
        """The buffer z of each thread; see `mixedfx.linalg.rows`."""
        return per_thread(self.layout.n_rows, (self.layout.features.width,), 1.0)

    def _alpha_accumulators(self, m: int) -> Floats:
        return self.accumulators(self.layout.n_thresholds + 2, m)

    def _with_alpha(self, sums: Floats, into_alpha: Floats) -> Floats:
        out = sums.sum(axis=0)
        out[self.layout.alpha_start :] = into_alpha.sum(axis=0)[1:-1]
        return out


def leverage_totals(e: Floats, sums: tuple[Floats, Floats, Floats]) -> LeverageSums:
    """All threads' sums of `NumbaOperator.leverage_accumulators`, and those of the eliminated levels."""
    rest, beta, alpha = (own.sum(axis=0) for own in sums)
    return LeverageSums(e, rest, beta, alpha[1:-1])


def contiguous(array: Floats) -> Floats:
    """As float64 in C order, copied only if it is not."""
    return np.ascontiguousarray(array, dtype=np.float64)

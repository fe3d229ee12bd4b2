"""D'WD at weights that never change, formed once: what a gaussian model needs of its rows, whatever its covariances."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from mixedfx.linalg.component_factor import ComponentFactor
from mixedfx.linalg.components import Components
from mixedfx.linalg.lambdas import Lambdas
from mixedfx.linalg.layout import RowLayout, bounds
from mixedfx.linalg.memory import check_dense
from mixedfx.linalg.operator import DiagonalBlocks, RowOperator
from mixedfx.linalg.rest_products import RestProducts
from mixedfx.linalg.room import Room
from mixedfx.linalg.threads import in_threads, over_levels, per_thread, thread_count

Floats = NDArray[np.float64]

PAIRS_A_THREAD = 50_000_000
"""Pairs of columns that make a further thread worth its while: for some 30 ms after each dense factorization the
threads of the linear algebra library still turn, waiting for more, and take the processor from ours."""
MATRICES = 2
"""Over the rest: one, in which factor and inverse take turns, and another where a covariance is singular."""


@dataclass(frozen=True, eq=False)
class CrossPattern:
    """Which columns of the rest the rows of each eliminated level touch.

    Attributes
    ----------
    ptr, index
        int64 (J + 1,) and int32 (nnz,): level j touches ``index[ptr[j]:ptr[j + 1]]``, rising.
    column_ptr, column_at, column_level
        The entries column by column: column c has ``column_ptr[c]:column_ptr[c + 1]``, each with its place in `index`
        and its level.
    work
        float64 (n + 1,): pairs of columns that meet, cumulated over the columns: what a kernel does up to there.
    """

    ptr: NDArray[np.int64]
    index: NDArray[np.int32]
    column_ptr: NDArray[np.int64]
    column_at: NDArray[np.int32]
    column_level: NDArray[np.int32]
    work: Floats

    @classmethod
    def of(cls, layout: RowLayout) -> CrossPattern:
        """From the codes of the rows."""
        blocks = [
            *((b.n_levels, b.q) for b in layout.rest),
            (1, layout.p),
        ]  # beta: one level that all rows have
        levels = bounds(n for n, _ in blocks)
        ids = np.empty((layout.n_rows, len(blocks)), dtype=np.int32)
        ids[:, -1] = levels[-2]
        for k, codes in enumerate(layout.codes):
            ids[:, k] = codes + levels[k]
        shape = (layout.n_levels, int(levels[-1]))
        touched = csr_array((np.ones(ids.size, dtype=np.bool_), ids.ravel(), layout.ptr * len(blocks)), shape)
        touched.sum_duplicates()
        width = np.repeat([q for _, q in blocks], [n for n, _ in blocks])
        first = np.concatenate([[0], np.cumsum(width)])
        each = width[touched.indices]
        ends = np.concatenate([[0], np.cumsum(each)])
        index = np.repeat(first[touched.indices] - ends[:-1], each) + np.arange(ends[-1])
        ptr = ends[touched.indptr].astype(np.int64)
        shape = (layout.n_levels, layout.alpha_start)
        by_column = csr_array((np.arange(len(index), dtype=np.int32), index, ptr), shape).tocsc()
        earlier = by_column.data - ptr[by_column.indices] + 1
        work = np.concatenate([[0.0], np.cumsum(earlier, dtype=np.float64)])[by_column.indptr]
        return cls(
            ptr,
            index.astype(np.int32),
            by_column.indptr.astype(np.int64),
            by_column.data.astype(np.int32),
            by_column.indices.astype(np.int32),
            work,
        )

    def runs(self, threads: int, first: int, last: int) -> list[tuple[int, int]]:
        """Columns `first` to `last` in runs of about equal work, one a thread."""
        wanted = np.linspace(self.work[first], self.work[last], threads + 1)[1:-1]
        inner = first + np.searchsorted(self.work[first : last + 1], wanted)
        return list(pairwise([first, *inner.tolist(), last]))


@dataclass(frozen=True, eq=False)
class CrossProducts:
    """D'WD in b, by the parts of the vectors.

    Attributes
    ----------
    layout, pattern, components
        The rows, without thresholds, where they touch, and how matrices over the rest are kept.
    blocks
        Z_j' W Z_j of every level, by factor.
    values
        Z_ej' W D_o on the pattern, shape (q, nnz).
    rest
        D_o' W D_o, sparse and symmetric, shape (n, n).
    """

    layout: RowLayout
    pattern: CrossPattern
    components: Components
    blocks: DiagonalBlocks
    values: Floats
    rest: csr_array

    @classmethod
    def of(cls, operator: RowOperator, weights: Floats) -> CrossProducts:
        """From rows with weights (N,), in sorted order.

        Raises
        ------
        ResourceError
            The memory will not hold matrices over the rest.
        """
        from mixedfx.linalg import cross_kernels as kernels

        layout = operator.layout
        components = Components.of(layout)
        check_dense(layout, components.entries, MATRICES)
        pattern = CrossPattern.of(layout)
        z_e = _features(layout, layout.eliminated.columns)
        z_o = _features(layout, np.concatenate([*(b.columns for b in layout.rest), layout.fixed_columns]))
        codes = np.vstack([layout.codes, np.zeros((1, layout.n_rows), dtype=np.int32)])  # beta: one level
        start = np.array([*(b.start for b in layout.rest), layout.beta_start], dtype=np.int64)
        width = np.array([*(b.q for b in layout.rest), layout.p], dtype=np.int64)
        values = np.empty((layout.q, len(pattern.index)))
        positions = np.empty((thread_count(layout.n_rows), layout.alpha_start), dtype=np.int64)
        arguments = (layout.ptr, codes, start, width, z_e, z_o, weights, pattern.ptr, pattern.index)
        over_levels(layout, kernels.cross_values, *arguments, each=[positions, [values] * len(positions)])
        columns = np.concatenate(
            [
                first + own * q + np.arange(q)[:, None]
                for first, own, q in zip(start, codes, width, strict=True)
            ]
        )
        D = csr_array(
            (z_o.T.ravel(), columns.T.ravel(), np.arange(layout.n_rows + 1) * len(columns)),
            (layout.n_rows, layout.alpha_start),
        )
        weighted = csr_array(((weights * z_o).T.ravel(), D.indices, D.indptr), D.shape)
        blocks = operator.diagonal_blocks(weights)
        return cls(layout, pattern, components, blocks, values, (D.T @ weighted).tocsr())

    @property
    def e(self) -> Floats:
        """Z_ej' W Z_ej of the eliminated levels, shape (J, q, q)."""
        return self.blocks.e

    @cached_property
    def _by_coefficient(self) -> list[csr_array]:
        """Z_e' W D_o, a sparse (J, n) for each coefficient of the eliminated factor."""
        pattern, shape = self.pattern, (self.layout.n_levels, self.layout.alpha_start)
        return [csr_array((own, pattern.index, pattern.ptr), shape) for own in self.values]

    def level_sums(self, v: Floats) -> Floats:
        """Z_e' W D_o v, shape (J, q, m); v (n, m)."""
        return np.stack([own @ v for own in self._by_coefficient], axis=1)

    def cross(self, e: Floats) -> Floats:
        """D_o' W Z_e e, shape (n, m); e (J, q, m)."""
        return np.sum([own.T @ e[:, h] for h, own in enumerate(self._by_coefficient)], axis=0)

    def squared_norms(self) -> Floats:
        """|Z_i' W Z_l|_F^2 over the random coefficients i, l of `RowLayout.blocks`, Z_i all levels' columns of one."""
        layout, q = self.layout, self.layout.q
        number = bounds(b.q for b in layout.blocks)
        of_column = np.concatenate(
            [
                np.tile(np.arange(a, a + b.q), b.n_levels)
                for a, b in zip(number[1:-1], layout.rest, strict=True)
            ]
            + [np.full(layout.p, number[-1])]  # beta's, left out at the end
        ).astype(np.int64)
        size = int(number[-1]) + 1
        out = np.zeros((size, size))
        out[:q, :q] = (self.e**2).sum(axis=0)
        for h, values in enumerate(self.values):
            out[h] += np.bincount(of_column[self.pattern.index], values**2, size)
            out[q:, h] = out[h, q:]
        rest = self.rest.tocoo()
        pairs = of_column[rest.row] * size + of_column[rest.col]
        out += np.bincount(pairs, rest.data**2, size**2).reshape(size, size)
        return out[:-1, :-1]

    def transformed(self, T: Floats, lambdas: Lambdas) -> Floats:
        """T_j' (Z_ej' W D_o) Lambda_o on the pattern, shape (q, nnz); T (J, q, q)."""
        from mixedfx.linalg import cross_kernels as kernels

        layout, pattern = self.layout, self.pattern
        factors = [*lambdas.rest, np.eye(layout.p)]
        width = np.array([len(factor) for factor in factors], dtype=np.int64)
        stops = np.array([*(b.stop for b in layout.rest), layout.alpha_start], dtype=np.int64)
        flat = np.concatenate([factor.ravel() for factor in factors])
        out = np.empty_like(self.values)
        arguments = (pattern.ptr, pattern.index, self.values, stops, width, bounds(width**2), flat)
        scaled = per_thread(layout.n_rows, (layout.q, int(width.max())))
        each = [scaled, [out] * len(scaled)]
        over_levels(layout, kernels.transformed, *arguments, np.ascontiguousarray(T), each=each)
        return out

    def add_schur(self, flat: Floats, v: Floats, lambdas: Lambdas, scale: float) -> None:
        """Add scale Lambda_o' D_o' W D_o Lambda_o - v'v to `flat`, as `Components` keeps it; v (q, nnz)."""
        from mixedfx.linalg import cross_kernels as kernels

        self._rest_products.add_congruent(flat, lambdas, scale)
        runs = self._runs(with_fixed=True)
        near = np.empty((len(runs), self.layout.alpha_start))
        in_threads([(kernels.less_crossproduct, (*run, v, flat, near[t])) for t, run in enumerate(runs)])

    def quadratics(self, v: Floats, H: Floats) -> Floats:
        """v_j H v_j' of each eliminated level, shape (J, q, q), without beta's columns.

        v (q, nnz) is on the pattern, H as `Components` keeps it.
        """
        from mixedfx.linalg import cross_kernels as kernels

        runs, q = self._runs(with_fixed=False), self.layout.q
        sums, s = np.zeros((len(runs), self.layout.n_levels, q, q)), np.empty((len(runs), q))
        near = np.empty((len(runs), self.layout.alpha_start))
        in_threads([(kernels.quadratics, (*run, v, H, near[t], s[t], sums[t])) for t, run in enumerate(runs)])
        return sums.sum(axis=0)

    def _runs(self, *, with_fixed: bool) -> list[tuple[Any, ...]]:
        """The kernels' first arguments: columns of the factors, then beta's, in runs for the threads."""
        pattern, n = self.pattern, self.layout.beta_start
        threads = thread_count(int(self.layout.q * pattern.work[-1]), PAIRS_A_THREAD)
        shared = (
            pattern.ptr,
            pattern.column_ptr,
            pattern.column_at,
            pattern.column_level,
            self.components.row,
        )
        runs = [(*run, *shared, self._place) for run in pattern.runs(threads, 0, n)]
        if with_fixed:
            beta = pattern.runs(threads, n, self.layout.alpha_start)
            runs += [(*run, *shared, pattern.index) for run in beta]
        return runs

    @cached_property
    def room(self) -> Room[ComponentFactor]:
        """Memory for one matrix over the rest."""
        return Room(self.components.entries)

    @cached_property
    def _rest_products(self) -> RestProducts:
        return RestProducts.of(self.rest, self.layout, self.components)

    @cached_property
    def _place(self) -> NDArray[np.int32]:
        """Of each entry of the pattern, the position of its column within its part; 0 for beta's."""
        place = np.concatenate([self.components.place, np.zeros(self.layout.p, dtype=np.int64)])
        return place[self.pattern.index].astype(np.int32)


def _features(layout: RowLayout, columns: NDArray[np.int32]) -> Floats:
    """Features of the sorted rows, shape (columns, N)."""
    rows = [layout.feature(int(column)) for column in columns]
    return np.array(rows).reshape(len(columns), layout.n_rows)

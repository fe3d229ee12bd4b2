"""What the kernels read: a layout's arrays in one tuple, and how a row's linear form is gathered and scattered.

A row's linear form over the rest is ``d_o' v = sum_k z_k' v[level of k] + x' v[beta]``. Kernels for many right-hand
sides load a row's values into a small buffer, z, whose last entry is 1, so that no coefficient needs to know where its
feature is; those for few take all rows of a level at once (`mixedfx.linalg.level_rows`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from mixedfx.linalg.layout import RowLayout, bounds

_FAST = {"reassoc", "contract", "nsz", "arcp"}  # sums may be reordered; infinities and NaN keep their meaning

_OPTIONS: dict[str, Any] = {"error_model": "numpy", "_nrt": False}
# Without Numba's run time ("_nrt") no array can be made in a kernel, and none is counted: counting references at every
# call for a row would cost many times the arithmetic. So kernels get their buffers as arguments.

inner = njit(inline="always", fastmath=_FAST, **_OPTIONS)
"""Decorator of what kernels call for a row or a level."""
called = njit(fastmath=_FAST, **_OPTIONS)
"""The same, of long ones that are called once a level: compiled apart, which takes less time than many times in one."""
in_order = njit(fastmath=_FAST - {"reassoc"}, **_OPTIONS)
"""Decorator of functions whose sums may not be reordered: so the compiler reads tables value by value, which is several
times as fast as the gathers that it would use for several rows at once."""
kernel = njit(cache=True, nogil=True, fastmath=_FAST, **_OPTIONS)
"""Decorator of kernels: kept on disk, and run without Python's lock, so that threads can share the rows."""


class Rows(NamedTuple):
    """The arguments that all kernels begin with; see `RowLayout` and `RowFeatures`.

    Attributes
    ----------
    ptr, codes
        As in `RowLayout`.
    values
        Row features, shape (F_rows, N).
    own
        Features of the eliminated factor's levels, shape (J_e, F_e).
    tables, table_first, table_start
        Features of the remaining factors' levels, flat: factor k has ``table_first[k]:table_first[k + 1]`` of the
        columns, and its table begins at ``table_start[k]``.
    cols_e, cols_r, cols_x
        Where the features of the coefficients lie in a row's values: eliminated, remaining factors one after the other
        (factor k has ``first[k]:first[k + 1]``), fixed.
    first, start
        Coefficients a level, cumulated over the remaining factors, and where each factor begins in the rest vector;
        beta begins at ``start[-1]``.
    """

    ptr: NDArray[np.int64]
    codes: NDArray[np.int32]
    values: NDArray[np.floating]
    own: NDArray[np.float64]
    tables: NDArray[np.float64]
    table_first: NDArray[np.int64]
    table_start: NDArray[np.int64]
    cols_e: NDArray[np.int64]
    cols_r: NDArray[np.int64]
    cols_x: NDArray[np.int64]
    first: NDArray[np.int64]
    start: NDArray[np.int64]


def rows_of(layout: RowLayout) -> Rows:
    """A layout as the kernels take it."""
    features = layout.features
    own, *others = features.tables
    return Rows(
        ptr=layout.ptr,
        codes=layout.codes,
        values=features.rows,
        own=np.ascontiguousarray(own),
        tables=features.flat_tables,
        table_first=bounds(t.shape[1] for t in others),
        table_start=bounds(t.size for t in others),
        cols_e=features.positions(layout.eliminated.columns),
        cols_r=features.positions(layout.rest_columns),
        cols_x=features.positions(layout.fixed_columns),
        first=bounds(b.q for b in layout.rest),
        start=np.array([*(b.start for b in layout.rest), layout.beta_start], dtype=np.int64),
    )


@inner
def load_level(own, at, j, z):
    """The eliminated level's values into the buffer, from place `at` on."""
    for i in range(own.shape[1]):
        z[at + i] = own[j, i]


@inner
def load(values, codes, tables, table_first, table_start, at, r, z):
    """A row's own values and those of its other levels, from place `at` on, into the buffer."""
    for i in range(values.shape[0]):
        z[i] = values[i, r]
    if tables.shape[0] > 0:
        for k in range(codes.shape[0]):
            width = table_first[k + 1] - table_first[k]
            base = table_start[k] + codes[k, r] * width
            for i in range(width):
                z[at + table_first[k] + i] = tables[base + i]


@inner
def gather_columns(codes, cols_r, cols_x, first, start, r, z, v, into):
    """d_o' v for every column of v (n_rest, m), into (m,)."""
    for c in range(into.shape[0]):
        into[c] = 0.0
    for k in range(codes.shape[0]):
        low = first[k]
        width = first[k + 1] - low
        base = start[k] + codes[k, r] * width
        for i in range(width):
            x = z[cols_r[low + i]]
            for c in range(into.shape[0]):
                into[c] += x * v[base + i, c]
    base = start[codes.shape[0]]
    for i in range(cols_x.shape[0]):
        x = z[cols_x[i]]
        for c in range(into.shape[0]):
            into[c] += x * v[base + i, c]


@inner
def scatter_columns(codes, cols_r, cols_x, first, start, r, z, s, out):
    """out[:, c] += d_o s[c], out (n_rest, m)."""
    for k in range(codes.shape[0]):
        low = first[k]
        width = first[k + 1] - low
        base = start[k] + codes[k, r] * width
        for i in range(width):
            x = z[cols_r[low + i]]
            for c in range(s.shape[0]):
                out[base + i, c] += x * s[c]
    base = start[codes.shape[0]]
    for i in range(cols_x.shape[0]):
        x = z[cols_x[i]]
        for c in range(s.shape[0]):
            out[base + i, c] += x * s[c]

"""Stable counting sort: the order of rows by a level code, in time proportional to rows plus levels."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from mixedfx.row_chunks import row_chunks


@njit(cache=True, nogil=True)
def counting_order(codes, n_levels, first, order):
    """Fill `order` with row numbers so that `codes` rise, rows of equal codes in the order of `first`.

    An empty `first` means the rows' own order.
    """
    place = np.zeros(n_levels + 1, dtype=np.int64)
    for code in codes:
        place[code + 1] += 1
    for level in range(n_levels):
        place[level + 1] += place[level]
    for i in range(len(codes)):
        row = first[i] if len(first) else i
        code = codes[row]
        order[place[code]] = row
        place[code] += 1


@njit(cache=True, nogil=True)
def count_levels(codes, counts):
    """Add the rows of each level to `counts`; np.bincount would first copy the codes in double width."""
    for code in codes:
        counts[code] += 1


def sorted_rows(*keys: tuple[NDArray[np.int32], int]) -> NDArray[np.signedinteger]:
    """The order of rows by several level codes, the first key slowest; int32 where that can number the rows.

    Parameters
    ----------
    *keys
        (codes, number of levels), codes of shape (N,).
    """
    n = len(keys[0][0])
    kind = np.int32 if n <= np.iinfo(np.int32).max else np.int64
    order = np.empty(0, dtype=kind)
    for codes, n_levels in reversed(keys):
        following = np.empty(n, dtype=kind)
        counting_order(codes, n_levels, order, following)
        order = following
    return order


def in_order(values: NDArray, order: NDArray[np.signedinteger]) -> NDArray:
    """``values[order]`` in pieces: NumPy would copy the whole order in double width first."""
    out = np.empty(len(order), dtype=values.dtype)
    for rows in row_chunks(len(order), 2**16):
        np.take(values, order[rows], out=out[rows], mode="clip")
    return out

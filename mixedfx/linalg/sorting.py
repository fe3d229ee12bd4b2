"""Stable counting sort: the order of rows by a level code, in time proportional to rows plus levels."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True)
def counting_order(codes, n_levels, first):
    """Row numbers with `codes[first[...]]` rising, rows of equal codes in the order of `first`."""
    place = np.zeros(n_levels + 1, dtype=np.int64)
    for code in codes:
        place[code + 1] += 1
    for level in range(n_levels):
        place[level + 1] += place[level]
    order = np.empty(len(codes), dtype=first.dtype)
    for row in first:
        code = codes[row]
        order[place[code]] = row
        place[code] += 1
    return order


def sorted_rows(*keys: tuple[NDArray[np.int32], int]) -> NDArray[np.int64]:
    """The order of rows by several level codes, the first key slowest.

    Parameters
    ----------
    *keys
        (codes, number of levels), codes of shape (N,).
    """
    order = np.arange(len(keys[0][0]), dtype=np.int64)
    for codes, n_levels in reversed(keys):
        order = np.asarray(counting_order(codes, n_levels, order), dtype=np.int64)
    return order

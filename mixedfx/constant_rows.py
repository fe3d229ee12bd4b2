"""One number for every row without the memory of an array: a view of a single element."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def constant_rows(value: float, n_rows: int) -> Floats:
    """`value` for each row: float64, shape (N,), read-only, 8 bytes in all.

    Examples
    --------
    >>> ones = constant_rows(1.0, 10_000_000)
    >>> float(ones.sum()), is_constant(ones)
    (10000000.0, True)
    """
    return np.broadcast_to(np.float64(value), (n_rows,))


def is_constant(rows: Floats) -> bool:
    """Whether an array is such a view (and not merely all alike, which would take a look at every row)."""
    return rows.strides == (0,)


def take_rows(rows: Floats, which: NDArray[np.int64]) -> Floats:
    """Some of the rows; a view of one element stays one."""
    if is_constant(rows) and len(rows):
        return constant_rows(float(rows[0]), len(which))
    return rows[which]

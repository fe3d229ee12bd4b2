"""Rows with missing values."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.errors import DataError, DroppedRowsWarning
from mixedfx.row_chunks import row_chunks


def missing_rows(frame: pd.DataFrame) -> tuple[NDArray[np.bool_], dict[str, int]]:
    """Which rows miss a value, shape (N,), and how many values each column misses, for those that do."""
    mask = np.zeros(len(frame), dtype=bool)  # memory that nobody writes to is not taken
    counts: dict[str, int] = {}
    for name, column in frame.items():
        if isinstance(column.dtype, np.dtype) and column.dtype.kind in "iub":
            continue
        for rows in row_chunks(len(frame)):
            missing = np.asarray(column.iloc[rows].isna())
            n = int(np.count_nonzero(missing))
            if n:
                counts[str(name)] = counts.get(str(name), 0) + n
                mask[rows] |= missing
    return mask, counts


def counts_text(counts: Mapping[str, int]) -> str:
    """``"x (7), y (2)"``."""
    return ", ".join(f"{name} ({n})" for name, n in counts.items())


def complete_rows(
    mask: NDArray[np.bool_], counts: Mapping[str, int], na: str, stacklevel: int
) -> NDArray[np.int64]:
    """Positions of the rows that miss nothing.

    Parameters
    ----------
    mask, counts
        As of `missing_rows`.
    na
        "drop" or "raise".
    stacklevel
        Of the warning, seen from the caller.

    Raises
    ------
    DataError
        A value is missing and `na` is "raise", or every row misses one.

    Warns
    -----
    DroppedRowsWarning
        How many rows are dropped, and what they miss.
    """
    if not counts:
        return np.arange(len(mask))
    if na == "raise":
        raise DataError(
            f"missing values in {counts_text(counts)} of {len(mask)} rows; fill them, or pass na='drop'"
        )
    dropped = int(np.count_nonzero(mask))
    if dropped == len(mask):
        raise DataError(f"every row misses a value: {counts_text(counts)} of {len(mask)} rows")
    warnings.warn(
        f"{dropped} of {len(mask)} rows dropped: missing values in {counts_text(counts)}",
        DroppedRowsWarning,
        stacklevel=stacklevel + 1,
    )
    return np.flatnonzero(~mask)

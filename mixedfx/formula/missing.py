"""Rows with missing values."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

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

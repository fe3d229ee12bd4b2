"""Rows with missing values."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def missing_rows(frame: pd.DataFrame) -> tuple[NDArray[np.bool_], dict[str, int]]:
    """Which rows miss a value, shape (N,), and how many values each column misses, for those that do."""
    mask = np.zeros(len(frame), dtype=bool)
    counts: dict[str, int] = {}
    for name, column in frame.items():
        missing = np.asarray(column.isna())
        n = int(np.count_nonzero(missing))
        if n:
            counts[str(name)] = n
            mask |= missing
    return mask, counts


def counts_text(counts: Mapping[str, int]) -> str:
    """``"x (7), y (2)"``."""
    return ", ".join(f"{name} ({n})" for name, n in counts.items())

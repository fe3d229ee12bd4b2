"""Rows with missing values."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def missing_rows(frame: pd.DataFrame) -> tuple[NDArray[np.bool_] | None, dict[str, int]]:
    """Rows with a missing value, shape (N,) or None where there are none, and each column's count."""
    mask: NDArray[np.bool_] | None = None
    counts: dict[str, int] = {}
    for name in frame.columns:
        missing = np.asarray(frame[name].isna())
        n = int(np.count_nonzero(missing))
        if n:
            counts[name] = n
            mask = missing if mask is None else mask | missing
    return mask, counts


def counts_text(counts: Mapping[str, int]) -> str:
    """``"x (7), y (2)"``."""
    return ", ".join(f"{name} ({n})" for name, n in counts.items())

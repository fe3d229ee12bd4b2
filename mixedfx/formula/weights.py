"""Prior weights: read from an array, a Series or a column, and checked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.constant_rows import constant_rows, is_constant
from mixedfx.errors import DataError
from mixedfx.formula.numeric import column_numbers
from mixedfx.frames import column

LARGEST = 1e50
"""Of weights: squares of their products with responses and features must be numbers."""


def read_weights(weights: object, frame: pd.DataFrame) -> NDArray[np.float64]:
    """Weights of the rows of `frame`, shape (N,), possibly NaN; a view of one 1 for None.

    Raises
    ------
    DataError
        They are not numbers, not one a row, or a Series whose index is not the data's.
    """
    if weights is None:
        return constant_rows(1.0, len(frame))
    if isinstance(weights, str):
        return _numbers(column(frame, weights), weights)
    if (
        isinstance(weights, pd.Series)
        and len(weights) == len(frame)
        and not weights.index.equals(frame.index)
    ):
        raise DataError(
            "the weights are a Series whose index differs from the data's, so it is not clear which weight "
            "belongs to which row; put them in a column of the data, or pass weights.to_numpy()"
        )
    if not (isinstance(weights, Sequence) or hasattr(weights, "__array__")):
        raise DataError(
            f"weights must be an array with one number a row or a column's name, not {type(weights).__name__}"
        )
    values = _numbers(weights if isinstance(weights, pd.Series) else _series(weights), "weights")
    if len(values) != len(frame):
        raise DataError(f"there are {len(values)} weights for {len(frame)} rows; give one weight a row")
    return values


def check_weights(values: NDArray[np.float64], weights: object) -> None:
    """Raise `DataError` unless every weight is finite and above 0, and of a size that can be computed with."""
    if is_constant(values):
        return
    name = f"column '{weights}'" if isinstance(weights, str) else "weights"
    bad = ~(np.isfinite(values) & (values > 0))
    if bad.any():
        raise DataError(
            f"{name} must be finite and above 0, but {int(bad.sum())} of {len(values)} are not, the first "
            f"being {values[bad][0]:g} in row number {int(np.flatnonzero(bad)[0])}; leave such rows out"
        )
    extreme = ~((values <= LARGEST) & (values >= 1.0 / LARGEST))
    if extreme.any():
        raise DataError(
            f"{name} must lie between {1.0 / LARGEST:g} and {LARGEST:g}, but {int(extreme.sum())} of {len(values)} do "
            f"not, the first being {values[extreme][0]:g} in row number {int(np.flatnonzero(extreme)[0])}; divide all "
            "by their mean"
        )


def _series(weights: object) -> pd.Series:
    try:
        values = np.atleast_1d(np.asarray(weights))
    except ValueError as error:
        raise DataError(f"weights must be an array with one number a row: {error}") from error
    if values.ndim > 1:
        raise DataError(f"weights must have one dimension, but have shape {values.shape}")
    return pd.Series(values)


def _numbers(values: pd.Series, name: str) -> NDArray[np.float64]:
    if values.dtype.kind in "iufb":
        return values.to_numpy(dtype=np.float64, na_value=np.nan)
    return column_numbers(values.rename(name))

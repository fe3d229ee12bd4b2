"""Where the values of columns lie, in the form that kernels read."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mixedfx.linalg.row_features import RowFeatures

ROW, LEVEL, CONSTANT = -1, -2, -3
"""Sources of a column's values besides the tables of the remaining factors, 0 and on: the rows, the eliminated level,
and 1 everywhere. The last two are one number in all rows of a level: source <= LEVEL."""


def places(
    features: RowFeatures, columns: NDArray[np.int32], numbers: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """Source, place, width, run and number of each column, shape (columns, 5).

    `place` counts within the row values, the level's own values, or the flat tables of the remaining factors, in which
    a level has `width` values. `run` says how many columns from this one on are neighbours in the same table, `number`
    which coefficient multiplies the column.
    """
    out = np.zeros((len(columns), 5), dtype=np.int64)
    out[:, 4] = np.arange(len(columns)) if numbers is None else numbers
    for i, position in enumerate(features.positions(columns)):
        out[i, :3] = _place(features, int(position))
    for i in reversed(range(len(out))):
        follows = i + 1 < len(out) and out[i, 0] >= 0 and (out[i + 1, :3] == out[i, :3] + (0, 1, 0)).all()
        out[i, 3] = 1 + out[i + 1, 3] if follows else 1
    return out


def _place(features: RowFeatures, position: int) -> tuple[int, int, int]:
    if position == features.width - 1:
        return CONSTANT, 0, 0
    if position < len(features.rows):
        return ROW, position, 0
    position -= len(features.rows)
    own, *tables = features.tables
    if position < own.shape[1]:
        return LEVEL, position, 0
    position -= own.shape[1]
    begin = 0
    for factor, table in enumerate(tables):
        if position < table.shape[1]:
            return factor, begin + position, table.shape[1]
        position -= table.shape[1]
        begin += table.size
    raise IndexError(f"there are {features.width} values, and {position} more was asked for")


def flat_tables(features: RowFeatures) -> NDArray[np.float64]:
    """The tables of the remaining factors, one after the other."""
    return np.concatenate([np.zeros(0), *(table.ravel() for table in features.tables[1:])])

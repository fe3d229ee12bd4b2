"""Where the values of columns lie, in the form that kernels read."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mixedfx import predictors
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
    for i, feature in enumerate(columns):
        out[i, :3] = _place(features, int(feature))
    for i in reversed(range(len(out))):
        follows = i + 1 < len(out) and out[i, 0] >= 0 and (out[i + 1, :3] == out[i, :3] + (0, 1, 0)).all()
        out[i, 3] = 1 + out[i + 1, 3] if follows else 1
    return out


def _place(features: RowFeatures, feature: int) -> tuple[int, int, int]:
    if feature == predictors.CONSTANT:
        return CONSTANT, 0, 0
    k, at = features.source(feature)
    if k < 0:
        return ROW, at, 0
    if k == 0:
        return LEVEL, at, 0
    before = sum(table.size for table in features.tables[1:k])
    return k - 1, before + at, features.tables[k].shape[1]

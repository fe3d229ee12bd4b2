"""What kernels read that take all rows of an eliminated level at once: a layout's arrays in one tuple.

A column's values come from the level itself, and are then one number; from the rows; or from the table of another
factor (see `mixedfx.linalg.places`). `mixedfx.linalg.level_columns` has the loops.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixedfx.linalg.layout import RowLayout, bounds
from mixedfx.linalg.places import places


class LevelRows(NamedTuple):
    """What kernels that take a level at a time begin with; see `RowLayout` and `RowFeatures`.

    Attributes
    ----------
    ptr, codes
        As in `RowLayout`.
    values
        Row features, shape (F_rows, N).
    own
        Features of the eliminated factor's levels, shape (J_e, F_e).
    tables
        Features of the remaining factors' levels, flat.
    places_e, places_r, places_x
        Where the columns of the coefficients lie (see `mixedfx.linalg.places`): eliminated, remaining factors one after
        the other (factor k has ``first[k]:first[k + 1]``), fixed but for those in `span`.
    span
        Fixed columns that are, in each eliminated level, one of Z_e's times a number: shape (columns, 3), the fixed
        column, Z_e's, and the number's column in `own`, -1 for 1. They cost no work on rows: their coefficients only
        shift the level's, and what all rows send to them can be told from what they send to the level's.
    first, start
        Coefficients a level, cumulated over the remaining factors, and where each factor begins in the rest vector;
        beta begins at ``start[-1]``.
    """

    ptr: NDArray[np.int64]
    codes: NDArray[np.int32]
    values: NDArray[np.floating]
    own: NDArray[np.float64]
    tables: NDArray[np.float64]
    places_e: NDArray[np.int64]
    places_r: NDArray[np.int64]
    places_x: NDArray[np.int64]
    span: NDArray[np.int64]
    first: NDArray[np.int64]
    start: NDArray[np.int64]


def level_rows_of(layout: RowLayout) -> LevelRows:
    """A layout as these kernels take it."""
    features = layout.features
    span = _span(layout)
    others = np.setdiff1d(np.arange(layout.p), span[:, 0])
    return LevelRows(
        ptr=layout.ptr,
        codes=layout.codes,
        values=features.rows,
        own=np.ascontiguousarray(features.tables[0]),
        tables=features.flat_tables,
        places_e=places(features, layout.eliminated.columns),
        places_r=places(features, layout.rest_columns),
        places_x=places(features, layout.fixed_columns[others], others),
        span=span,
        first=bounds(b.q for b in layout.rest),
        start=np.array([*(b.start for b in layout.rest), layout.beta_start], dtype=np.int64),
    )


def _span(layout: RowLayout) -> NDArray[np.int64]:
    """`LevelRows.span`."""
    found = [(i, layout.spanned(int(feature))) for i, feature in enumerate(layout.fixed_columns)]
    span = [(i, at.column, at.factor) for i, at in found if at is not None]
    return np.array(span, dtype=np.int64).reshape(len(span), 3)

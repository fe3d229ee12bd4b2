"""The response as numbers, encoded alike in old and new data."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from mixedfx.errors import DataError
from mixedfx.formula.evaluate import Array
from mixedfx.formula.factor import Factor, holds_categories
from mixedfx.formula.levels import factorize, level_texts, some
from mixedfx.formula.numeric import Numeric, fit_numeric
from mixedfx.formula.transforms import FACTOR_CALLS
from mixedfx.formula.tree import Call, Name, Node, columns_of, deparse
from mixedfx.frames import column

Scale = Literal["number", "binary", "ordinal"]
"""Numbers; two outcomes, the second level being success; or ordered categories."""

Response = Factor | Numeric


def fit_response(node: Node, frame: pd.DataFrame, scale: Scale) -> Response:
    """How the response is to be read.

    Raises
    ------
    DataError
        Categories where numbers are needed, or too many or too few of them.
    """
    name = node.id if isinstance(node, Name) else deparse(node)
    values = column(frame, columns_of(node)[0])
    as_factor = isinstance(node, Call) and node.function in FACTOR_CALLS
    if scale == "ordinal":
        if not (as_factor or isinstance(node, Name)):
            raise DataError(
                f"the response '{name}' must be a column of ordered categories, not a computed number"
            )
        levels = factorize(values)[1]
        if len(levels) < 2:
            raise DataError(
                f"response '{name}' has one category only ({levels[0]}); an ordinal model needs two"
            )
        return Factor(name, str(values.name), levels, ordered=True)
    if not as_factor and not (isinstance(node, Name) and holds_categories(values)):
        return fit_numeric(node, frame)[0]
    if scale == "number":
        if values.dtype.kind == "b" and not as_factor:
            return fit_numeric(node, frame)[0]
        raise DataError(
            f"response '{name}' must be numbers for this family, but its type is {values.dtype}; convert it, "
            "or use family='bernoulli' (two levels) or 'cumulative' (ordered levels)"
        )
    levels = factorize(values)[1]
    if levels.dtype.kind == "b":
        levels = pd.Index([False, True])
    if len(levels) != 2:
        raise DataError(
            f"response '{name}' must have two levels for family 'bernoulli', the second meaning success, but "
            f"has {len(levels)}: {some(level_texts(levels))}"
        )
    return Factor(name, str(values.name), levels)


def encode_response(response: Response, frame: pd.DataFrame) -> Array:
    """The response of each row, float64, shape (N,)."""
    values = response.encode(frame)
    return np.ascontiguousarray(values.reshape(len(frame)), dtype=np.float64)

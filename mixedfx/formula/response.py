"""The response as numbers, encoded alike in old and new data."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from mixedfx.errors import DataError
from mixedfx.formula.levels import factorize, level_texts
from mixedfx.formula.transforms import FACTOR_CALLS, Array
from mixedfx.formula.tree import Call, Name, Node, columns_of, deparse
from mixedfx.formula.variables import Variable, fit_variable, holds_categories

Scale = Literal["number", "binary", "ordinal"]
"""Numbers; two outcomes, the second level being success; or ordered categories."""


def fit_response(node: Node, frame: pd.DataFrame, scale: Scale) -> Variable:
    """How the response column is to be read; ``variable.encode`` then gives codes or numbers.

    Raises
    ------
    DataError
        Categories where numbers are needed, or too many or too few of them.
    """
    name = node.id if isinstance(node, Name) else deparse(node)
    column = frame[columns_of(node)[0]]
    plain = isinstance(node, Name) or (isinstance(node, Call) and node.function in FACTOR_CALLS)
    categories = plain and (not isinstance(node, Name) or holds_categories(column))
    if scale == "ordinal":
        if not plain:
            raise DataError(
                f"the response '{name}' must be a column of ordered categories, not a computed number"
            )
        levels = factorize(column)[1]
        if len(levels) < 2:
            raise DataError(
                f"response '{name}' has one category only ({level_texts(levels)[0]}); an ordinal model needs "
                "two"
            )
        return Variable(name, node, levels, ordered=True)
    if not categories:
        return fit_variable(node, frame)[0]
    if scale == "number":
        raise DataError(
            f"response '{name}' must be numeric for this family, but its type is {column.dtype}; convert it, "
            "or use "
            "family='bernoulli' (two levels) or 'cumulative' (ordered levels)"
        )
    levels = factorize(column)[1]
    if levels.dtype.kind == "b":
        levels = pd.Index([False, True])
    if len(levels) != 2:
        raise DataError(
            f"response '{name}' must have two levels for family 'bernoulli', the second meaning success, but "
            "has "
            f"{len(levels)}: {', '.join(level_texts(levels)[:8])}"
        )
    return Variable(name, node, levels)


def encode_response(response: Variable, frame: pd.DataFrame) -> Array:
    """The response of each row, float64, shape (N,)."""
    values = response.encode(frame)
    return np.ascontiguousarray(values.reshape(len(frame)), dtype=np.float64)

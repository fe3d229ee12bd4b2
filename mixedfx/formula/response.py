"""The response as numbers, encoded alike in old and new data."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.errors import DataError
from mixedfx.families import Family
from mixedfx.formula.evaluate import State
from mixedfx.formula.factor import Factor, holds_categories
from mixedfx.formula.levels import factorize, level_texts, some
from mixedfx.formula.numeric import Numeric, fit_numeric
from mixedfx.formula.transforms import FACTOR_CALLS
from mixedfx.formula.tree import Call, Name, Node, columns_of, deparse
from mixedfx.frames import column
from mixedfx.row_chunks import row_chunks

MOST_CATEGORIES = 200
"""Of an ordinal response: more are as a rule a measurement, which takes thousands of thresholds."""

Scale = Literal["number", "binary", "ordinal"]
"""Numbers; two outcomes, the second level being success; or ordered categories."""

Response = Factor | Numeric
ResponseValues = NDArray[Any]
"""float64, or for families of classes small integers; either can be used in arithmetic with float64."""


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
        if len(levels) > MOST_CATEGORIES:
            raise DataError(
                f"response '{name}' has {len(levels):,} different values, and an ordinal model a threshold between any "
                f"two neighbours (at most {MOST_CATEGORIES} categories are taken); bin it, with pandas.cut for "
                "example, or use family='gaussian'"
            )
        return Factor(name, str(values.name), levels, ordered=True)
    if not as_factor and not (isinstance(node, Name) and holds_categories(values)):
        return _fit_number(node, frame)
    if scale == "number":
        if values.dtype.kind == "b" and not as_factor:
            return _fit_number(node, frame)
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


def _fit_number(node: Node, frame: pd.DataFrame) -> Numeric:
    # A bare column has nothing to learn; its values are computed when they are kept.
    return Numeric(deparse(node), node, State()) if isinstance(node, Name) else fit_numeric(node, frame)[0]


def encode_response(response: Response, frame: pd.DataFrame, family: Family) -> ResponseValues:
    """The response of each row, shape (N,): small integers for families of classes, else float64.

    Raises
    ------
    DataError
        A value is not finite, a category that the fit did not have, or a number that is no class of the family.
    """
    if not family.has_classes:
        return np.ascontiguousarray(response.encode(frame).reshape(len(frame)), dtype=np.float64)
    n_classes = len(response.levels) if isinstance(response, Factor) else 2
    out = np.empty(len(frame), dtype=np.min_scalar_type(-n_classes))
    for rows in row_chunks(len(frame)):
        values: ResponseValues = response.encode(frame.iloc[rows]).reshape(-1)
        if isinstance(response, Numeric):
            family.check_values(values, response.name)  # before a small integer would cut off its digits
        out[rows] = values
    return out

"""Categories of a column: found as R's ``factor()`` does, printed as R does, and written to JSON without
loss.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.errors import DataError
from mixedfx.formula.tree import number_text

Codes = NDArray[np.int32]


def factorize(column: pd.Series) -> tuple[Codes, pd.Index]:
    """Codes and levels of a column without missing values.

    Levels are the categories in their order, unused ones dropped, for a categorical, else the distinct values
    sorted (strings by code point: R's order depends on the locale).

    Raises
    ------
    DataError
        The values cannot be sorted, or are infinite.
    """
    if isinstance(column.dtype, pd.CategoricalDtype):
        codes, categories = column.cat.codes.to_numpy(), column.cat.categories
        used = np.bincount(codes, minlength=len(categories)) > 0
        if not used.all():
            renumbered = np.cumsum(used, dtype=np.int32) - 1
            codes = renumbered[codes]
        return codes.astype(np.int32, copy=False), plain_index(categories[used])
    try:
        codes, distinct = pd.factorize(plain_values(column))
        levels = plain_index(pd.Index(distinct))
        order = np.asarray(levels.argsort())
    except TypeError as error:
        raise DataError(
            f"the values of column '{column.name}' cannot be sorted into levels ({error}); make them all "
            "numbers or all strings"
        ) from error
    if levels.dtype.kind == "f" and not np.isfinite(levels).all():
        raise DataError(f"column '{column.name}' holds infinite values, which cannot be categories")
    rank = np.empty(len(order), dtype=np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    return rank[codes], levels[order]


def find_codes(column: pd.Series, levels: pd.Index) -> Codes:
    """The position of each value in `levels`, -1 where it is not there."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        place = np.append(levels.get_indexer(plain_index(column.cat.categories)), -1)
        return place[column.cat.codes.to_numpy()].astype(np.int32)
    # Looking up each distinct value once is cheaper than each row, and repeats are the rule.
    codes, distinct = pd.factorize(plain_values(column))
    return np.append(levels.get_indexer(plain_index(pd.Index(distinct))), -1)[codes].astype(np.int32)


def plain_values(column: pd.Series) -> Any:
    """Values, none missing, in NumPy's own dtype where they have one: a nullable integer becomes int64."""
    dtype = column.dtype
    if isinstance(dtype, np.dtype):
        return column.to_numpy()
    if dtype.kind == "b":
        return column.to_numpy(dtype=bool)
    if dtype.kind in "iuf":
        return column.to_numpy(dtype=getattr(dtype, "numpy_dtype", np.dtype(np.float64)))
    return column.array


def plain_index(index: pd.Index) -> pd.Index:
    """An index of levels in the dtype that a plain pandas column of the same values would have."""
    if index.dtype.kind in "iufb":
        return pd.Index(plain_values(index.to_series()))
    if index.dtype.kind == "M":
        return pd.DatetimeIndex(index)
    return pd.Index(index.tolist())


def level_texts(levels: pd.Index) -> list[str]:
    """The levels as R would print them in coefficient names."""
    kind = levels.dtype.kind
    if kind == "b":
        return ["TRUE" if value else "FALSE" for value in levels]
    if kind == "f":
        return [number_text(float(value)) for value in levels]
    if kind == "M":
        midnight = (levels == levels.normalize()).all()  # pyright: ignore[reportAttributeAccessIssue]
        return [str(v.date()) if midnight else str(v) for v in levels]
    return [str(value) for value in levels]


def some(texts: list[str], most: int = 8) -> str:
    """The first few of many, for messages."""
    return ", ".join(texts[:most]) + (f", ... ({len(texts)} in all)" if len(texts) > most else "")


def levels_to_json(levels: pd.Index) -> dict[str, Any]:
    """Levels as JSON data: their dtype and values.

    Raises
    ------
    DataError
        The levels are of a type that JSON cannot keep.
    """
    kind = levels.dtype.kind
    if kind in "iufb":
        return {"dtype": str(levels.dtype), "values": levels.tolist()}
    if kind == "M":
        return {"dtype": str(levels.dtype), "values": [value.isoformat() for value in levels]}
    values = levels.tolist()
    if all(isinstance(v, str) for v in values):
        return {"dtype": "str", "values": values}
    if all(type(v) is dt.date for v in values):
        return {"dtype": "date", "values": [value.isoformat() for value in values]}
    odd = next(v for v in values if not isinstance(v, str))
    raise DataError(
        f"level {odd!r} is a {type(odd).__name__}, which cannot be saved; use strings, numbers or dates"
    )


def levels_from_json(data: dict[str, Any]) -> pd.Index:
    """The inverse of `levels_to_json`."""
    dtype, values = data["dtype"], data["values"]
    if dtype == "str":
        return plain_index(pd.Index(values, dtype=object))
    if dtype == "date":
        return pd.Index([dt.date.fromisoformat(v) for v in values], dtype=object)
    if dtype.startswith("datetime64"):
        return pd.DatetimeIndex(pd.to_datetime(values, format="ISO8601")).astype(dtype)
    return pd.Index(np.array(values, dtype=dtype))

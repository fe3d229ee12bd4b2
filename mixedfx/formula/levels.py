"""Categories of a column: found as R's ``factor()`` does, printed as R does, and written to JSON without
loss.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd

from mixedfx.errors import DataError
from mixedfx.formula.numbering import Codes, LookupTable, find_values, number_values, plain_index
from mixedfx.formula.text_levels import arrow_text, find_texts, number_texts
from mixedfx.formula.tree import number_text
from mixedfx.row_chunks import row_chunks


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
        _check_labels(column, column.cat.categories)
        return _of_categorical(column)
    text = arrow_text(column)
    if text is not None:
        return number_texts(text)
    if column.dtype == object:
        _check_labels(column, column)
    try:
        codes, levels = number_values(lambda rows: plain_values(column.iloc[rows]), len(column))
    except TypeError as error:
        raise DataError(
            f"the values of column '{column.name}' cannot be sorted into levels ({error}); make them all "
            "numbers or all strings"
        ) from error
    if levels.dtype.kind == "f" and not np.isfinite(levels).all():
        raise DataError(f"column '{column.name}' holds infinite values, which cannot be categories")
    return codes, levels


def _check_labels(column: pd.Series, values: pd.Series | pd.Index) -> None:
    """Raise `DataError` for labels made of several values, which an index would take apart."""
    first = next(iter(values), None)
    if isinstance(first, tuple | list | dict | set | frozenset):
        raise DataError(
            f"column '{column.name}' holds a {type(first).__name__} in each row, such as {first!r}, which cannot be a "
            "category; make them text, or group by several columns (1 | a:b)"
        )


def _of_categorical(column: pd.Series) -> tuple[Codes, pd.Index]:
    codes, categories = column.cat.codes.to_numpy(), column.cat.categories
    used = np.zeros(len(categories), dtype=bool)
    for rows in row_chunks(len(codes)):
        used[codes[rows]] = True
    if not used.all():
        renumbered = np.cumsum(used, dtype=np.int32) - 1
        codes = renumbered[codes]
    return codes.astype(np.int32, copy=False), plain_index(categories[used])


def find_codes(column: pd.Series, levels: pd.Index, table: LookupTable | None = None) -> Codes:
    """The position of each value in `levels`, -1 where it is not there.

    Integers find equal floats and the reverse; the type otherwise has to be that of the fit.

    Parameters
    ----------
    column
        Values, none missing.
    levels
        The levels of the fit.
    table
        ``LookupTable.of(levels)``, if the caller keeps it.

    Raises
    ------
    DataError
        The values are of a type that no level is of, such as text where the fit had numbers.
    """
    if isinstance(column.dtype, pd.CategoricalDtype):
        categories = plain_index(column.cat.categories)
        _check_type(column, categories, levels)
        place = np.append(levels.get_indexer(categories).astype(np.int32), np.int32(-1))
        return place[column.cat.codes.to_numpy()]
    _check_type(column, plain_index(pd.Index(plain_values(column.iloc[:1]))), levels)
    text = arrow_text(column)
    if text is not None:
        return find_texts(text, levels)
    if table is None:
        table = LookupTable.of(levels)
    return find_values(lambda rows: plain_values(column.iloc[rows]), len(column), levels, table)


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


def _check_type(column: pd.Series, values: pd.Index, levels: pd.Index) -> None:
    """Compare the type of some of the column's values with that of the levels.

    Text in place of numbers would make every level a new one, which predictions allow: nothing would say so.
    """
    if not len(values) or not len(levels):
        return
    own, known = _type_in_words(values), _type_in_words(levels)
    if own != known:
        raise DataError(
            f"column '{column.name}' holds {own} here ({_example(values)}), but {known} in the data of the fit "
            f"({_example(levels)}), so that no level would be found; convert the column"
        )


def _type_in_words(values: pd.Index) -> str:
    kind = values.dtype.kind
    if kind in "OUT":
        return f"values of type {type(values[0]).__name__}" if not isinstance(values[0], str) else "text"
    return {"b": "booleans", "M": "times"}.get(kind, "numbers")


def _example(values: pd.Index) -> str:
    value = values[:1].tolist()[0]
    return f"such as {value!r}" if isinstance(value, str) else f"such as {value}"


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

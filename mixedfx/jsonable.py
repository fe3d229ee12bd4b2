"""Numbers, arrays and frames of numpy and pandas as the plain values that JSON knows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd


def jsonable(value: Any) -> Any:
    """`value` as nested dicts, lists, strings, numbers, booleans and None.

    A number that is not finite becomes None, because strict readers of JSON refuse NaN. A Series becomes a
    dict, a DataFrame a list of rows, anything unknown its text.

    Examples
    --------
    >>> import numpy as np
    >>> jsonable({"draws": np.int64(4), "rhat": np.array([1.01, np.nan])})
    {'draws': 4, 'rhat': [1.01, None]}
    """
    match value:
        case np.datetime64() | np.timedelta64():
            return str(value)
        case np.generic() | np.ndarray():
            return jsonable(value.tolist())
        case float():
            return value if math.isfinite(value) else None
        case None | bool() | str() | int():
            return value
        case pd.Series() | Mapping():
            return {str(key): jsonable(item) for key, item in value.items()}
        case pd.DataFrame():
            return [jsonable(row) for row in value.to_dict("records")]
        case list() | tuple() | set() | frozenset() | pd.Index():
            return [jsonable(item) for item in value]
        case _:
            return None if value is pd.NA else str(value)

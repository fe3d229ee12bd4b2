"""Values of numpy and pandas as strict JSON."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from mixedfx.jsonable import jsonable


def test_every_kind_becomes_strict_json() -> None:
    values = {
        1: (np.float32(0.5), np.bool_(True), np.int8(3), np.inf),
        "series": pd.Series({"a": 1, "b": 2}),
        "frame": pd.DataFrame({"x": [1.5, np.nan], "g": ["u", None]}),
        "matrix": np.array([[1.0, np.nan]]),
        "index": pd.Index(["p", "q"]),
        "other": Path("a"),
        "missing": [pd.NA, None],
        "time": np.datetime64("2020-01-02"),
    }
    expected = {
        "1": [0.5, True, 3, None],
        "series": {"a": 1, "b": 2},
        "frame": [{"x": 1.5, "g": "u"}, {"x": None, "g": None}],
        "matrix": [[1.0, None]],
        "index": ["p", "q"],
        "other": "a",
        "missing": [None, None],
        "time": "2020-01-02",
    }
    assert jsonable(values) == expected
    json.dumps(jsonable(values), allow_nan=False)

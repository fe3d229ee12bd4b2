"""Small tables in CSV files whose numbers come back to their last bit and whose names may be "NA"."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np
import pandas as pd


def read_table(path: str | Path, text: Collection[str]) -> pd.DataFrame:
    """A table of numbers, but for the columns in `text`.

    An empty number is NaN; what is no number stays text, for whoever checks the table to name. pandas' own
    parser is exact only with an option that newer versions deprecate, and takes "NA" and "None" for missing.
    """
    frame = pd.read_csv(path, dtype=object, keep_default_na=False)
    return frame.assign(**{name: frame[name].map(_number) for name in frame if name not in text})


def read_covariances(path: str | Path) -> pd.DataFrame:
    """A table of covariances as `VarCorr.from_frame` takes it: grp (or group), var1, var2, vcov, and others.

    Only an empty field is a missing value.
    """
    frame = read_table(path, text=("grp", "group", "var1", "var2"))
    names = [column for column in ("var1", "var2") if column in frame]
    return frame.assign(**{column: frame[column].where(frame[column] != "", np.nan) for column in names})


def _number(text: str) -> float | str:
    try:
        return float(text or "nan")
    except ValueError:
        return text

"""Predictions of a saved fit for a file of rows, written to a file."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pandas as pd

import mixedfx as mfx
from mixedfx.errors import SettingError

SUFFIXES = (".parquet", ".csv")


def write_predictions(
    model: str | Path,
    data: str | Path,
    output: str | Path,
    *,
    interval: float | None = None,
    kind: Literal["response", "link", "class"] | str = "response",
    new_levels: Literal["population", "error"] | str = "population",
) -> int:
    """Predict every row of `data` and write them in its order; returns how many.

    Parameters
    ----------
    model
        Folder of saved coefficients.
    data
        Parquet or CSV with the columns that the formula uses.
    output
        A ``.parquet`` or ``.csv`` file: column ``fit`` (and ``lower``, ``upper`` with `interval`), or one
        column a class for the probabilities of ordinal families.
    interval, kind, new_levels
        As in the coefficients' ``predict``: `interval` is a coverage between 0 and 1, `kind` its ``type``.

    Raises
    ------
    SettingError
        The output's name has another ending, or its folder does not exist.
    """
    output = Path(output)
    if output.suffix.lower() not in SUFFIXES:
        raise SettingError(f"the output file {output} must end in {' or '.join(SUFFIXES)}")
    if not output.parent.is_dir():
        raise SettingError(f"there is no folder {output.parent} to write {output.name} to; make it first")
    fit = mfx.load_coefficients(model)
    predicted = fit.predict(data, type=kind, new_levels=new_levels, interval=interval)
    frame = predicted.to_frame("fit") if isinstance(predicted, pd.Series) else predicted
    if output.suffix.lower() == ".csv":
        frame.to_csv(output, index=False)
    else:
        frame.rename(columns=str).to_parquet(output, index=False)
    return len(frame)

"""Predictions of a saved fit for a file of rows, written to a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import pandas as pd
from pandas.api.types import is_numeric_dtype

import mixedfx as mfx
from mixedfx.errors import DataError, SettingError
from mixedfx.frames import read_columns

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
        The output's name has another ending, its folder does not exist, or it would be written over, or among, the
        files that are read.
    DataError
        A column of levels holds numbers where the fit had text, or the reverse: no level would be found.
    """
    output = Path(output)
    if output.suffix.lower() not in SUFFIXES:
        raise SettingError(f"the output file {output} must end in {' or '.join(SUFFIXES)}")
    if not output.parent.is_dir():
        raise SettingError(f"there is no folder {output.parent} to write {output.name} to; make it first")
    _check_output(output, Path(data), Path(model))
    fit = mfx.load_coefficients(model)
    frame = read_columns(data, fit.spec.columns)
    _check_labels(frame, fit.ranef)
    predicted = fit.predict(frame, type=kind, new_levels=new_levels, interval=interval)
    table = predicted.to_frame("fit") if isinstance(predicted, pd.Series) else predicted
    if output.suffix.lower() == ".csv":
        table.to_csv(output, index=False)
    else:
        table.rename(columns=str).to_parquet(output, index=False)
    return len(table)


def _check_output(output: Path, data: Path, model: Path) -> None:
    """Refuse to write over what is read, or into a folder that a second run would read as data."""
    target = output.resolve()
    for what, source in (("the rows to predict", data), ("the saved fit", model)):
        if source.resolve() in (target, *target.parents):
            raise SettingError(
                f"the output file {output} is, or lies in, {source}, which holds {what}; give another --output"
            )


def _check_labels(frame: pd.DataFrame, ranef: Mapping[str, pd.DataFrame]) -> None:
    """Refuse labels of another kind, which would pass as new levels: a CSV file turns "17" into a number."""
    for factor, modes in ranef.items():
        if factor not in frame.columns:  # a combination of columns
            continue
        given, fitted = pd.Index(frame[factor].unique().tolist()), pd.Index(modes.index.tolist())
        if len(given) and is_numeric_dtype(given.dtype) != is_numeric_dtype(fitted.dtype):
            raise DataError(
                f"column '{factor}' holds labels such as {given.tolist()[0]!r}, but the fit's are such as "
                f"{fitted.tolist()[0]!r}; give them in the same type (a Parquet file keeps types, CSV does not)"
            )

"""Encoded variables and level codes to `Predictors`: each distinct column stored once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.errors import DataError, FormulaError
from mixedfx.formula.formula import Bar
from mixedfx.formula.model_matrix import INTERCEPT, model_columns
from mixedfx.formula.variables import Encoded
from mixedfx.grouping import Grouping
from mixedfx.predictors import CONSTANT, Predictors, RandomTerm

Column = NDArray[np.float64]


def assemble(
    fixed: dict[str, Column | None],
    bars: Sequence[Bar],
    groupings: Sequence[Grouping],
    encoded: Encoded,
    offset: Column,
    index: pd.Index,
) -> Predictors:
    """Predictors from the fixed columns (None for the intercept) and the bar terms.

    Raises
    ------
    FormulaError
        Several bar terms give one factor the same coefficient.
    """
    features = _Features()
    fixed_columns = np.array([features.number(n, c) for n, c in fixed.items()], dtype=np.int32)
    terms = []
    for bar, grouping in zip(bars, groupings, strict=True):
        columns, free = bar_columns(bar, encoded)
        numbers = np.array([features.number(n, c) for n, c in columns.items()], dtype=np.int32)
        terms.append(RandomTerm(grouping, tuple(columns), numbers, free))
    return Predictors(features.matrix(len(index)), tuple(fixed), fixed_columns, tuple(terms), offset, index)


def bar_columns(bar: Bar, encoded: Encoded) -> tuple[dict[str, Column | None], NDArray[np.bool_]]:
    """Coefficients of one factor, the intercept (None) first, and which covariances are free, (q, q)."""
    columns: dict[str, Column | None] = {}
    part_of: list[int] = []
    for number, part in enumerate(bar.parts):
        own: dict[str, Column | None] = {INTERCEPT: None} if part.intercept else {}
        own |= model_columns(part, encoded)
        for name, values in own.items():
            if name in columns:
                raise FormulaError(
                    f"several bar terms give factor '{bar.group.name}' the coefficient '{name}'; give it in "
                    f"one of them only (write (0 + ... | {bar.group.name}) for a term without intercept)"
                )
            columns[name] = values
            part_of.append(number)
    parts = np.array(part_of)
    if INTERCEPT in columns:
        at = list(columns).index(INTERCEPT)
        columns = {INTERCEPT: None} | columns
        parts = np.concatenate([parts[at : at + 1], np.delete(parts, at)])
    return columns, parts[:, None] == parts[None, :]


class _Features:
    """Numbers the distinct columns as they come."""

    def __init__(self) -> None:
        self.columns: dict[str, Column] = {}

    def number(self, name: str, column: Column | None) -> int:
        """The feature number of a column, which is stored unless it already is; `CONSTANT` for None."""
        if column is None:
            return CONSTANT
        if name not in self.columns:
            self.columns[name] = column
        elif not np.array_equal(self.columns[name], column):
            raise DataError(f"two different columns would be called '{name}'; rename a column of the data")
        return list(self.columns).index(name)

    def matrix(self, n_rows: int) -> NDArray[np.float64]:
        out = np.empty((n_rows, len(self.columns)))
        for j, column in enumerate(self.columns.values()):
            out[:, j] = column
        return out

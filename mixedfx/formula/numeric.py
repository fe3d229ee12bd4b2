"""A variable that holds numbers: a column or an expression of columns, computed alike in old and new data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mixedfx.errors import DataError
from mixedfx.formula.evaluate import Array, State, evaluate
from mixedfx.formula.factor import holds_categories
from mixedfx.formula.levels import plain_values
from mixedfx.formula.tree import Node, columns_of, deparse
from mixedfx.frames import column

LARGEST = 1e75
"""Of the numbers of a model; the largest of a column is above 1 over it, so that fourth powers are finite and not 0."""


@dataclass(frozen=True, eq=False)
class Numeric:
    """An expression of numbers.

    Attributes
    ----------
    name
        Its text in the formula, which is the name of its coefficient: ``"x"``, ``"poly(x, 2)"``.
    node
        Its syntax tree.
    state
        What its transforms learned from the data of the fit, by their text.
    """

    name: str
    node: Node
    state: State

    def encode(self, frame: pd.DataFrame) -> Array:
        """The numbers of each row, shape (N, k); raises `DataError` where one is not finite."""
        return _compute(self.name, self.node, frame, self.state, learn=False)

    def to_dict(self) -> dict[str, Any]:
        """JSON data."""
        return {"state": self.state}

    @classmethod
    def from_dict(cls, name: str, node: Node, data: dict[str, Any]) -> Numeric:
        return cls(name, node, data["state"])


def fit_numeric(node: Node, frame: pd.DataFrame) -> tuple[Numeric, Array]:
    """Learn the transforms of an expression and compute it, (N, k).

    Raises
    ------
    DataError
        It is not finite somewhere, or so large or small that products with it are not.
    """
    name, state = deparse(node), State()
    values = _compute(name, node, frame, state, learn=True)
    _check_size(name, values)
    return Numeric(name, node, state), values


def column_numbers(values: pd.Series) -> Array:
    """The numbers of a column as float64, shape (N,).

    Raises
    ------
    DataError
        The column holds something else.
    """
    kind = values.dtype.kind
    if kind in "iufb":
        return np.asarray(plain_values(values), dtype=np.float64)
    if kind == "O" and not holds_categories(values):
        try:
            # Decimals and integers beyond 64 bits come as objects.
            return values.to_numpy(dtype=np.float64)
        except (TypeError, ValueError):
            pass
    raise DataError(
        f"column '{values.name}' is used as numbers but its type is {values.dtype}; convert it, or use it as "
        "categories"
    )


def _compute(name: str, node: Node, frame: pd.DataFrame, state: State, learn: bool) -> Array:
    values = evaluate(node, lambda source: _finite_numbers(frame, source), state, learn)
    if values.ndim == 1:
        values = values[:, None]
    finite = np.isfinite(values)
    if not finite.all():
        row = int((~finite.all(axis=1)).argmax())
        causes = ", ".join(f"{c} is {column(frame, c).array[row]}" for c in columns_of(node))
        raise DataError(
            f"'{name}' is not a finite number in {np.count_nonzero(~finite.all(axis=1))} of {len(frame)} "
            f"rows, the first being row {frame.index[row]}, where {causes}; change the transform, or leave "
            "such rows out"
        )
    return values


def _check_size(name: str, values: Array) -> None:
    """Raise `DataError` where products of the numbers would be infinite, or all of them 0."""
    largest = max(float(values.max(initial=0.0)), -float(values.min(initial=0.0)))
    if LARGEST < largest < np.inf:
        raise DataError(
            f"'{name}' holds values as large as {largest:.3g}, whose products are beyond floating-point numbers; give "
            "it other units, so that its values are nearer to 1"
        )
    if 0.0 < largest < 1.0 / LARGEST:
        raise DataError(
            f"'{name}' holds no value above {largest:.3g} in size, so that products of them are 0 to floating-point "
            "numbers; give it other units, so that its values are nearer to 1"
        )


def _finite_numbers(frame: pd.DataFrame, source: str) -> Array:
    values = column_numbers(column(frame, source))
    finite = np.isfinite(values)
    if not finite.all():
        row = int((~finite).argmax())
        raise DataError(
            f"column '{source}' is infinite in {np.count_nonzero(~finite)} of {len(frame)} rows, the first "
            f"being row {frame.index[row]}; every number must be finite: repair them, or leave such rows out"
        )
    return values

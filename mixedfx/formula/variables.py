"""One variable of a formula: a column or transform, either numbers or categories, encoded alike in old and
new data.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from mixedfx.errors import DataError
from mixedfx.formula.levels import (
    Codes,
    factorize,
    find_codes,
    level_texts,
    levels_from_json,
    levels_to_json,
    plain_values,
)
from mixedfx.formula.transforms import FACTOR_CALLS, Array, State, evaluate
from mixedfx.formula.tree import Call, Name, Node, columns_of, deparse


@dataclass(frozen=True)
class Variable:
    """What must be kept of a variable to encode new data.

    Attributes
    ----------
    name
        Its text in the formula, which begins the names of its coefficients.
    node
        Its syntax tree.
    levels
        Categories, or None for numbers.
    ordered
        Whether the categories are ordered.
    state
        What its transforms learned from the data, by their text.
    """

    name: str
    node: Node
    levels: pd.Index | None = None
    ordered: bool = False
    state: State = field(default_factory=dict)

    def encode(self, frame: pd.DataFrame) -> Array | Codes:
        """Codes (N,) of a factor or numbers (N, k) of anything else.

        Raises
        ------
        DataError
            A column has another type than in the fit, or holds a category that the fit did not have.
        """
        if self.levels is None:
            return _numbers(self.name, self.node, frame, self.state, learn=False)
        column = frame[columns_of(self.node)[0]]
        codes = find_codes(column, self.levels)
        if (codes < 0).any():
            unseen = column[codes < 0].iloc[0]
            raise DataError(
                f"column '{column.name}' holds {unseen!r}, a category that the fitted data did not have; it "
                "has: "
                f"{_some(level_texts(self.levels))}"
            )
        return codes

    def to_dict(self) -> dict[str, Any]:
        """JSON data."""
        levels = None if self.levels is None else levels_to_json(self.levels)
        return {"levels": levels, "ordered": self.ordered, "state": self.state}

    @classmethod
    def from_dict(cls, name: str, node: Node, data: dict[str, Any]) -> Variable:
        levels = None if data["levels"] is None else levels_from_json(data["levels"])
        return cls(name, node, levels, data["ordered"], data["state"])


def fit_variable(node: Node, frame: pd.DataFrame) -> tuple[Variable, Array | Codes]:
    """Learn a variable from the data and encode it.

    Raises
    ------
    DataError
        A column cannot be used this way, or a factor has one level only.
    """
    name = deparse(node)
    if isinstance(node, Call) and node.function in FACTOR_CALLS:
        column = frame[columns_of(node)[0]]
        return _fit_factor(name, node, column, node.function == "ordered" or _is_ordered(column))
    if isinstance(node, Name) and holds_categories(frame[node.id]):
        return _fit_factor(name, node, frame[node.id], _is_ordered(frame[node.id]))
    return fit_numbers(node, frame)


def fit_numbers(node: Node, frame: pd.DataFrame) -> tuple[Variable, Array]:
    """Learn an expression of numbers and compute it, (N, k); raises `DataError` where it is not finite."""
    name, state = deparse(node), State()
    values = _numbers(name, node, frame, state, learn=True)
    return Variable(name, node, state=state), values


def holds_categories(column: pd.Series) -> bool:
    """Whether a column is categories by its type: categorical, strings or booleans."""
    kind = getattr(column.dtype, "kind", "O")
    if kind == "b" or isinstance(column.dtype, pd.CategoricalDtype | pd.StringDtype):
        return True
    return kind == "O" and pd.api.types.infer_dtype(column, skipna=True) in (
        "string",
        "boolean",
        "empty",
        "mixed",
    )


def column_numbers(column: pd.Series) -> Array:
    """The numbers of a column as float64, shape (N,); raises `DataError` naming a column that holds none."""
    kind = getattr(column.dtype, "kind", "O")
    if kind in "iufb":
        return np.asarray(plain_values(column), dtype=np.float64)
    if kind == "O":
        try:
            # Decimals and integers too large for int64 come as objects.
            if not isinstance(column.dtype, pd.CategoricalDtype | pd.StringDtype):
                return column.to_numpy(dtype=np.float64)
        except (TypeError, ValueError):
            pass
    raise DataError(
        f"column '{column.name}' is used as numbers but its type is {column.dtype}; convert it, or use it as "
        "categories"
    )


def _numbers(name: str, node: Node, frame: pd.DataFrame, state: State, learn: bool) -> Array:
    values = evaluate(node, _column_reader(frame), state, learn)
    if values.ndim == 1:
        values = values[:, None]
    if not np.isfinite(values).all():
        bad = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
        columns = ", ".join(f"{c} = {frame[c].iloc[bad]!r}" for c in columns_of(node))
        raise DataError(
            f"'{name}' is not finite in row {frame.index[bad]!r}, where {columns}; every number must be "
            "finite: repair or "
            "leave out such rows"
        )
    return values


def _column_reader(frame: pd.DataFrame) -> Callable[[str], Array]:
    return lambda name: column_numbers(frame[name])


def _is_ordered(column: pd.Series) -> bool:
    return isinstance(column.dtype, pd.CategoricalDtype) and bool(column.dtype.ordered)


def _fit_factor(name: str, node: Node, column: pd.Series, ordered: bool) -> tuple[Variable, Codes]:
    codes, levels = factorize(column)
    if levels.dtype.kind == "b" and isinstance(node, Name):
        # As R's logical, which always has both levels.
        levels = pd.Index([False, True])
        codes = find_codes(column, levels)
    if len(levels) < 2:
        raise DataError(
            f"column '{column.name}' has one level only ({_some(level_texts(levels))}), so it cannot have an "
            "effect; take "
            "it out of the formula"
        )
    return Variable(name, node, levels, ordered), codes


def _some(texts: list[str], most: int = 8) -> str:
    return ", ".join(texts[:most]) + (f", ... ({len(texts)} in all)" if len(texts) > most else "")

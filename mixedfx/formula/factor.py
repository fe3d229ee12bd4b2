"""A variable that holds categories, encoded alike in old and new data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.errors import DataError
from mixedfx.formula.levels import (
    factorize,
    find_codes,
    level_texts,
    levels_from_json,
    levels_to_json,
    some,
)
from mixedfx.formula.numbering import Codes
from mixedfx.formula.transforms import FACTOR_CALLS
from mixedfx.formula.tree import Call, Name, Node, columns_of, deparse
from mixedfx.frames import column


@dataclass(frozen=True, eq=False)
class Factor:
    """Categories of a variable.

    Attributes
    ----------
    name
        Its text in the formula, which begins the names of its coefficients: ``"kind"``, ``"factor(year)"``.
    source
        The column of the data.
    levels
        Categories in R's order; only those that the data of the fit have.
    ordered
        Whether contrasts are orthogonal polynomials.
    """

    name: str
    source: str
    levels: pd.Index
    ordered: bool = False

    def encode(self, frame: pd.DataFrame) -> Codes:
        """The category number of each row, shape (N,).

        Raises
        ------
        DataError
            A category that the data of the fit did not have.
        """
        values = column(frame, self.source)
        codes = find_codes(values, self.levels)
        if (codes < 0).any():
            unseen = values.array[int((codes < 0).argmax())]
            raise DataError(
                f"column '{self.source}' holds '{unseen}', a category that the fitted data did not have; "
                f"known are: {some(level_texts(self.levels))}"
            )
        return codes

    def known(self, frame: pd.DataFrame) -> NDArray[np.bool_]:
        """Which rows hold a category that the data of the fit had, shape (N,)."""
        return find_codes(column(frame, self.source), self.levels) >= 0

    def to_dict(self) -> dict[str, Any]:
        """JSON data."""
        return {"source": self.source, "levels": levels_to_json(self.levels), "ordered": self.ordered}

    @classmethod
    def from_dict(cls, name: str, data: dict[str, Any]) -> Factor:
        return cls(name, data["source"], levels_from_json(data["levels"]), data["ordered"])


def holds_categories(values: pd.Series) -> bool:
    """Whether a column is categories by its type: categorical, strings or booleans."""
    if isinstance(values.dtype, pd.CategoricalDtype | pd.StringDtype) or values.dtype.kind in "bU":
        return True
    kinds = ("string", "boolean", "empty", "mixed")
    return values.dtype.kind == "O" and pd.api.types.infer_dtype(values, skipna=True) in kinds


def is_factor(node: Node, frame: pd.DataFrame) -> bool:
    """Whether a variable is read as categories: by its column's type, or because the formula says so."""
    if isinstance(node, Name):
        return holds_categories(column(frame, node.id))
    return isinstance(node, Call) and node.function in FACTOR_CALLS


def fit_factor(node: Node, frame: pd.DataFrame) -> tuple[Factor, Codes]:
    """Categories of a variable and the category number of each row.

    Raises
    ------
    DataError
        There is one category only.
    """
    source = columns_of(node)[0]
    values = column(frame, source)
    codes, levels = factorize(values)
    if levels.dtype.kind == "b" and isinstance(node, Name):
        # As R's logical, which always has both levels.
        levels = pd.Index([False, True])
        codes = find_codes(values, levels)
    if len(levels) < 2:
        raise DataError(
            f"column '{source}' has one level only ({some(level_texts(levels))}), so it cannot have an "
            "effect; take it out of the formula"
        )
    ordered = isinstance(values.dtype, pd.CategoricalDtype) and bool(values.dtype.ordered)
    ordered = ordered or (isinstance(node, Call) and node.function == "ordered")
    return Factor(deparse(node), source, levels, ordered), codes

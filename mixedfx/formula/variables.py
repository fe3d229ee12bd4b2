"""All variables of a formula, factors and numbers, with their values in some data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from mixedfx.formula.evaluate import Array
from mixedfx.formula.factor import Factor, fit_factor, is_factor
from mixedfx.formula.numbering import Codes
from mixedfx.formula.numeric import Numeric, fit_numeric
from mixedfx.formula.tree import Node


@dataclass(frozen=True, eq=False)
class Encoded:
    """Values of the variables, by their text: codes (N,) of the factors, numbers (N, k) of the others."""

    factors: Mapping[str, tuple[Factor, Codes]]
    numbers: Mapping[str, Array]


@dataclass(frozen=True, eq=False)
class Variables:
    """What is kept of the variables to encode new data, by their text."""

    factors: Mapping[str, Factor]
    numeric: Mapping[str, Numeric]

    def encode(self, frame: pd.DataFrame) -> Encoded:
        """Values in other data.

        Raises
        ------
        DataError
            A column has another type than in the fit, a number is not finite, or a category is new.
        """
        return Encoded(
            {name: (factor, factor.encode(frame)) for name, factor in self.factors.items()},
            {name: numeric.encode(frame) for name, numeric in self.numeric.items()},
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON data."""
        return {
            "factors": {name: factor.to_dict() for name, factor in self.factors.items()},
            "numeric": {name: numeric.to_dict() for name, numeric in self.numeric.items()},
        }

    @classmethod
    def from_dict(cls, nodes: Mapping[str, Node], data: dict[str, Any]) -> Variables:
        return cls(
            {name: Factor.from_dict(name, saved) for name, saved in data["factors"].items()},
            {name: Numeric.from_dict(name, nodes[name], saved) for name, saved in data["numeric"].items()},
        )


def fit_variables(nodes: Mapping[str, Node], frame: pd.DataFrame) -> tuple[Variables, Encoded]:
    """Learn the variables from the data of a fit, and encode them.

    Raises
    ------
    DataError
        A column cannot be used as the formula uses it.
    """
    factors = {name: fit_factor(node, frame) for name, node in nodes.items() if is_factor(node, frame)}
    numeric = {name: fit_numeric(node, frame) for name, node in nodes.items() if name not in factors}
    learned = Variables({n: f for n, (f, _) in factors.items()}, {n: v for n, (v, _) in numeric.items()})
    return learned, Encoded(factors, {name: values for name, (_, values) in numeric.items()})

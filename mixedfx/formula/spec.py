"""DesignSpec: how data become a design, so that new data are encoded in the same way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.constant_rows import constant_rows
from mixedfx.errors import DataError
from mixedfx.families import get_family
from mixedfx.formula.assemble import assemble
from mixedfx.formula.factor import Factor
from mixedfx.formula.formula import Formula, parse_formula
from mixedfx.formula.groups import GroupLevels
from mixedfx.formula.missing import counts_text, missing_rows
from mixedfx.formula.model_matrix import INTERCEPT, model_columns
from mixedfx.formula.numeric import Numeric
from mixedfx.formula.response import Response, ResponseValues, encode_response
from mixedfx.formula.tree import deparse
from mixedfx.formula.variables import Encoded, Variables
from mixedfx.formula.weights import check_weights, read_weights
from mixedfx.frames import read_columns
from mixedfx.grouping import Grouping
from mixedfx.predictors import Predictors

_VERSION = 1


@dataclass(frozen=True, eq=False)
class DesignSpec:
    """Everything learned from the data of a fit that is needed to encode other data.

    Attributes
    ----------
    parsed
        The formula, taken apart.
    family
        Name of the family.
    response
        The response: numbers, or categories with their levels.
    variables
        Columns and transforms of the fixed and random terms, with categories and transform state, by their
        text.
    offsets
        What the offsets learned, where they have transforms.
    groups
        Levels of the grouping factors, in the formula's order.
    fixed_names
        Names of the fixed effects, those dropped as collinear left out.
    weights_column
        The column that held the weights, or None.
    weighted
        Whether there were weights at all: an array of them is not kept.
    """

    parsed: Formula
    family: str
    response: Response
    variables: Variables
    offsets: tuple[Numeric, ...]
    groups: tuple[GroupLevels, ...]
    fixed_names: tuple[str, ...]
    weights_column: str | None = None
    weighted: bool = False

    @property
    def formula(self) -> str:
        """The formula as it was written."""
        return self.parsed.text

    @property
    def response_name(self) -> str:
        """The response as the formula writes it."""
        return self.parsed.response_name

    @property
    def response_levels(self) -> pd.Index | None:
        """Labels of the response's categories, None for a numeric response."""
        return self.response.levels if isinstance(self.response, Factor) else None

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the data that `encode` reads: the predictors', without response and weights."""
        return self.parsed.columns

    @property
    def factors(self) -> tuple[str, ...]:
        """Names of the grouping factors."""
        return tuple(group.name for group in self.groups)

    def encode(self, data: object) -> Predictors:
        """Encode other data as those of the fit.

        Parameters
        ----------
        data
            Anything `mixedfx.frames.read_columns` reads, with the columns `columns`.

        Returns
        -------
        Predictors
            Levels of grouping factors that the fit did not have get code -1.

        Raises
        ------
        DataError
            A column is missing, has missing or infinite values, or holds a category (not a grouping level)
            that the fit did not have.
        """
        return self.encode_complete(self.complete(data))

    def complete(self, data: object) -> pd.DataFrame:
        """The columns `columns` of other data; raises `DataError` where one is missing or misses values."""
        return self._complete(data, self.columns)

    def encode_complete(self, frame: pd.DataFrame) -> Predictors:
        """`encode` for what `complete` returned, or some of its rows."""
        groupings = [Grouping(g.name, g.encode(frame), g.levels) for g in self.groups]
        encoded = self.variables.encode(frame)
        return self.predictors(frame, encoded, model_columns(self.parsed.fixed, encoded), groupings)

    def encode_response(
        self, data: object, weights: object = None
    ) -> tuple[ResponseValues, NDArray[np.float64]]:
        """Response and weights of other data, each of shape (N,).

        Parameters
        ----------
        data
            As for `encode`, with the response's columns.
        weights
            An array, a Series or a column's name; None means the column that held the weights of the fit, or
            1.

        Raises
        ------
        DataError
            A value is missing, infinite, a category that the fit did not have, or a weight that is not above
            0.
        """
        chosen = self.weights_column if weights is None else weights
        needed = self.parsed.response_columns + ((chosen,) if isinstance(chosen, str) else ())
        frame = self._complete(data, needed)
        w = read_weights(chosen, frame)
        check_weights(w, chosen)
        return encode_response(self.response, frame, get_family(self.family)), w

    def known_categories(self, frame: pd.DataFrame) -> NDArray[np.bool_]:
        """Which rows of complete data hold only categories that the fit had, those of the response included, (N,).

        Levels of grouping factors may be new: a category without an effect cannot be predicted, a level can.
        """
        known = np.ones(len(frame), dtype=bool)
        for factor in (*self.variables.factors.values(), self.response):
            if isinstance(factor, Factor):
                known &= factor.known(frame)
        return known

    def row_levels(self, data: object, factor: str) -> pd.Index:
        """The label of each row's level of a grouping factor, known to the fit or not, shape (N,)."""
        group = self.group(factor)
        return group.row_labels(self._complete(data, group.group.columns))

    def group(self, factor: str) -> GroupLevels:
        """The levels of one grouping factor; raises `DataError` for an unknown name."""
        for group in self.groups:
            if group.name == factor:
                return group
        raise DataError(f"no grouping factor '{factor}'; there are: {', '.join(self.factors)}")

    def predictors(
        self,
        frame: pd.DataFrame,
        encoded: Encoded,
        columns: Mapping[str, NDArray[np.float64]],
        groupings: Sequence[Grouping],
    ) -> Predictors:
        """Predictors from what is encoded already; `columns` are those of the fixed effects, by name."""
        fixed = {name: None if name == INTERCEPT else columns[name] for name in self.fixed_names}
        offset = np.zeros(len(frame)) if self.offsets else constant_rows(0.0, len(frame))
        for shift in self.offsets:
            offset += shift.encode(frame)[:, 0]
        return assemble(fixed, self.parsed.bars, groupings, encoded, offset, frame.index)

    def to_dict(self) -> dict[str, Any]:
        """The specification as JSON data, which `from_dict` reads back exactly."""
        return {
            "version": _VERSION,
            "formula": self.formula,
            "intercept": self.parsed.fixed.intercept,
            "family": self.family,
            "response_is_factor": isinstance(self.response, Factor),
            "response": self.response.to_dict(),
            "variables": self.variables.to_dict(),
            "offsets": [offset.to_dict() for offset in self.offsets],
            "groups": [group.to_dict() for group in self.groups],
            "fixed_names": list(self.fixed_names),
            "weights_column": self.weights_column,
            "weighted": self.weighted,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> DesignSpec:
        """The specification that `to_dict` wrote.

        Raises
        ------
        DataError
            It was written by a version of the package with another layout.
        """
        if data.get("version") != _VERSION:
            raise DataError(
                f"this specification has layout {data.get('version')!r}, but this version of mixedfx reads "
                f"{_VERSION}; fit the model again"
            )
        parsed = parse_formula(data["formula"])
        parsed = replace(parsed, fixed=replace(parsed.fixed, intercept=data["intercept"]))
        name, saved = parsed.response_name, data["response"]
        is_factor = data["response_is_factor"]
        offsets = zip(parsed.fixed.offsets, data["offsets"], strict=True)
        groups = zip(parsed.bars, data["groups"], strict=True)
        return cls(
            parsed,
            data["family"],
            Factor.from_dict(name, saved) if is_factor else Numeric.from_dict(name, parsed.response, saved),
            Variables.from_dict(parsed.variables, data["variables"]),
            tuple(Numeric.from_dict(deparse(node), node, saved) for node, saved in offsets),
            tuple(GroupLevels.from_dict(bar.group, saved) for bar, saved in groups),
            tuple(data["fixed_names"]),
            data["weights_column"],
            data.get("weighted", data["weights_column"] is not None),
        )

    def _complete(self, data: object, columns: tuple[str, ...]) -> pd.DataFrame:
        frame = read_columns(data, columns)
        _, counts = missing_rows(frame)
        if counts:
            raise DataError(
                f"missing values in {counts_text(counts)} of {len(frame)} rows; fill them or leave the rows "
                "out"
            )
        return frame

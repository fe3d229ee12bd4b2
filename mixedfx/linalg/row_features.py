"""Features of sorted rows: those that are constant within a level are stored once a level, the others once a row.

A user's age is the same in all rows of the user, and an item's price in all rows of the item: on 10^7 rows of 10^5
users that is a hundredth of the memory, and the kernels find such values in a small table instead of a long column.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mixedfx.grouping import Grouping
from mixedfx.predictors import CONSTANT

Floats = NDArray[np.float64]

MOST_LEVELS = 0.25
"""A factor with more levels than this share of the rows has no tables: they would save too little."""
DOUBLE_PRECISION_VALUES = 30_000_000
"""Up to so many row values are kept in double precision, beyond it in single, which rounds them by 6e-8."""


@dataclass(frozen=True, eq=False)
class RowFeatures:
    """Where the value of each feature is found.

    A row's values are laid out as [row's own | eliminated level's | next factor's level's | ... | 1]; `position` says
    where a feature lies in this order.

    Attributes
    ----------
    rows
        float32 or float64, C-ordered, shape (F_rows, N), sorted: values that differ within every factor's levels.
    tables
        One a factor, the eliminated one first: float64, shape (J_k, F_k).
    position
        int64, shape (F,).
    """

    rows: NDArray[np.floating]
    tables: tuple[Floats, ...]
    position: NDArray[np.int64]

    @property
    def width(self) -> int:
        """Values a row has, the constant included."""
        return len(self.position) + 1

    def positions(self, columns: NDArray[np.int32]) -> NDArray[np.int64]:
        """Where the values of some features lie; the constant lies last."""
        padded = np.append(self.position, self.width - 1)
        return padded[np.where(columns == CONSTANT, len(self.position), columns)]

    def source(self, feature: int) -> tuple[int, int]:
        """(k, column of ``tables[k]``) where factor k's levels have the feature, or (-1, row of `rows`)."""
        at = int(self.position[feature])
        if at < len(self.rows):
            return -1, at
        at -= len(self.rows)
        for k, table in enumerate(self.tables):
            if at < table.shape[1]:
                return k, at
            at -= table.shape[1]
        raise IndexError(f"there is no feature {feature}")

    def own_column(self, feature: int) -> int:
        """Where the table of the eliminated factor's levels has the feature; -1 where it is not stored there."""
        if feature == CONSTANT:
            return -1
        k, at = self.source(feature)
        return at if k == 0 else -1

    @cached_property
    def flat_tables(self) -> Floats:
        """The tables of the remaining factors, one after the other."""
        return np.concatenate([np.zeros(0), *(table.ravel() for table in self.tables[1:])])

    def column(self, feature: int, ptr: NDArray[np.int64], codes: NDArray[np.int32]) -> Floats:
        """Values of one feature in all sorted rows, shape (N,)."""
        k, at = self.source(feature)
        if k < 0:
            return self.rows[at].astype(np.float64)
        table = self.tables[k]
        return np.repeat(table[:, at], np.diff(ptr)) if k == 0 else table[codes[k - 1], at]


def place_features(features: Floats, groupings: Sequence[Grouping], order: NDArray) -> RowFeatures:
    """Find the features that are constant within levels, and sort the others.

    Parameters
    ----------
    features
        float64, shape (N, F), in the caller's order of rows.
    groupings
        The eliminated factor, then the remaining ones.
    order
        The caller's row number of each sorted row.
    """
    by_row: list[int] = []
    of_factor: list[list[tuple[int, Floats]]] = [[] for _ in groupings]
    for feature in range(features.shape[1]):
        for own, grouping in zip(of_factor, groupings, strict=True):
            table = level_values(features[:, feature], grouping)
            if table is not None:
                own.append((feature, table))
                break
        else:
            by_row.append(feature)
    arranged = [*by_row, *(feature for own in of_factor for feature, _ in own)]
    position = np.empty(len(arranged), dtype=np.int64)
    position[arranged] = np.arange(len(arranged))
    tables = tuple(
        np.column_stack([values for _, values in own]) if own else np.zeros((grouping.n_levels, 0))
        for own, grouping in zip(of_factor, groupings, strict=True)
    )
    return RowFeatures(_sorted_values(features, by_row, order), tables, position)


def level_values(values: Floats, grouping: Grouping) -> Floats | None:
    """The value of each level, shape (J,), or None where a level has several."""
    codes = grouping.codes
    if grouping.n_levels > MOST_LEVELS * len(codes):
        return None
    table = np.zeros(grouping.n_levels)
    for rows in (slice(0, 10_000), slice(None)):  # most features that vary do so within the first rows
        table[codes[rows]] = values[rows]
        if not np.array_equal(table[codes[rows]], values[rows]):
            return None
    return table


def _sorted_values(features: Floats, columns: list[int], order: NDArray) -> NDArray[np.floating]:
    exact = all(np.array_equal(features[:, c].astype(np.float32), features[:, c]) for c in columns)
    small = len(order) * len(columns) <= DOUBLE_PRECISION_VALUES
    out = np.empty((len(columns), len(order)), dtype=np.float64 if small and not exact else np.float32)
    for i, column in enumerate(columns):
        out[i] = features[order, column]
    return out

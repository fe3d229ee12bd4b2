"""Grouping factors: which level each row belongs to, for one column or combinations of several."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.errors import DataError
from mixedfx.formula.formula import Group
from mixedfx.formula.levels import (
    Codes,
    factorize,
    find_codes,
    level_texts,
    levels_from_json,
    levels_to_json,
    plain_index,
    plain_values,
)
from mixedfx.frames import column


@dataclass(frozen=True, eq=False)
class GroupLevels:
    """The levels of one grouping factor, to encode new data.

    Attributes
    ----------
    group
        Its name and columns.
    parts
        Levels of each column.
    keys
        int64, rising, shape (J,): each level's combination of part codes as one number, the first column
        varying slowest. For a single column 0..J-1.
    levels
        Labels, shape (J,): those of the column, or ``"a:A"`` for combinations.
    """

    group: Group
    parts: tuple[pd.Index, ...]
    keys: NDArray[np.int64]
    levels: pd.Index

    @property
    def name(self) -> str:
        return self.group.name

    def encode(self, frame: pd.DataFrame) -> Codes:
        """Level of each row, -1 where the fitted data did not have it."""
        codes = [find_codes(column(frame, c), p) for c, p in zip(self.group.columns, self.parts, strict=True)]
        if len(codes) == 1:
            return codes[0]
        keys = _combine(codes, [len(p) for p in self.parts])
        place = np.searchsorted(self.keys, keys)
        place[place == len(self.keys)] = 0
        known = (self.keys[place] == keys) & np.all([c >= 0 for c in codes], axis=0)
        return np.where(known, place, -1).astype(np.int32)

    def row_labels(self, frame: pd.DataFrame) -> pd.Index:
        """The label of each row's level, whether the fitted data had it or not, shape (N,)."""
        columns = [plain_index(pd.Index(plain_values(column(frame, c)))) for c in self.group.columns]
        return columns[0] if len(columns) == 1 else _labels(columns)

    def to_dict(self) -> dict[str, Any]:
        """JSON data."""
        keys = self.keys.tolist() if len(self.parts) > 1 else None
        return {"parts": [levels_to_json(part) for part in self.parts], "keys": keys}

    @classmethod
    def from_dict(cls, group: Group, data: dict[str, Any]) -> GroupLevels:
        parts = tuple(levels_from_json(part) for part in data["parts"])
        if len(parts) == 1:
            return cls(group, parts, np.arange(len(parts[0])), parts[0])
        keys = np.array(data["keys"], dtype=np.int64)
        return cls(group, parts, keys, _combined_levels(parts, keys))


def fit_group(group: Group, frame: pd.DataFrame) -> tuple[GroupLevels, Codes]:
    """Levels of a grouping factor and each row's code; combinations that do not occur are left out.

    Raises
    ------
    DataError
        The factor has one level only.
    """
    fitted = [factorize(column(frame, c)) for c in group.columns]
    parts = tuple(levels for _, levels in fitted)
    if len(parts) == 1:
        codes, keys, levels = fitted[0][0], np.arange(len(parts[0])), parts[0]
    else:
        combined = _combine([c for c, _ in fitted], [len(p) for p in parts])
        unordered, distinct = pd.factorize(combined)
        order = np.argsort(distinct)
        rank = np.empty(len(order), dtype=np.int32)
        rank[order] = np.arange(len(order), dtype=np.int32)
        codes, keys = rank[unordered], distinct[order]
        levels = _combined_levels(parts, keys)
    if len(levels) < 2:
        raise DataError(
            f"grouping factor '{group.name}' has one level only ({level_texts(levels)[0]}); a variance "
            "between levels needs at least two: take its bar term out of the formula"
        )
    return GroupLevels(group, parts, keys, levels), codes


def _combine(codes: list[Codes], sizes: list[int]) -> NDArray[np.int64]:
    if np.prod([float(s) for s in sizes]) >= 2**62:
        raise DataError("the columns of a combined grouping factor have too many levels to be combined")
    keys = codes[0].astype(np.int64)
    for more, size in zip(codes[1:], sizes[1:], strict=True):
        keys *= size
        keys += more
    return keys


def _combined_levels(parts: tuple[pd.Index, ...], keys: NDArray[np.int64]) -> pd.Index:
    columns: list[pd.Index] = []
    rest = keys
    for part in reversed(parts):
        rest, code = np.divmod(rest, len(part))
        columns.insert(0, part[code])
    return _labels(columns)


def _labels(columns: list[pd.Index]) -> pd.Index:
    texts = [np.array(level_texts(level), dtype=object) for level in columns]
    joined = texts[0]
    for more in texts[1:]:
        joined = joined + ":" + more
    return plain_index(pd.Index(joined))

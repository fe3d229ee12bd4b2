"""Grouping factors: which level each row belongs to, for one column or combinations of several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.errors import DataError
from mixedfx.formula.formula import Group
from mixedfx.formula.levels import (
    factorize,
    find_codes,
    level_texts,
    levels_from_json,
    levels_to_json,
    plain_values,
)
from mixedfx.formula.numbering import Codes, LookupTable, find_values, number_values, plain_index
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
        Labels, shape (J,): those of the column, or ``"a:A"`` for combinations. A colon within a label of any column but
        the last is written ``"\\:"`` there, and a backslash twice, so that no two combinations look the same.
    """

    group: Group
    parts: tuple[pd.Index, ...]
    keys: NDArray[np.int64]
    levels: pd.Index

    @property
    def name(self) -> str:
        return self.group.name

    @cached_property
    def _tables(self) -> tuple[LookupTable | None, ...]:
        return tuple(LookupTable.of(part) for part in self.parts)

    @cached_property
    def _key_table(self) -> LookupTable | None:
        return LookupTable.of(pd.Index(self.keys))

    def encode(self, frame: pd.DataFrame) -> Codes:
        """Level of each row, -1 where the fitted data did not have it.

        Raises
        ------
        DataError
            A column is of another type than in the fit.
        """
        parts = zip(self.group.columns, self.parts, self._tables, strict=True)
        codes = [find_codes(column(frame, c), part, table) for c, part, table in parts]
        if len(codes) == 1:
            return codes[0]
        keys, sizes = pd.Index(self.keys), [len(p) for p in self.parts]
        return find_values(lambda rows: _combine(codes, sizes, rows), len(frame), keys, self._key_table)

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
        sizes = [len(p) for p in parts]
        if np.prod([float(s) for s in sizes]) >= 2**62:
            raise DataError(f"the columns of '{group.name}' have too many levels to be combined")
        columns = [c for c, _ in fitted]
        codes, distinct = number_values(lambda rows: _combine(columns, sizes, rows), len(frame))
        keys = distinct.to_numpy()
        levels = _combined_levels(parts, keys)
    if len(levels) < 2:
        raise DataError(
            f"grouping factor '{group.name}' has one level only ({level_texts(levels)[0]}); a variance "
            "between levels needs at least two: take its bar term out of the formula"
        )
    return GroupLevels(group, parts, keys, levels), codes


def _combine(codes: Sequence[Codes], sizes: Sequence[int], rows: slice) -> NDArray[np.int64]:
    """Combinations of codes as one number, -1 where one of them is -1."""
    keys = codes[0][rows].astype(np.int64)
    known = keys >= 0
    for part, size in zip(codes[1:], sizes[1:], strict=True):
        more = part[rows]
        keys *= size
        keys += more
        known &= more >= 0
    keys[~known] = -1
    return keys


def _combined_levels(parts: tuple[pd.Index, ...], keys: NDArray[np.int64]) -> pd.Index:
    columns: list[pd.Index] = []
    rest = keys
    for part in reversed(parts):
        rest, code = np.divmod(rest, len(part))
        columns.insert(0, part[code])
    return _labels(columns)


def _labels(columns: list[pd.Index]) -> pd.Index:
    texts = [level_texts(level) for level in columns]
    parts = [np.array(_escaped(own), dtype=object) for own in texts[:-1]]
    joined = np.array(texts[-1], dtype=object)
    for part in reversed(parts):
        joined = part + ":" + joined
    return plain_index(pd.Index(joined))


def _escaped(texts: list[str]) -> list[str]:
    """With colons and backslashes marked: ("p:q", "r") and ("p", "q:r") are two levels."""
    return [
        text.replace("\\", "\\\\").replace(":", "\\:") if ":" in text or "\\" in text else text
        for text in texts
    ]

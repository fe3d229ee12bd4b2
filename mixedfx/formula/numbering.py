"""Distinct values numbered in their order, and found again: chunk by chunk, so that codes are all that grows.

Integers within a moderate range are looked up in a table; everything else is hashed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.row_chunks import ROWS_AT_ONCE, row_chunks

Codes = NDArray[np.int32]
Read = Callable[[slice], Any]
"""The values of some rows, none missing: a NumPy or pandas array."""

_SMALL_RANGE = 2**16
_TABLE_PER_LEVEL = 8
_PARTS = 16
"""A column is hashed in about so many parts: their distinct values are kept until all are known."""


@dataclass(frozen=True, eq=False)
class LookupTable:
    """Code of each integer from `low` on; the last entry, -1, is for all others.

    Attributes
    ----------
    low
        The integer that the first entry is of.
    codes
        int32, shape (range + 1,); -1 for integers without a code.
    """

    low: int
    codes: Codes

    @classmethod
    def of(cls, levels: pd.Index) -> LookupTable | None:
        """The positions of integer levels; None for others, and where their range is wide for their number."""
        if levels.dtype.kind not in "iu" or not len(levels):
            return None
        values = levels.to_numpy()
        low, high = int(values.min()), int(values.max())
        span = high - low + 1
        if span > _SMALL_RANGE + _TABLE_PER_LEVEL * len(levels):
            return None
        codes = np.full(span + 1, -1, dtype=np.int32)
        codes[_above(values, low).view(np.int64)] = np.arange(len(levels), dtype=np.int32)
        return cls(low, codes)

    def find(self, values: NDArray[Any]) -> Codes:
        """The codes of integers."""
        # Below `low` the difference wraps round to a large number, which is beyond the range as well.
        place = np.minimum(_above(values, self.low), np.uint64(len(self.codes) - 1))
        return self.codes[place.view(np.int64)]


def number_values(read: Read, n_rows: int) -> tuple[Codes, pd.Index]:
    """Each row's position among the sorted distinct values, int32, shape (N,), and these values, shape (J,).

    Raises
    ------
    TypeError
        The values cannot be sorted.
    """
    if n_rows and _holds_integers(read(slice(0, 1))):
        low, high = _range(read, n_rows)
        if high - low < max(n_rows, _SMALL_RANGE):
            return _by_table(read, n_rows, low, high)
    return _by_hash(read, n_rows)


def find_values(read: Read, n_rows: int, levels: pd.Index, table: LookupTable | None) -> Codes:
    """Each row's position in `levels`, int32, shape (N,), -1 where it is not there; `table` is `levels`' own."""
    out = np.empty(n_rows, dtype=np.int32)
    for rows in row_chunks(n_rows):
        out[rows] = _find(read(rows), levels, table)
    return out


def _find(values: Any, levels: pd.Index, table: LookupTable | None) -> NDArray[Any]:
    kind = values.dtype.kind if isinstance(values, np.ndarray) else "O"
    if kind == "f" and levels.dtype.kind in "iu":
        # Beyond 2^53 neighbouring integers are the same float: such a number is no level for certain.
        whole = (np.abs(values) <= 2.0**53) & (values == np.floor(values))
        if levels.dtype.kind == "u":
            whole &= values >= 0
        return np.where(whole, _find(np.where(whole, values, 0).astype(np.int64), levels, table), -1)
    if table is not None and _holds_integers(values):
        return table.find(values)
    if kind in "iuf":
        return levels.get_indexer(pd.Index(values))
    # Looking up each distinct value once is cheaper than each row, and repeats are the rule.
    codes, distinct = pd.factorize(values)
    return np.append(levels.get_indexer(plain_index(pd.Index(distinct))), -1)[codes]


def plain_index(index: pd.Index) -> pd.Index:
    """An index of levels in the dtype that a plain pandas column of the same values would have."""
    dtype = index.dtype
    if isinstance(dtype, np.dtype) and dtype.kind in "iufb":
        return index
    if dtype.kind in "iufb":
        return pd.Index(index.to_numpy(dtype=getattr(dtype, "numpy_dtype", np.dtype(np.float64))))
    if dtype.kind == "M":
        return pd.DatetimeIndex(index)
    return pd.Index(index.tolist())


def _holds_integers(values: Any) -> bool:
    return isinstance(values, np.ndarray) and values.dtype.kind in "iu"


def _above(values: NDArray[Any], low: int) -> NDArray[np.uint64]:
    """values - low modulo 2^64."""
    wide = values if values.dtype == np.uint64 else values.astype(np.int64, copy=False).view(np.uint64)
    return wide - np.uint64(low % 2**64)


def _range(read: Read, n_rows: int) -> tuple[int, int]:
    ends = [(int(v.min()), int(v.max())) for v in map(read, row_chunks(n_rows))]
    return min(low for low, _ in ends), max(high for _, high in ends)


def _by_table(read: Read, n_rows: int, low: int, high: int) -> tuple[Codes, pd.Index]:
    present = np.zeros(high - low + 1, dtype=bool)
    for rows in row_chunks(n_rows):
        present[_above(read(rows), low).view(np.int64)] = True
    rank = np.cumsum(present, dtype=np.int32)
    rank -= 1
    codes = np.empty(n_rows, dtype=np.int32)
    for rows in row_chunks(n_rows):
        codes[rows] = rank[_above(read(rows), low).view(np.int64)]
    dtype = read(slice(0, 1)).dtype
    return codes, pd.Index(np.flatnonzero(present).astype(dtype) + dtype.type(low))


def _by_hash(read: Read, n_rows: int) -> tuple[Codes, pd.Index]:
    codes = np.empty(n_rows, dtype=np.int32)
    parts = list(row_chunks(n_rows, max(ROWS_AT_ONCE, -(-n_rows // _PARTS))))
    distinct: list[pd.Index] = []
    for rows in parts:
        codes[rows], values = pd.factorize(read(rows))
        distinct.append(pd.Index(values))
    if not distinct:
        return codes, pd.Index([])
    every = distinct[0] if len(distinct) == 1 else distinct[0].append(distinct[1:]).unique()
    levels = plain_index(every)
    order = np.asarray(levels.argsort())
    for rows, values in zip(parts, distinct, strict=True):
        codes[rows] = _ranks(order, every, values)[codes[rows]]
    return codes, levels[order]


def _ranks(order: NDArray[np.intp], every: pd.Index, values: pd.Index) -> Codes:
    """Position after sorting of each of the distinct `values` of one part."""
    rank = np.empty(len(order), dtype=np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    return rank if values is every else rank[every.get_indexer(values)]

"""Values numbered in their order, by table and by hash, and found again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from mixedfx.formula import numbering
from mixedfx.formula.numbering import LookupTable, find_values, number_values

EXTREMES = {
    "int8": [-128, 127, 0, -128],
    "uint8": [255, 0, 7, 255],
    "int64": [-(2**63), 2**63 - 1, 0, -(2**63)],
    "uint64": [2**64 - 1, 2**64 - 4, 2**64 - 1, 2**64 - 2],
    "negative": [-5, -9, -5, 3],
    "sparse": [10**12, 5, 10**15, 5],
}


def dtype_of(kind: str) -> str:
    return kind if "int" in kind else "int64"


@pytest.mark.parametrize("kind", EXTREMES)
def test_integers_as_numpy_sorts_them(kind: str) -> None:
    values = np.array(EXTREMES[kind], dtype=dtype_of(kind))
    codes, levels = number_values(lambda rows: values[rows], len(values))
    expected, inverse = np.unique(values, return_inverse=True)
    assert codes.dtype == np.int32
    assert levels.dtype == values.dtype
    assert levels.tolist() == expected.tolist()
    assert codes.tolist() == inverse.tolist()


@pytest.mark.parametrize("span", [50, 10**9], ids=["table", "hash"])
def test_chunks_do_not_show(span: int, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).integers(-span, span, 1000)
    monkeypatch.setattr(numbering, "ROWS_AT_ONCE", 16)
    codes, levels = number_values(lambda rows: values[rows], len(values))
    expected, inverse = np.unique(values, return_inverse=True)
    assert levels.tolist() == expected.tolist()
    assert codes.tolist() == inverse.tolist()


@pytest.mark.parametrize("kind", EXTREMES)
def test_a_table_finds_what_an_index_finds(kind: str) -> None:
    values = np.array(EXTREMES[kind], dtype=dtype_of(kind))
    levels = pd.Index(np.unique(values)[:2])
    ends = np.iinfo(values.dtype)
    asked = np.concatenate([values, np.array([ends.min, ends.max, 1], dtype=values.dtype)])
    table = LookupTable.of(levels)
    assert (table is None) == (int(levels[1]) - int(levels[0]) > 10**6)
    found = find_values(lambda rows: asked[rows], len(asked), levels, table)
    place = {level: code for code, level in enumerate(levels.tolist())}
    assert found.tolist() == [place.get(value, -1) for value in asked.tolist()]


@pytest.mark.parametrize("dtype", ["int64", "uint16"])
def test_floats_find_equal_integers(dtype: str) -> None:
    levels = pd.Index(np.array([3, 7, 9], dtype=dtype))
    asked: NDArray[Any] = np.array([7.0, 7.5, -3.0, 3.0, 2.0**60, np.inf])
    found = find_values(lambda rows: asked[rows], len(asked), levels, LookupTable.of(levels))
    assert found.tolist() == [1, -1, -1, 0, -1, -1]


def test_floats_beyond_the_integers_they_can_hold_find_nothing() -> None:
    # 2^53 + 1 is no float: the nearest, 2^53, must not find it.
    levels = pd.Index([2**53 + 1, 2**60])
    asked = np.array([2.0**53, 2.0**60])
    assert find_values(lambda rows: asked[rows], 2, levels, LookupTable.of(levels)).tolist() == [-1, -1]

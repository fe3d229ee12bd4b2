"""A core is the k-core of the graph of levels, or what is left of it on the way to the next."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mixedfx.grouping import Grouping
from mixedfx.subsample.core import core_rows


def groupings(users: np.ndarray, items: np.ndarray) -> list[Grouping]:
    return [
        Grouping(name, codes.astype(np.int32), pd.RangeIndex(int(codes.max()) + 1))
        for name, codes in (("user", users), ("item", items))
    ]


def k_core_by_hand(users: np.ndarray, items: np.ndarray, k: int) -> np.ndarray:
    """One level at a time, the plain definition."""
    rows = np.arange(len(users))
    while len(rows):
        for codes in (users, items):
            levels, counts = np.unique(codes[rows], return_counts=True)
            if counts.min() < k:
                rows = rows[codes[rows] != levels[counts.argmin()]]
                break
        else:
            return rows
    return rows


def test_a_stable_core_of_the_wanted_size_is_the_k_core() -> None:
    rng = np.random.default_rng(0)
    users, items = (60 * rng.random(2000) ** 2).astype(int), (40 * rng.random(2000) ** 2).astype(int)
    for k in (15, 25, 30):
        expected = k_core_by_hand(users, items, k)
        assert 0 < len(expected) < 2000
        np.testing.assert_array_equal(core_rows(groupings(users, items), len(expected)), expected)


def test_a_dense_block_is_found_among_sparse_rows() -> None:
    """20 x 20 pairs that all occur, and 2,000 rows of levels with ten rows each."""
    block = np.arange(400)
    users = np.concatenate([block // 20, 20 + np.arange(2000) % 200])
    items = np.concatenate([block % 20, 20 + np.random.default_rng(0).permutation(np.arange(2000) % 200)])
    np.testing.assert_array_equal(core_rows(groupings(users, items), 400), block)


def test_data_without_a_smaller_core_are_taken_whole() -> None:
    """Balanced: the first round would take everything."""
    cells = np.arange(900)
    assert len(core_rows(groupings(cells // 30, cells % 30), 100)) == 900

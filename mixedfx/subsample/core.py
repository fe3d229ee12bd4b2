"""A dense core of the data: the rows of the levels that stay active among each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mixedfx.grouping import Grouping


def core_rows(groupings: Sequence[Grouping], n_rows: int) -> NDArray[np.int64]:
    """Positions of about `n_rows` rows of a k-core.

    The k-core is what is left when levels with fewer than k rows are taken out, and so on until every level has k rows
    left. It is computed for the largest k that leaves `n_rows`, and then peeled for k + 1, round by round, as long as
    more than `n_rows` are left: often no core of just that size is stable, since beyond some k all falls apart.
    """
    low, high = 1, len(groupings[0].codes) + 1
    core = np.arange(len(groupings[0].codes))
    while high - low > 1:
        k = (low + high) // 2
        smaller = _peel(core, groupings, k, n_rows, whole=True)
        if len(smaller) >= n_rows:
            low, core = k, smaller
        else:
            high = k
    return _peel(core, groupings, low + 1, n_rows, whole=False)


def _peel(
    rows: NDArray[np.int64], groupings: Sequence[Grouping], k: int, n_rows: int, *, whole: bool
) -> NDArray[np.int64]:
    """Rounds of taking out levels with fewer than `k` rows, until stable or fewer than `n_rows` are left.

    `whole` False stops before the last round of these, or takes it where that comes nearer to `n_rows`.
    """
    while True:
        keep = np.ones(len(rows), dtype=bool)
        for grouping in groupings:
            codes = grouping.codes[rows]
            keep &= np.bincount(codes, minlength=grouping.n_levels)[codes] >= k
        left = rows[keep]
        if len(left) == len(rows):
            return rows
        if len(left) < n_rows:
            nearer = len(left) > 0 and n_rows - len(left) < len(rows) - n_rows
            return left if whole or nearer else rows
        rows = left

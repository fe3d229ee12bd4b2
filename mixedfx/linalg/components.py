"""Independent parts of the Schur complement, and where their entries are kept.

Columns of the rest that no chain of levels connects do not meet in the Schur complement: for nested factors its random
part consists of many small blocks, for crossed ones usually of one large block. Only the lower triangles of the blocks
are kept, one after the other in a flat array, and behind them the rows of beta, which meets everything.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mixedfx.linalg.connectivity import components_of_rest
from mixedfx.linalg.layout import Block, RowLayout

Floats = NDArray[np.float64]

LARGE = 64
"""Parts with so many columns are dealt with one by one, smaller ones of equal size together."""


@dataclass(frozen=True, eq=False)
class Group:
    """Parts of equal size.

    Attributes
    ----------
    columns
        Their columns of the rest, rising within each, shape (parts, size).
    start
        Where their entries begin in the flat array.
    """

    columns: NDArray[np.int64]
    start: int

    @property
    def size(self) -> int:
        return self.columns.shape[1]

    def of(self, flat: Floats) -> Floats:
        """Their entries, a view of shape (parts, size, size)."""
        parts, size = self.columns.shape
        return flat[self.start : self.start + parts * size**2].reshape(parts, size, size)


@dataclass(frozen=True, eq=False)
class Components:
    """The parts, and addresses in the flat array.

    Attributes
    ----------
    n, p
        Columns of the remaining factors, and of X.
    groups
        All parts.
    row
        int64 (n + p,): where the row of a column begins. The entry of a later column i and an earlier one c of its part
        is at ``row[i] + place[c]``; that of beta's row i and any column c at ``row[i] + c``.
    place
        int64 (n,): position of a column within its part.
    """

    n: int
    p: int
    groups: tuple[Group, ...]
    row: NDArray[np.int64]
    place: NDArray[np.int64]

    @classmethod
    def of(cls, layout: RowLayout) -> Components:
        """From the codes of the rows."""
        labels, n = components_of_rest(layout), layout.beta_start
        _, labels, sizes = np.unique(labels, return_inverse=True, return_counts=True)
        of_column = sizes[labels]
        # A large part is a group of its own.
        key = np.where(of_column < LARGE, 0, labels + 1)
        order = np.lexsort((np.arange(n), labels, key, of_column))
        row, place = np.empty(n + layout.p, dtype=np.int64), np.empty(n, dtype=np.int64)
        groups, start, first = [], 0, 0
        while first < n:
            size, own = int(of_column[order[first]]), key[order[first]]
            last = first + int(np.count_nonzero((of_column == size) & (key == own)))
            columns = order[first:last].reshape(-1, size)
            place[columns] = np.arange(size)
            row[columns] = start + size**2 * np.arange(len(columns))[:, None] + size * np.arange(size)
            groups.append(Group(columns, start))
            start, first = start + columns.size * size, last
        row[n:] = start + np.arange(layout.p) * layout.alpha_start
        return cls(n, layout.p, tuple(groups), row, place)

    @cached_property
    def entries(self) -> int:
        """Length of the flat array."""
        blocks = sum(group.columns.size * group.size for group in self.groups)
        return blocks + self.p * (self.n + self.p)

    def address(self, later: NDArray, earlier: NDArray) -> NDArray[np.int64]:
        """Where the entries of pairs of columns are."""
        beta = later >= self.n
        return self.row[later] + np.where(
            beta, earlier, self.place[np.where(beta, 0, earlier)] if self.n else 0
        )

    def beta_rows(self, flat: Floats) -> Floats:
        """Rows of beta, a view of shape (p, n + p)."""
        return flat[len(flat) - self.p * (self.n + self.p) :].reshape(self.p, self.n + self.p)

    def level_blocks(self, flat: Floats, block: Block) -> Floats:
        """One factor's diagonal blocks, shape (J, q, q)."""
        columns = block.start + np.arange(block.n_levels * block.q).reshape(block.n_levels, block.q)
        out = np.empty((block.n_levels, block.q, block.q))
        for i in range(block.q):
            for h in range(i + 1):
                out[:, i, h] = out[:, h, i] = flat[self.row[columns[:, i]] + self.place[columns[:, h]]]
        return out

"""Which levels are compared with which: components of the graph that has a level for a node and a row for an edge.

Levels of different components meet in no row, nor through others. What the data say of their difference is only what
the prior lets them say.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedfx.linalg.layout import RowLayout


@dataclass(frozen=True)
class Connectivity:
    """Components of the graph of levels.

    Attributes
    ----------
    components
        How many there are.
    largest_share
        Share of the rows that the largest has.
    """

    components: int
    largest_share: float


def connectivity(layout: RowLayout) -> Connectivity:
    """Components over the levels of all factors: one traversal of the rows."""
    component = _components(layout)[: layout.n_levels]  # of the eliminated levels, each with its rows
    rows = np.bincount(component, np.diff(layout.ptr))
    return Connectivity(int(np.count_nonzero(rows)), float(rows.max() / layout.n_rows))


def components_of_rest(layout: RowLayout) -> NDArray[np.int64]:
    """A number for each column of the remaining factors, shape (n,): equal where rows connect them."""
    levels = _components(layout)[layout.n_levels :]
    widths = [np.full(b.n_levels, b.q) for b in layout.rest]
    return np.repeat(levels, np.concatenate([np.zeros(0, dtype=np.int64), *widths]))


def _components(layout: RowLayout) -> NDArray[np.int64]:
    """The component of each level, those of the eliminated factor first: the number of its first level."""
    from mixedfx.linalg.connectivity_kernel import join

    starts = np.cumsum([block.n_levels for block in layout.blocks], dtype=np.int64)
    parent = np.arange(int(starts[-1]), dtype=np.int64)
    join(layout.ptr, layout.codes, starts[:-1], parent)
    return _roots(parent)


def _roots(parent: NDArray[np.int64]) -> NDArray[np.int64]:
    while True:
        above = parent[parent]
        if np.array_equal(above, parent):
            return parent
        parent = above

"""One subsample: its rows, how many levels they have, and whether they hang together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mixedfx.grouping import Grouping


@dataclass(frozen=True, eq=False)
class Draw:
    """One subsample.

    Attributes
    ----------
    factor
        The factor whose covariance block is read from these rows; None: all blocks.
    sampled
        The factor whose levels were drawn; None where rows were drawn, levels of several factors, a core, or
        everything was taken.
    rows
        int64, rising: positions of the rows taken.
    n_levels
        Factor -> number of its levels that have rows here.
    components
        Connected components of the graph that links the levels of each row: effects of levels in different
        components are compared by the model only, not by data. One factor alone links nothing.
    largest_component
        Share of the rows that are in the component with the most rows.
    replicate
        Which of the replicates it belongs to, from 0.
    """

    factor: str | None
    sampled: str | None
    rows: NDArray[np.int64]
    n_levels: Mapping[str, int]
    components: int
    largest_component: float
    replicate: int = 0

    @property
    def n_rows(self) -> int:
        return len(self.rows)


def describe(
    factor: str | None,
    sampled: str | None,
    rows: NDArray[np.int64],
    groupings: Sequence[Grouping],
    replicate: int = 0,
) -> Draw:
    """The `Draw` of these rows, its levels and components counted."""
    codes = [grouping.codes[rows] for grouping in groupings]
    n_levels = {g.name: len(np.unique(c)) for g, c in zip(groupings, codes, strict=True)}
    components, largest = _connectivity(codes, [grouping.n_levels for grouping in groupings])
    return Draw(factor, sampled, rows, n_levels, components, largest, replicate)


def _connectivity(codes: Sequence[NDArray[np.int32]], sizes: Sequence[int]) -> tuple[int, float]:
    """Components of the graph whose nodes are the levels that occur, and the largest's share of the rows.

    The levels of a row are linked to each other, for which links from each factor to the next are enough.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    if not len(codes[0]):
        return 0, 0.0
    starts = np.concatenate([[0], np.cumsum(sizes)])
    nodes = [c + start for c, start in zip(codes, starts[:-1], strict=True)]
    # Boolean, because repeated pairs are summed: True + True is True, where a small integer would wrap round.
    graph = csr_array((starts[-1], starts[-1]), dtype=bool)
    linked = np.ones(len(nodes[0]), dtype=bool)
    for a, b in pairwise(nodes):
        graph = graph + csr_array((linked, (a, b)), shape=graph.shape)
    _, labels = connected_components(graph, directed=False)
    rows = np.bincount(labels[nodes[0]])
    return int(np.count_nonzero(rows)), float(rows.max() / rows.sum())

"""Which rows stage 1 learns the covariances from.

Sampling bends variances. The covariance of a factor is read from a random sample of *its* levels with all
their rows, the other factors a nuisance (strategy ``"per-factor"``); random rows thin every level and shift
all variances, and a dense core of active levels is no sample of the levels at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from numbers import Real

import numpy as np
from numpy.typing import NDArray

from mixedfx.arguments import check_choice, check_whole_number
from mixedfx.errors import SettingError
from mixedfx.grouping import Grouping

STRATEGIES = ("levels", "rows", "per-factor")
DEFAULT_ROWS = 20_000
ENOUGH_LEVELS = 50
"""A size in rows that leaves a factor fewer levels than this leads to sampling another factor's levels."""


@dataclass(frozen=True, eq=False)
class Draw:
    """One subsample.

    Attributes
    ----------
    factor
        The factor whose covariance block is read from these rows; None: all blocks.
    sampled
        The factor whose levels were drawn; None where rows were drawn, or everything was taken.
    rows
        int64, rising: positions of the rows taken.
    n_levels
        Factor -> number of its levels that have rows here.
    components
        Connected components of the graph that links the levels of each row: effects of levels in different
        components are compared by the model only, not by data. One factor alone links nothing.
    largest_component
        Share of the rows that are in the component with the most rows.
    """

    factor: str | None
    sampled: str | None
    rows: NDArray[np.int64]
    n_levels: Mapping[str, int]
    components: int
    largest_component: float

    @property
    def n_rows(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Subsample:
    """How to draw the rows that stage 1 learns from.

    Parameters
    ----------
    strategy
        ``"per-factor"``: for each factor random levels of it with all their rows, its covariance read from
        there. ``"levels"``: random levels of one factor with all their rows. ``"rows"``: random rows.
    n_rows, n_levels, fraction
        The size, in one of three ways: about so many rows (exactly, for "rows"), so many levels of the
        sampled factor, or this share of its levels (of the rows, for "rows"). A factor that has fewer levels
        is taken whole. By default about 20,000 rows; data that have no more are taken whole.
    target_se
        Not available yet.
    factor
        The factor to sample for "levels"; by default the one with the most levels.
    replicates
        Only 1 is available yet.
    seed
        The same seed draws the same levels.

    Raises
    ------
    SettingError
        A setting has a value that is not allowed, or does not go with another.

    Notes
    -----
    The relative standard error of a variance is about sqrt(2/J)/reliability with J levels. Where a size in
    rows would leave a factor fewer than 50 levels (they have many rows each), "per-factor" draws levels of
    the factor with the most levels instead: the levels of the small factor then stay, with part of their
    rows. Give `n_levels` to have the small factor itself sampled.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> user = Grouping("user", np.repeat(np.arange(100, dtype=np.int32), 50), pd.RangeIndex(100))
    >>> item = Grouping("item", np.tile(np.arange(50, dtype=np.int32), 100), pd.RangeIndex(50))
    >>> [(d.factor, d.n_rows, dict(d.n_levels)) for d in Subsample(n_levels=20).plan([user, item])]
    [('user', 1000, {'user': 20, 'item': 50}), ('item', 2000, {'user': 100, 'item': 20})]
    """

    strategy: str = "per-factor"
    n_rows: int | None = None
    n_levels: int | None = None
    fraction: float | None = None
    target_se: float | None = None
    factor: str | None = None
    replicates: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        check_choice("subsample strategy", self.strategy, STRATEGIES)
        if self.target_se is not None:
            raise SettingError(
                "subsample setting target_se is not available; give the size as n_rows, n_levels or fraction"
            )
        if isinstance(self.replicates, bool) or not isinstance(self.replicates, int) or self.replicates != 1:
            raise SettingError(f"subsample setting replicates is {self.replicates!r}; only 1 is available")
        _check_count("n_rows", self.n_rows, 2)
        _check_count("n_levels", self.n_levels, 2)
        _check_count("seed", self.seed, 0)
        if self.fraction is not None and not (_is_real(self.fraction) and 0 < self.fraction <= 1):
            raise SettingError(
                f"subsample setting fraction is {self.fraction!r}; it must be above 0 and at most 1"
            )
        sizes = [name for name in ("n_rows", "n_levels", "fraction") if getattr(self, name) is not None]
        if len(sizes) > 1:
            raise SettingError(f"subsample settings {' and '.join(sizes)} both give the size; keep one")
        if self.strategy == "rows" and self.n_levels is not None:
            raise SettingError("subsample strategy 'rows' draws rows: give n_rows or fraction, not n_levels")
        if self.factor is not None and self.strategy != "levels":
            raise SettingError(
                f"subsample setting factor goes with strategy 'levels', not {self.strategy!r}; leave it out"
            )

    def plan(self, groupings: Sequence[Grouping]) -> tuple[Draw, ...]:
        """The subsamples to fit: one, or for "per-factor" one a factor.

        Parameters
        ----------
        groupings
            The grouping factors of the data, all of N rows.

        Returns
        -------
        One `Draw` (`factor` None), or one for each factor. Draws that sample the same factor share their
        `rows` array. Where every draw would take all rows there is only one.

        Raises
        ------
        SettingError
            `factor` is not a grouping factor, or a factor would keep fewer than 2 levels.
        """
        N = len(groupings[0].codes)
        if self._takes_all(N):
            draws = (_draw(None, None, np.arange(N), groupings),)
        elif self.strategy == "rows":
            draws = (_draw(None, None, self._sample_rows(N), groupings),)
        elif self.strategy == "levels":
            sampled = self._chosen(groupings)
            rows = self._rows_of_levels(sampled, groupings, self._level_count(groupings[sampled], N))
            draws = (_draw(None, groupings[sampled].name, rows, groupings),)
        else:
            draws = self._per_factor(groupings, N)
        for draw in draws:
            self._check_levels(draw)
        return draws

    def _per_factor(self, groupings: Sequence[Grouping], N: int) -> tuple[Draw, ...]:
        rows: dict[int, NDArray[np.int64]] = {}
        draws = []
        for position, grouping in enumerate(groupings):
            sampled = position
            if self._in_rows and self._level_count(grouping, N) < min(ENOUGH_LEVELS, grouping.n_levels):
                sampled = _largest(groupings)
            if sampled not in rows:
                rows[sampled] = self._rows_of_levels(
                    sampled, groupings, self._level_count(groupings[sampled], N)
                )
            draws.append(_draw(grouping.name, groupings[sampled].name, rows[sampled], groupings))
        if all(draw.n_rows == N for draw in draws):
            return (_draw(None, None, np.arange(N), groupings),)
        return tuple(draws)

    @property
    def _in_rows(self) -> bool:
        return self.n_levels is None and self.fraction is None

    def _takes_all(self, N: int) -> bool:
        return self._in_rows and (self.n_rows or DEFAULT_ROWS) >= N

    def _sample_rows(self, N: int) -> NDArray[np.int64]:
        n = (self.n_rows or DEFAULT_ROWS) if self.fraction is None else max(1, round(self.fraction * N))
        return np.sort(np.random.default_rng(self.seed).choice(N, size=n, replace=False))

    def _level_count(self, grouping: Grouping, N: int) -> int:
        """How many levels of a factor to draw; its levels have N / J rows each on average."""
        J = grouping.n_levels
        if self.n_levels is not None:
            return min(self.n_levels, J)
        share = (self.n_rows or DEFAULT_ROWS) / N if self.fraction is None else self.fraction
        return min(max(round(share * J), 2), J)

    def _rows_of_levels(self, position: int, groupings: Sequence[Grouping], n: int) -> NDArray[np.int64]:
        grouping = groupings[position]
        # A stream for each factor: whether another one is sampled does not change the levels drawn here.
        rng = np.random.default_rng([self.seed, position])
        keep = np.zeros(grouping.n_levels, dtype=bool)
        keep[rng.choice(grouping.n_levels, size=n, replace=False)] = True
        return np.flatnonzero(keep[grouping.codes])

    def _chosen(self, groupings: Sequence[Grouping]) -> int:
        names = [grouping.name for grouping in groupings]
        if self.factor is None:
            return _largest(groupings)
        if self.factor not in names:
            raise SettingError(
                f"subsample setting factor is {self.factor!r}, which is not a grouping factor; there are: "
                f"{', '.join(names)}"
            )
        return names.index(self.factor)

    def _check_levels(self, draw: Draw) -> None:
        for factor, n in draw.n_levels.items():
            if n < 2:
                whole = "rows" if draw.sampled is None else f"levels of factor '{draw.sampled}'"
                raise SettingError(
                    f"the subsample of {draw.n_rows} rows keeps {n} level of factor '{factor}', but a "
                    f"variance needs at least 2; draw more {whole} ({self._size_setting()})"
                )

    def _size_setting(self) -> str:
        for name in ("n_levels", "fraction", "n_rows"):
            if getattr(self, name) is not None:
                return f"{name} is {getattr(self, name)}"
        return f"n_rows is {DEFAULT_ROWS} by default"


def _largest(groupings: Sequence[Grouping]) -> int:
    return max(range(len(groupings)), key=lambda k: groupings[k].n_levels)


def _draw(
    factor: str | None, sampled: str | None, rows: NDArray[np.int64], groupings: Sequence[Grouping]
) -> Draw:
    codes = [grouping.codes[rows] for grouping in groupings]
    n_levels = {g.name: len(np.unique(c)) for g, c in zip(groupings, codes, strict=True)}
    components, largest = _connectivity(codes, [grouping.n_levels for grouping in groupings])
    return Draw(factor, sampled, rows, n_levels, components, largest)


def _connectivity(codes: Sequence[NDArray[np.int32]], sizes: Sequence[int]) -> tuple[int, float]:
    """Components of the graph whose nodes are the levels that occur, and the largest's share of the rows.

    The levels of a row are linked to each other, for which links from each factor to the next are enough.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

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


def _is_real(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _check_count(name: str, value: object, least: int) -> None:
    if value is None:
        return
    check_whole_number(f"subsample setting {name}", value, least)

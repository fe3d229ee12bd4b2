"""`Subsample`: the settings, and the draws that follow from them for given grouping factors."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real

import numpy as np
from numpy.typing import NDArray

from mixedfx.arguments import check_choice, check_flag, check_whole_number
from mixedfx.errors import SettingError, SubsampleWarning
from mixedfx.grouping import Grouping
from mixedfx.subsample.core import core_rows
from mixedfx.subsample.draw import Draw, describe
from mixedfx.subsample.precision import DEFAULT_RATIO, levels_for, reachable, share_for
from mixedfx.subsample.random_levels import random_sets

STRATEGIES = ("levels", "rows", "per-factor", "two-way", "core")
DEFAULT_ROWS = 20_000
ENOUGH_LEVELS = 50
"""A size in rows that leaves a factor fewer levels than this leads to sampling another factor's levels."""
SIZES = ("n_rows", "n_levels", "fraction", "target_se")

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Subsample:
    """How to draw the rows that stage 1 learns from.

    Parameters
    ----------
    strategy
        ``"per-factor"``: for each factor random levels of it with all their rows, its covariance read from
        there. ``"levels"``: random levels of one factor with all their rows. ``"two-way"``: random levels of every
        factor, and the rows of which all levels were drawn. ``"rows"``: random rows. ``"core"``: the densest part, a
        k-core (levels with few rows taken out, again and again), which is no sample, and makes variances much too
        small: it is there to compare with, and gives a warning.
    n_rows, n_levels, fraction
        The size, in one of three ways: about so many rows (exactly, for "rows"), so many levels of the
        sampled factor ("two-way": of each factor), or this share of its levels (of the rows, for "rows" and "core").
        A factor that has fewer levels is taken whole. By default about 20,000 rows; data that have no more are taken
        whole.
    target_se
        The size, in a fourth way: the wanted standard error of the variances relative to them, such as 0.1. See
        Notes.
    factor
        The factor to sample for "levels"; by default the one with the most levels.
    stratify
        Draw levels in proportion within ten classes of their number of rows (activity). Each level is as likely as
        without, but the share of active levels then varies less between seeds.
    replicates
        Draw so many subsamples of this size. `learn_covariance` gives the mean of their covariances, with the spread
        between them. They have no sampled level (or row) in common as long as there are enough.
    seed
        The same seed draws the same levels.

    Raises
    ------
    SettingError
        A setting has a value that is not allowed, or does not go with another.

    Notes
    -----
    Where a size in rows would leave a factor fewer than 50 levels (they have many rows each), "per-factor" draws
    levels of the factor with the most levels instead, and "two-way" takes the factor whole: the levels of the small
    factor then stay, with part of their rows. Give `n_levels` to have the small factor itself sampled.

    With `target_se` the number of levels J follows from sqrt(2 / J) / reliability, where the reliability of a level
    with n rows is n r / (1 + n r), r being the variance between levels relative to that of a row within them.
    `learn_covariance` estimates r from the response by moments before it draws, which counts other factors and fixed
    effects as noise: with crossed factors the plan errs on the large side. Of nested factors the inner one's r has the
    outer one's variance in it, so that the plan can be far too small. "rows" and "two-way" thin the rows of each level
    too, which is counted in. "levels" plans for the factor it samples alone.

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
    stratify: bool = False

    def __post_init__(self) -> None:
        check_choice("subsample strategy", self.strategy, STRATEGIES)
        _check_count("n_rows", self.n_rows, 2)
        _check_count("n_levels", self.n_levels, 2)
        _check_count("replicates", self.replicates, 1)
        _check_count("seed", self.seed, 0)
        _check_share("fraction", self.fraction, "at most 1", 1.0)
        _check_share("target_se", self.target_se, "below 1, such as 0.1", np.nextafter(1.0, 0.0))
        check_flag("subsample setting stratify", self.stratify)
        sizes = [name for name in SIZES if getattr(self, name) is not None]
        if len(sizes) > 1:
            raise SettingError(f"subsample settings {' and '.join(sizes)} both give the size; keep one")
        if self.strategy in ("rows", "core"):
            self._check_without_levels()
        if self.factor is not None and self.strategy != "levels":
            raise SettingError(
                f"subsample setting factor goes with strategy 'levels', not {self.strategy!r}; leave it out"
            )

    def _check_without_levels(self) -> None:
        if self.n_levels is not None:
            raise SettingError(
                f"subsample strategy '{self.strategy}' takes rows: give n_rows or fraction, not n_levels"
            )
        if self.stratify:
            raise SettingError(
                f"subsample setting stratify is about random levels, and '{self.strategy}' draws none; leave it out"
            )
        if self.strategy == "core" and self.target_se is not None:
            raise SettingError(
                "a core has no standard error to plan for, because it is not drawn at random; give n_rows or fraction"
            )
        if self.strategy == "core" and self.replicates > 1:
            raise SettingError(
                "data have one core only, so that there are no replicates of it; leave them out"
            )

    def plan(
        self, groupings: Sequence[Grouping], ratios: Mapping[str, float] | None = None
    ) -> tuple[Draw, ...]:
        """The subsamples to fit: one, or for "per-factor" one a factor; and so for each replicate.

        Parameters
        ----------
        groupings
            The grouping factors of the data, all of N rows.
        ratios
            For `target_se`: factor -> variance between its levels relative to that of a row within them, such as
            `variance_ratios` estimates; 0.1 each where not given.

        Returns
        -------
        One `Draw` (`factor` None), or one for each factor. Draws that sample the same factor share their
        `rows` array. Where every draw would take all rows there is only one, of one replicate.

        Raises
        ------
        SettingError
            `factor` is not a grouping factor, no row is left, or a factor would keep fewer than 2 levels.

        Warns
        -----
        SubsampleWarning
            `target_se` is out of reach for a factor; the strategy is "core".
        """
        chosen = self._chosen(groupings)  # which is checked even where all rows are taken
        N = len(groupings[0].codes)
        known = {g.name: DEFAULT_RATIO for g in groupings} | dict(ratios or {})
        if self._given_rows and (self.n_rows or DEFAULT_ROWS) >= N:
            draws = [describe(None, None, np.arange(N), groupings)]
        elif self.strategy == "rows":
            draws = self._some_rows(groupings, known)
        elif self.strategy == "core":
            draws = [self._core(groupings)]
        elif self.strategy == "levels":
            draws = self._one_factor(chosen, groupings, known)
        elif self.strategy == "two-way":
            draws = self._two_way(groupings, known)
        else:
            draws = self._per_factor(groupings, known)
        if all(draw.n_rows == N for draw in draws):
            draws = [describe(None, None, np.arange(N), groupings)]
        for draw in draws:
            self._check_levels(draw)
        return tuple(draws)

    def _one_factor(
        self, position: int, groupings: Sequence[Grouping], ratios: Mapping[str, float]
    ) -> list[Draw]:
        n = self._level_counts([groupings[position]], len(groupings[0].codes), ratios)[0]
        return [
            describe(None, groupings[position].name, rows, groupings, replicate)
            for replicate, rows in enumerate(self._rows_of_levels(position, groupings[position], n))
        ]

    def _per_factor(self, groupings: Sequence[Grouping], ratios: Mapping[str, float]) -> list[Draw]:
        counts = self._level_counts(groupings, len(groupings[0].codes), ratios)
        largest = _largest(groupings)
        rows: dict[int, list[Rows]] = {}
        sampled = []
        for position, grouping in enumerate(groupings):
            few = self._given_rows and counts[position] < min(ENOUGH_LEVELS, grouping.n_levels)
            # Planned levels that are all there are would be all rows, for a factor that may have ten of them.
            few |= self.target_se is not None and counts[position] == grouping.n_levels
            sampled.append(largest if few else position)
            if sampled[-1] not in rows:
                from_ = groupings[sampled[-1]]
                rows[sampled[-1]] = self._rows_of_levels(sampled[-1], from_, counts[sampled[-1]])
        return [
            describe(grouping.name, groupings[own].name, rows[own][replicate], groupings, replicate)
            for replicate in range(self.replicates)
            for grouping, own in zip(groupings, sampled, strict=True)
        ]

    def _two_way(self, groupings: Sequence[Grouping], ratios: Mapping[str, float]) -> list[Draw]:
        N, K = len(groupings[0].codes), len(groupings)
        if self._given_rows:
            counts = _thinned(groupings, (self.n_rows or DEFAULT_ROWS) / N)
        elif self.target_se is not None:
            reached = reachable(groupings, ratios, self.target_se)
            share = share_for(
                reached, ratios, self.target_se, levels=lambda f: f, rows=lambda f: f ** (K - 1)
            )
            counts = [min(max(int(np.ceil(share * g.n_levels)), 2), g.n_levels) for g in groupings]
        else:
            counts = self._level_counts(groupings, N, ratios)
        whole = np.arange(N)
        kept = [
            self._levels(k, g, n) if n < g.n_levels else [np.ones(g.n_levels, dtype=bool)] * self.replicates
            for k, (g, n) in enumerate(zip(groupings, counts, strict=True))
        ]
        draws = []
        for replicate in range(self.replicates):
            taken = np.logical_and.reduce(
                [keep[replicate][g.codes] for g, keep in zip(groupings, kept, strict=True)]
            )
            draws.append(describe(None, None, whole[taken], groupings, replicate))
        return draws

    def _some_rows(self, groupings: Sequence[Grouping], ratios: Mapping[str, float]) -> list[Draw]:
        N = len(groupings[0].codes)
        share = self.fraction
        if self.target_se is not None:
            reached = reachable(groupings, ratios, self.target_se)
            share = share_for(reached, ratios, self.target_se, levels=lambda _: 1.0, rows=lambda f: f)
        n = (self.n_rows or DEFAULT_ROWS) if share is None else min(max(2, round(share * N)), N)
        sets = random_sets(N, n, np.random.default_rng(self.seed), replicates=self.replicates)
        return [describe(None, None, np.sort(rows), groupings, r) for r, rows in enumerate(sets)]

    def _core(self, groupings: Sequence[Grouping]) -> Draw:
        N = len(groupings[0].codes)
        wanted = (self.n_rows or DEFAULT_ROWS) if self.fraction is None else max(2, round(self.fraction * N))
        warnings.warn(
            "a dense core is no sample of the levels: its variances can be less than half of those of all levels (on "
            "MovieLens-1M the item variance came out 55 % too small); use strategy 'per-factor'",
            SubsampleWarning,
            stacklevel=4,
        )
        return describe(None, None, core_rows(groupings, wanted), groupings)

    @property
    def _given_rows(self) -> bool:
        return self.n_levels is None and self.fraction is None and self.target_se is None

    def _level_counts(self, groupings: Sequence[Grouping], N: int, ratios: Mapping[str, float]) -> list[int]:
        """How many levels of each factor to draw; its levels have N / J rows each on average."""
        if self.n_levels is not None:
            return [min(self.n_levels, g.n_levels) for g in groupings]
        if self.target_se is not None:
            reachable(groupings, ratios, self.target_se)
            return [levels_for(g, ratios[g.name], self.target_se) for g in groupings]
        share = (self.n_rows or DEFAULT_ROWS) / N if self.fraction is None else self.fraction
        return [min(max(round(share * g.n_levels), 2), g.n_levels) for g in groupings]

    def _levels(self, position: int, grouping: Grouping, n: int) -> list[NDArray[np.bool_]]:
        """Which levels each replicate has."""
        # A stream for each factor: whether another one is sampled does not change the levels drawn here.
        rng = np.random.default_rng([self.seed, position])
        counts = grouping.counts() if self.stratify else None
        kept = []
        for levels in random_sets(grouping.n_levels, n, rng, replicates=self.replicates, counts=counts):
            keep = np.zeros(grouping.n_levels, dtype=bool)
            keep[levels] = True
            kept.append(keep)
        return kept

    def _rows_of_levels(self, position: int, grouping: Grouping, n: int) -> list[Rows]:
        return [np.flatnonzero(keep[grouping.codes]) for keep in self._levels(position, grouping, n)]

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
        if not draw.n_rows:
            raise SettingError(
                f"the subsample has no rows: none has its level of every factor drawn; draw more levels "
                f"({self._size_setting()}), or use strategy 'per-factor'"
            )
        for factor, n in draw.n_levels.items():
            if n < 2:
                whole = {"rows": "rows", "core": "rows", "two-way": "levels"}.get(
                    self.strategy, f"levels of factor '{draw.sampled}'"
                )
                raise SettingError(
                    f"the subsample of {draw.n_rows} rows keeps {n} level of factor '{factor}', but a "
                    f"variance needs at least 2; draw more {whole} ({self._size_setting()})"
                )

    def _size_setting(self) -> str:
        for name in SIZES:
            if getattr(self, name) is not None:
                return f"{name} is {getattr(self, name)}"
        return f"n_rows is {DEFAULT_ROWS} by default"


def _largest(groupings: Sequence[Grouping]) -> int:
    return max(range(len(groupings)), key=lambda k: groupings[k].n_levels)


def _thinned(groupings: Sequence[Grouping], share: float) -> list[int]:
    """Levels of each factor so that about this share of the rows has all of its levels drawn.

    The same share of each factor's levels, but all of those that would keep fewer than `ENOUGH_LEVELS`.
    """
    by_size = sorted(range(len(groupings)), key=lambda k: groupings[k].n_levels)
    while True:
        own = share ** (1 / len(by_size))
        J = groupings[by_size[0]].n_levels
        if len(by_size) == 1 or own * J >= ENOUGH_LEVELS:
            break
        del by_size[0]
    return [max(round(own * g.n_levels), 2) if k in by_size else g.n_levels for k, g in enumerate(groupings)]


def _is_real(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _check_share(name: str, value: object, limit: str, most: float) -> None:
    if value is not None and not (_is_real(value) and 0 < value <= most):  # pyright: ignore[reportOperatorIssue]
        raise SettingError(f"subsample setting {name} is {value!r}; it must be above 0 and {limit}")


def _check_count(name: str, value: object, least: int) -> None:
    if value is None and name not in ("replicates", "seed"):
        return
    check_whole_number(f"subsample setting {name}", value, least)

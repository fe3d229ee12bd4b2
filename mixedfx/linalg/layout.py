"""Rows in the order the kernels read them: grouped by the eliminated factor, within it by the next factor."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixedfx.linalg.row_features import RowFeatures, place_features
from mixedfx.predictors import CONSTANT, Predictors, RandomTerm

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Block:
    """One factor's coefficients in a vector, level by level.

    Attributes
    ----------
    name
        The factor's name.
    n_levels, q
        Levels, and coefficients a level has.
    columns
        int32, shape (q,): the features they multiply, as `mixedfx.predictors.Predictors` numbers them.
    start
        Where the factor's coefficients begin in the rest vector; 0 for the eliminated factor, which is not in it.
    """

    name: str
    n_levels: int
    q: int
    columns: NDArray[np.int32]
    start: int = 0

    @property
    def stop(self) -> int:
        return self.start + self.n_levels * self.q

    @property
    def slice(self) -> slice:
        return slice(self.start, self.stop)


class Spanned(NamedTuple):
    """A feature as one of Z_e's columns, times a number of each level: a column of its features' table, -1 for 1."""

    column: int
    factor: int


@dataclass(frozen=True, eq=False)
class RowLayout:
    """The model's rows sorted by the eliminated factor (compressed rows: `ptr` and the other factors' codes).

    The *rest vector* holds what is not eliminated: the remaining factors' coefficients, beta, and thresholds.

    Attributes
    ----------
    order
        Shape (N,): the caller's row number of each sorted row; int32 where that is enough.
    ptr
        int64, shape (J_e + 1,): rows ``ptr[j]:ptr[j + 1]`` belong to level j of the eliminated factor.
    codes
        int32, shape (K - 1, N): levels of the remaining factors.
    features
        Values of the features, by row or by level.
    eliminated, rest
        The factors.
    fixed_columns
        int32, shape (p,): features of X; beta begins at ``beta_start`` of the rest vector.
    n_thresholds
        Thresholds that are unknowns; they end the rest vector.
    """

    order: NDArray[np.signedinteger]
    ptr: NDArray[np.int64]
    codes: NDArray[np.int32]
    features: RowFeatures
    eliminated: Block
    rest: tuple[Block, ...]
    fixed_columns: NDArray[np.int32]
    n_thresholds: int = 0

    @property
    def n_rows(self) -> int:
        return len(self.order)

    @property
    def rest_columns(self) -> NDArray[np.int32]:
        """The remaining factors' features, one factor after the other."""
        return np.concatenate([np.zeros(0, dtype=np.int32), *(block.columns for block in self.rest)])

    @property
    def n_levels(self) -> int:
        """Levels of the eliminated factor, J_e."""
        return len(self.ptr) - 1

    @property
    def q(self) -> int:
        """Coefficients a level of the eliminated factor has, q_e."""
        return self.eliminated.q

    @property
    def p(self) -> int:
        return len(self.fixed_columns)

    @property
    def beta_start(self) -> int:
        return self.rest[-1].stop if self.rest else 0

    @property
    def alpha_start(self) -> int:
        """Where thresholds begin in the rest vector."""
        return self.beta_start + self.p

    @property
    def n_rest(self) -> int:
        return self.alpha_start + self.n_thresholds

    @property
    def blocks(self) -> tuple[Block, ...]:
        """All factors, the eliminated one first."""
        return (self.eliminated, *self.rest)

    @cached_property
    def longest(self) -> int:
        """Most rows that a level of the eliminated factor has."""
        return int(np.diff(self.ptr).max(initial=0))

    def level_codes(self, factor: str) -> NDArray[np.int32]:
        """The level of each sorted row, shape (N,)."""
        if factor == self.eliminated.name:
            return np.repeat(np.arange(self.n_levels, dtype=np.int32), np.diff(self.ptr))
        return self.codes[[block.name for block in self.rest].index(factor)]

    def feature(self, column: int) -> Floats:
        """Values of one feature in the sorted rows, shape (N,); those of `CONSTANT` are 1."""
        if column == CONSTANT:
            return np.ones(self.n_rows)
        return self.features.column(column, self.ptr, self.codes)

    def spanned(self, feature: int) -> Spanned | None:
        """Whether the feature is, in each eliminated level, a number times one of Z_e's columns."""
        own = self.eliminated.columns.tolist()
        if feature in own:
            return Spanned(own.index(feature), -1)
        factor = self.features.own_column(feature)
        return Spanned(own.index(CONSTANT), factor) if CONSTANT in own and factor >= 0 else None

    def in_caller_order(self, rows: NDArray) -> NDArray:
        """Sorted rows, shape (N, ...), put back in the order of the caller's data."""
        out = np.empty_like(rows)
        out[self.order] = rows
        return out

    def with_thresholds(self, n: int) -> RowLayout:
        """The same rows with `n` thresholds among the unknowns."""
        return replace(self, n_thresholds=n)

    def chunks(self, parts: int) -> NDArray[np.int64]:
        """Bounds, shape (parts + 1,), that split the eliminated levels into parts of about equal rows."""
        if parts == 1:
            return np.array([0, self.n_levels])
        wanted = np.linspace(0, self.n_rows, parts + 1)
        bounds = np.searchsorted(self.ptr, wanted)
        bounds[0], bounds[-1] = 0, self.n_levels
        return bounds.astype(np.int64)


def arrange(predictors: Predictors, eliminate: str | None = None) -> RowLayout:
    """Sort the rows for the factor to eliminate: by default the one with most coefficients.

    Parameters
    ----------
    predictors
        All codes must be known (no -1).
    eliminate
        Name of the factor to eliminate instead.
    """
    from mixedfx.linalg.sorting import count_levels, in_order, sorted_rows

    terms = predictors.terms
    size = [t.grouping.n_levels * t.q if eliminate is None else int(t.name == eliminate) for t in terms]
    first = int(np.argmax(size))
    eliminated = terms[first]
    # The largest remaining factor sorts within a level, so that equal pairs are neighbours and gathers walk forward.
    others = sorted((t for i, t in enumerate(terms) if i != first), key=lambda t: -t.grouping.n_levels * t.q)
    order = sorted_rows(*((t.grouping.codes, t.grouping.n_levels) for t in (eliminated, *others[:1])))
    counts = np.zeros(eliminated.grouping.n_levels, dtype=np.int64)
    count_levels(eliminated.grouping.codes, counts)
    codes = np.empty((len(others), predictors.n_rows), dtype=np.int32)
    for k, term in enumerate(others):
        codes[k] = in_order(term.grouping.codes, order)
    rest: list[Block] = []
    for term in others:
        rest.append(_block(term, rest[-1].stop if rest else 0))
    return RowLayout(
        order=order,
        ptr=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        codes=codes,
        features=place_features(predictors.features, [t.grouping for t in (eliminated, *others)], order),
        eliminated=_block(eliminated, 0),
        rest=tuple(rest),
        fixed_columns=predictors.fixed_columns.astype(np.int32),
    )


def _block(term: RandomTerm, start: int) -> Block:
    return Block(term.name, term.grouping.n_levels, term.q, term.columns.astype(np.int32), start)


def bounds(sizes: Iterable[int]) -> NDArray[np.int64]:
    """Where each of several runs begins, and the end of the last."""
    return np.array([0, *accumulate(sizes)], dtype=np.int64)

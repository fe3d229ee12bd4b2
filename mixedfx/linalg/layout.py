"""Rows in the order the kernels read them: grouped by the eliminated factor, within it by the next factor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedfx.predictors import Predictors, RandomTerm

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RestBlock:
    """Where one remaining factor's coefficients lie in the rest vector."""

    term: RandomTerm
    start: int

    @property
    def stop(self) -> int:
        return self.start + self.n_levels * self.q

    @property
    def n_levels(self) -> int:
        return self.term.grouping.n_levels

    @property
    def q(self) -> int:
        return self.term.q

    @property
    def slice(self) -> slice:
        return slice(self.start, self.stop)


@dataclass(frozen=True, eq=False)
class RowLayout:
    """The model's rows sorted by the eliminated factor (compressed rows: `ptr` and the other factors' codes).

    Attributes
    ----------
    order
        int64, shape (N,): the caller's row number of each sorted row.
    ptr
        int64, shape (J_e + 1,): rows ``ptr[j]:ptr[j + 1]`` belong to level j of the eliminated factor.
    codes
        int32, shape (K - 1, N): levels of the remaining factors.
    features
        float64, shape (N, F), sorted.
    eliminated
        The eliminated term; `eliminated_columns` are its features, int32, shape (q_e,).
    rest
        The remaining factors, in the order of the rest vector.
    rest_columns, rest_first, rest_start
        Features of the remaining factors one after the other; factor k has ``rest_columns[rest_first[k]:
        rest_first[k + 1]]`` and its coefficients begin at ``rest_start[k]`` of the rest vector.
    fixed_columns
        int32, shape (p,): features of X; beta begins at ``beta_start`` of the rest vector.
    """

    order: NDArray[np.int64]
    ptr: NDArray[np.int64]
    codes: NDArray[np.int32]
    features: Floats
    eliminated: RandomTerm
    eliminated_columns: NDArray[np.int32]
    rest: tuple[RestBlock, ...]
    rest_columns: NDArray[np.int32]
    rest_first: NDArray[np.int64]
    rest_start: NDArray[np.int64]
    fixed_columns: NDArray[np.int32]

    @property
    def n_rows(self) -> int:
        return len(self.order)

    @property
    def n_levels(self) -> int:
        """Levels of the eliminated factor, J_e."""
        return len(self.ptr) - 1

    @property
    def q(self) -> int:
        """Coefficients a level of the eliminated factor has, q_e."""
        return len(self.eliminated_columns)

    @property
    def p(self) -> int:
        return len(self.fixed_columns)

    @property
    def beta_start(self) -> int:
        return int(self.rest_start[-1])

    @property
    def n_rest(self) -> int:
        return self.beta_start + self.p

    @property
    def longest(self) -> int:
        """Most rows that a level of the eliminated factor has."""
        return int(np.diff(self.ptr).max(initial=0))

    def in_caller_order(self, rows: NDArray) -> NDArray:
        """Sorted rows, shape (N, ...), put back in the order of the caller's data."""
        out = np.empty_like(rows)
        out[self.order] = rows
        return out

    def chunks(self, parts: int) -> NDArray[np.int64]:
        """Bounds, shape (parts + 1,), that split the eliminated levels into parts of about equal rows."""
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
    from mixedfx.linalg.sorting import sorted_rows

    terms = predictors.terms
    size = [t.grouping.n_levels * t.q if eliminate is None else int(t.name == eliminate) for t in terms]
    first = int(np.argmax(size))
    eliminated = terms[first]
    # The largest remaining factor sorts within a level, so that equal pairs are neighbours and gathers walk forward.
    others = sorted((t for i, t in enumerate(terms) if i != first), key=lambda t: -t.grouping.n_levels * t.q)
    keys = [(t.grouping.codes, t.grouping.n_levels) for t in (eliminated, *others[:1])]
    order = sorted_rows(*keys)
    counts = np.bincount(eliminated.grouping.codes, minlength=eliminated.grouping.n_levels)
    sizes = [t.grouping.n_levels * t.q for t in others]
    starts = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]).astype(np.int64)
    firsts = np.concatenate([[0], np.cumsum([t.q for t in others], dtype=np.int64)]).astype(np.int64)
    codes = np.empty((len(others), predictors.n_rows), dtype=np.int32)
    for k, term in enumerate(others):
        codes[k] = term.grouping.codes[order]
    no_columns = np.zeros(0, dtype=np.int32)
    return RowLayout(
        order=order,
        ptr=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        codes=codes,
        features=np.ascontiguousarray(predictors.features[order]),
        eliminated=eliminated,
        eliminated_columns=eliminated.columns.astype(np.int32),
        rest=tuple(RestBlock(t, int(s)) for t, s in zip(others, starts[:-1], strict=True)),
        rest_columns=np.concatenate([no_columns, *(t.columns for t in others)]).astype(np.int32),
        rest_first=firsts,
        rest_start=starts,
        fixed_columns=predictors.fixed_columns.astype(np.int32),
    )

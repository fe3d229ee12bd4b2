"""The designs of a subsample, from data in memory or from Parquet files that are not read as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.arguments import check_choice
from mixedfx.constant_rows import is_constant
from mixedfx.design import Design, build_design
from mixedfx.families import Family
from mixedfx.formula.factor_names import check_factor_names
from mixedfx.formula.formula import Formula, Group, parse_formula
from mixedfx.formula.groups import fit_group
from mixedfx.formula.levels import factorize
from mixedfx.formula.missing import complete_rows, missing_rows
from mixedfx.formula.transforms import FACTOR_CALLS, STATEFUL_CALLS
from mixedfx.formula.tree import columns_of, functions_of
from mixedfx.frames import check_columns, column, read_columns
from mixedfx.grouping import Grouping
from mixedfx.parquet_rows import ParquetRows
from mixedfx.subsample import Draw, Subsample, variance_ratios


class SampledDesigns(Protocol):
    """A planned subsample.

    Attributes
    ----------
    draws
        What was drawn: `rows` are positions among the complete rows of the data.
    """

    @property
    def draws(self) -> tuple[Draw, ...]: ...

    def design(self, draw: Draw) -> Design:
        """The design of one draw, encoded as all rows are."""
        ...


def sampled_designs(
    formula: str,
    data: object,
    subsample: Subsample,
    *,
    family: Family,
    weights: object,
    na: Literal["drop", "raise"],
) -> SampledDesigns:
    """Draw a subsample of the data and encode it.

    Parameters
    ----------
    formula, data, family, weights, na
        See `mixedfx.design.build_design`.
    subsample
        What to draw.

    Returns
    -------
    SampledDesigns
        The same rows, encoded in the same way, whether `data` are in memory or a path. Of Parquet only these are read:
        the grouping columns; every column of categories, one at a time, for its categories; numbers, a part at a time
        and not kept, to see which rows miss a value (not those that the file says are complete); and then the row
        groups that hold rows of the draw. Values are checked (infinite, weights of 0) only in the rows drawn.
        All is read where the formula has transforms that learn from all rows (center, scale, poly, bs), where weights
        are an array, and for `target_se`, which looks at the response.

    Raises
    ------
    MixedfxError
        As `build_design` and `Subsample.plan`.
    """
    parsed = parse_formula(formula)
    if weights is None or isinstance(weights, str):
        source = read_in_parts(parsed, data, subsample)
        if source is not None:
            return _of_parquet(parsed, source, subsample, family, weights, na)
    design = build_design(formula, data, family=family, weights=weights, na=na)
    groupings = [term.grouping for term in design.predictors.terms]
    ratios = None
    if subsample.target_se is not None:
        row_weights = np.ones(design.n_rows) if is_constant(design.weights) else design.weights
        ratios = variance_ratios(np.asarray(design.y, dtype=np.float64), row_weights, groupings)
    return _InMemory(subsample.plan(groupings, ratios), design)


def read_in_parts(formula: Formula, data: object, subsample: Subsample) -> ParquetRows | None:
    """`data` opened, where they are Parquet files of which a subsample need not read all rows; else None."""
    nodes = (*formula.variables.values(), *formula.fixed.offsets, formula.response)
    learn = frozenset().union(*map(functions_of, nodes)) & STATEFUL_CALLS
    source = None if learn or subsample.target_se is not None else ParquetRows.of(data)
    return source if source is not None and source.n_rows else None


@dataclass(frozen=True, eq=False)
class _InMemory:
    draws: tuple[Draw, ...]
    whole: Design

    def design(self, draw: Draw) -> Design:
        return self.whole.take(draw.rows)


@dataclass(frozen=True, eq=False)
class _InFiles:
    """See `sampled_designs`.

    `complete` are the positions in the files of the complete rows; `examples` of rows that together have every
    category there is, so that contrasts and names are those of all rows; `types` the categorical types of all rows.
    """

    draws: tuple[Draw, ...]
    parsed: Formula
    source: ParquetRows
    columns: tuple[str, ...]
    family: Family
    weights: str | None
    complete: NDArray[np.int64]
    examples: NDArray[np.int64]
    types: dict[str, pd.CategoricalDtype]

    def design(self, draw: Draw) -> Design:
        read = np.union1d(draw.rows, self.examples)
        frame = self.source.take(self.complete[read], self.columns).astype(self.types)
        # Every row read is complete. Row labels are positions among these, as they are when all is read.
        frame.index = pd.Index(read)
        design = build_design(self.parsed.text, frame, family=self.family, weights=self.weights, na="raise")
        return design.take(np.searchsorted(read, draw.rows))


def _of_parquet(
    parsed: Formula,
    source: ParquetRows,
    subsample: Subsample,
    family: Family,
    weights: str | None,
    na: Literal["drop", "raise"],
) -> _InFiles:
    check_choice("na", na, ("drop", "raise"))
    check_factor_names(bar.group.name for bar in parsed.bars)
    needed = (*parsed.response_columns, *parsed.columns, *(() if weights is None else (weights,)))
    columns = tuple(dict.fromkeys(needed))
    check_columns(columns, source.dataset.schema.names)
    grouping_columns = tuple(dict.fromkeys(name for bar in parsed.bars for name in bar.group.columns))
    categories = _category_columns(parsed, source, family)
    frame = read_columns(source.path, grouping_columns)
    mask, counts = missing_rows(frame)
    labels: dict[str, pd.Series] = {}
    for name in categories:
        labels[name] = column(read_columns(source.path, [name]), name)
        if name not in grouping_columns:
            own, missing = missing_rows(labels[name].to_frame())
            mask |= own
            counts |= missing
    unseen = [c for c in columns if c not in (*grouping_columns, *categories) and not source.complete(c)]
    if unseen:
        _find_missing(source, unseen, mask, counts)
    complete = complete_rows(mask, counts, na, stacklevel=5)
    kept = frame.iloc[complete] if counts else frame
    groupings = [_grouping(bar.group, kept) for bar in parsed.bars]
    types = {name: series.dtype for name, series in (*frame.items(), *labels.items())}
    return _InFiles(
        subsample.plan(groupings),
        parsed,
        source,
        columns,
        family,
        weights,
        complete,
        _examples([series.iloc[complete] for series in labels.values()]),
        {str(name): dtype for name, dtype in types.items() if isinstance(dtype, pd.CategoricalDtype)},
    )


def _category_columns(parsed: Formula, source: ParquetRows, family: Family) -> list[str]:
    """Columns of predictors and response that are, or may be, taken as categories."""
    nodes = (*parsed.variables.values(), *parsed.fixed.offsets, parsed.response)
    called = {c for node in nodes if functions_of(node) & FACTOR_CALLS for c in columns_of(node)}
    if family.has_thresholds:
        called |= set(parsed.response_columns)
    named = dict.fromkeys(c for node in nodes for c in columns_of(node))
    return [c for c in named if c in called or not source.numeric(c)]


def _find_missing(
    source: ParquetRows, columns: list[str], mask: NDArray[np.bool_], counts: dict[str, int]
) -> None:
    """Add what is missing in these columns to `mask` and `counts`, a part of the rows at a time."""
    for start, part in source.parts(columns):
        own, missing = missing_rows(part)
        mask[start : start + len(part)] |= own
        for name, n in missing.items():
            counts[name] = counts.get(name, 0) + n


def _grouping(group: Group, frame: pd.DataFrame) -> Grouping:
    levels, codes = fit_group(group, frame)
    return Grouping(levels.name, codes, levels.levels)


def _examples(labels: list[pd.Series]) -> NDArray[np.int64]:
    """Rising positions of the first row of each category of each of these columns."""
    first = [np.unique(factorize(series)[0], return_index=True)[1] for series in labels]
    return np.unique(np.concatenate([np.zeros(0, dtype=np.int64), *first])).astype(np.int64)

"""What stage 1 is known to have seen: the fit behind each factor, and its normal distribution at the frozen Sigma."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.checks.again import estimated_again
from mixedfx.checks.stage_normal import StageNormal
from mixedfx.coefficients.laplace_normal import LaplaceNormal
from mixedfx.formula.missing import missing_rows
from mixedfx.frames import read_columns
from mixedfx.grouping import Grouping
from mixedfx.linalg.elimination import eliminate
from mixedfx.linalg.intercept_operator import row_operator
from mixedfx.linalg.lambdas import Lambdas
from mixedfx.linalg.layout import RowLayout, arrange
from mixedfx.predictors import Predictors, RandomTerm

if TYPE_CHECKING:
    from mixedfx.coefficients.result import CoefficientsResult
    from mixedfx.covariance.result import CovarianceResult


@dataclass(frozen=True, eq=False)
class StageOne:
    """One fit of stage 1.

    Attributes
    ----------
    result
        The fit: all of stage 1, or the one that a factor's covariance was read from.
    normal
        Its distribution at stage 2's covariances; None where it cannot be had.
    why
        Why not.
    """

    result: CovarianceResult
    normal: StageNormal | None
    why: str = ""


def stage_one_fits(cov: CovarianceResult, coef: CoefficientsResult) -> dict[str, StageOne]:
    """The fit behind each factor of stage 2; factors whose sample was the same share one."""
    made: dict[int, StageOne] = {}
    out: dict[str, StageOne] = {}
    for factor in coef.ranef:
        fit = cov.fits.get(factor, cov)
        if id(fit) not in made:
            made[id(fit)] = _stage_one(fit, coef)
        out[factor] = made[id(fit)]
    return out


def every_fit(
    cov: CovarianceResult, coef: CoefficientsResult, fits: Mapping[str, StageOne]
) -> dict[str, tuple[StageOne, ...]]:
    """All fits that a factor's covariance was read from: one a replicate, or the one in `fits`."""
    if not cov.replicates:
        return {factor: (first,) for factor, first in fits.items()}
    made = {id(first.result): first for first in fits.values()}
    out: dict[str, tuple[StageOne, ...]] = {}
    for factor in fits:
        own = [replicate.fits.get(factor, replicate) for replicate in cov.replicates]
        for fit in own:
            if id(fit) not in made:
                made[id(fit)] = _stage_one(fit, coef)
        out[factor] = tuple(made[id(fit)] for fit in own)
    return out


def largest_fit(fits: Mapping[str, StageOne]) -> StageOne:
    """The one with most rows, which stands for stage 1 where one has to."""
    return max(fits.values(), key=lambda first: first.result.n_rows)


def at_stage_two_sigma(first: StageOne, coef: CoefficientsResult, data: object) -> StageOne:
    """Stage 1 with the conditional modes of its own rows at stage 2's covariances, which are not its own.

    Where covariances were refined in between, levels move with Sigma as well as with further rows; at one Sigma they
    move with the rows alone. As it was where that cannot be had: without the data, or where its rows are not known.
    """
    frame = None if first.normal is None else fitted_rows(coef, data, first.result.rows)
    if frame is None:
        return first
    again = estimated_again(coef, frame, coef.varcorr)
    if again is None:
        return first
    result = replace(first.result, ranef=again.ranef, posterior=None)
    return replace(first, result=result)


def fitted_rows(
    coef: CoefficientsResult, data: object, rows: NDArray[np.int64] | None
) -> pd.DataFrame | None:
    """Some rows (all by default) of the data as stage 2 had them; None where these are not its data."""
    spec = coef.spec
    if data is None or (spec.weighted and spec.weights_column is None):
        return None
    weights = () if spec.weights_column is None else (spec.weights_column,)
    frame = read_columns(data, (*spec.parsed.response_columns, *spec.columns, *weights))
    complete = np.flatnonzero(~missing_rows(frame)[0])
    if len(complete) != coef.n_rows:
        return None
    return frame.iloc[complete if rows is None else complete[rows]]


def _stage_one(fit: CovarianceResult, coef: CoefficientsResult) -> StageOne:
    rows = fit.rows
    if rows is None:
        if fit.n_rows != coef.n_rows:
            return StageOne(fit, None, "stage 1 does not say which rows it used")
        rows = coef.mixture.components[0].normal.elimination.operator.layout.order
    if rows.max(initial=-1) >= coef.n_rows:
        why = (
            f"stage 1 used row {rows.max():,}, but stage 2 has only {coef.n_rows:,}: they had different data"
        )
        return StageOne(fit, None, why)
    normal = stage_one_normal(coef, rows, fit.fixef.index)
    for factor, modes in fit.ranef.items():
        if factor in coef.ranef and set(normal.levels(factor)) != set(modes.index):
            why = (
                f"the rows that stage 1 used have other levels of {factor} in stage 2: data, their order or labels "
                "differ"
            )
            return StageOne(fit, None, why)
    return StageOne(fit, normal)


def stage_one_normal(
    coef: CoefficientsResult, rows: NDArray[np.int64], fixed_names: Iterable[str]
) -> StageNormal:
    """Rebuild stage 1's distribution from those of stage 2's rows that it had.

    At stage 2's covariances, because with one Sigma and nested data Var(b2 - b1) = V1 - V2, and two Sigmas give no such
    rule; for families other than gaussian also at stage 2's curvature.

    Parameters
    ----------
    rows
        Positions of stage 1's rows among those of stage 2.
    fixed_names
        Stage 1's fixed effects; those that stage 2 lacks are left out.
    """
    component = coef.mixture.components[0]
    elimination = component.normal.elimination
    layout = elimination.operator.layout
    where = np.empty(layout.n_rows, dtype=np.int64)
    where[layout.order] = np.arange(layout.n_rows)
    own_names = set(fixed_names)
    kept = tuple(name for name in coef.spec.fixed_names if name in own_names)
    predictors = _subset(coef, layout, where[rows], kept)
    own = arrange(predictors)
    blocks = component.varcorr.align(predictors.terms).blocks
    lambdas = Lambdas.of(own, {block.factor: block.factor_matrix() for block in blocks})
    at = where[rows][own.order]
    curvature = elimination.curvature.take(at)
    operator = row_operator(own.with_thresholds(layout.n_thresholds))
    terms = {term.name: term for term in predictors.terms}
    return StageNormal(LaplaceNormal(eliminate(operator, lambdas, curvature)), kept, terms)


def _subset(
    coef: CoefficientsResult, layout: RowLayout, at: NDArray[np.int64], kept: tuple[str, ...]
) -> Predictors:
    """Some of the sorted rows as predictors, with the levels that occur in them."""
    terms = []
    for block in layout.blocks:
        used, position = np.unique(layout.level_codes(block.name)[at], return_inverse=True)
        levels = coef.spec.group(block.name).levels[used]
        grouping = Grouping(block.name, position.astype(np.int32), levels)
        own = coef.varcorr.block(block.name)
        terms.append(RandomTerm(grouping, own.names, block.columns, own.free))
    names = coef.spec.fixed_names
    n_features = len(layout.features.position)
    return Predictors(
        features=np.column_stack([layout.feature(i)[at] for i in range(n_features)])
        if n_features
        else np.zeros((len(at), 0)),
        fixed_names=kept,
        fixed_columns=layout.fixed_columns[np.array([names.index(name) for name in kept], dtype=int)],
        terms=tuple(terms),
        offset=np.zeros(len(at)),
        index=pd.RangeIndex(len(at)),
    )

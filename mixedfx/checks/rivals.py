"""What stage 2's predictions are held against: its fixed effects alone, stage 1, effects that are not shrunk, and those
at the covariances of all rows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mixedfx.checks.again import estimated_again
from mixedfx.checks.scored_rows import Prediction
from mixedfx.coefficients.component import Component, Mixture
from mixedfx.coefficients.laplace_normal import DENSE_LIMIT
from mixedfx.coefficients.predict import linear_predictor, linear_predictor_variance
from mixedfx.predictors import Predictors, RandomTerm
from mixedfx.varcorr import VarCorr

if TYPE_CHECKING:
    from mixedfx.checks.stage_normal import StageNormal
    from mixedfx.checks.stage_one import StageOne
    from mixedfx.coefficients.result import CoefficientsResult
    from mixedfx.linalg.layout import RowLayout

Floats = NDArray[np.float64]

UNSHRUNK = 100.0
"""How many times as large as the frozen Sigma a Sigma is that hardly shrinks. Without any, a level whose outcomes are
all alike has no estimate in families other than gaussian."""
MOST_ROWS, MOST_WORK = 1_000_000, 5e8
"""Rows of the fit, and rows times coefficients besides those of the largest factor, up to which variances of
predictions are had from solutions with all rows. Beyond, covariances between levels of different factors, which are
small where levels have many rows, are left out."""
MOST_ROWS_AGAIN = 2_000_000
"""Estimating at other covariances takes as long as stage 2: not done for more rows."""


def is_large(layout: RowLayout) -> bool:
    """Whether solutions with all rows take so long that few must do."""
    return layout.n_rows > MOST_ROWS or layout.n_rows * min(layout.n_rest, DENSE_LIMIT) > MOST_WORK


def stage_two(coef: CoefficientsResult, predictors: Predictors) -> Prediction:
    """With the uncertainty of the coefficients."""
    return _of_mixture(coef.mixture, predictors, _auxiliary(coef))


def fixed_only(coef: CoefficientsResult, predictors: Predictors) -> Prediction:
    """Fixed effects alone, with z'Sigma z as for levels never seen: else they would lose for being too sure."""
    nothing = {term.name: np.zeros((term.grouping.n_levels, term.q)) for term in predictors.terms}
    total = np.zeros(predictors.n_rows)
    for term, block in zip(predictors.terms, coef.varcorr.align(predictors.terms).blocks, strict=True):
        z = predictors.z(term)
        total += np.einsum("ri,ij,rj->r", z, block.matrix, z)
    return Prediction(predictors.eta(coef.mixture.beta(), nothing), total, _auxiliary(coef))


def stage_one(coef: CoefficientsResult, first: StageOne, predictors: Predictors) -> Prediction | None:
    """Stage 1's fixed effects and levels with their uncertainty; levels that it did not have at 0, with all of Sigma.

    None where stage 1's distribution is not known, or its response had other categories.
    """
    normal, result = first.normal, first.result
    alpha = np.zeros(0) if result.thresholds is None else result.thresholds.to_numpy()
    if normal is None or len(alpha) != len(coef.mixture.alpha()):
        return None
    auxiliary = alpha if len(alpha) else _auxiliary(coef)
    b = {
        name: result.ranef[name].reindex(index=normal.levels(name), columns=list(term.names)).to_numpy()
        for name, term in normal.terms.items()
    }
    beta = result.fixef.reindex(list(normal.fixed_names)).to_numpy()
    component = Component(coef.mixture.components[0].varcorr, beta, b, alpha, normal.normal)
    return _of_mixture(Mixture((component,)), _as_stage_one(predictors, normal), auxiliary)


def refined(
    coef: CoefficientsResult, data: object, varcorr: VarCorr | None, predictors: Predictors
) -> Prediction | None:
    """Effects estimated from `data` at other covariances; None where that is not possible, or there are none."""
    fit = None if varcorr is None else _with_all_rows(coef, data, varcorr)
    return None if fit is None else _of_mixture(fit.mixture, predictors, _auxiliary(fit))


def unshrunk(coef: CoefficientsResult, data: object, predictors: Predictors) -> Prediction | None:
    """Effects estimated from `data` with next to no shrinkage; levels never seen as in stage 2.

    None where that is not possible; and with thresholds, which without shrinkage move freely with the levels, so that
    their own uncertainty cannot be left out of the score.
    """
    if coef.thresholds is not None:
        return None
    frozen = coef.varcorr
    loose = VarCorr(
        tuple(replace(block, matrix=UNSHRUNK * block.matrix) for block in frozen.blocks), frozen.sigma2
    )
    fit = _with_all_rows(coef, data, loose)
    if fit is None:
        return None
    # New levels get the frozen Sigma, which the component's covariances stand for in predictions.
    component = replace(fit.mixture.components[0], varcorr=frozen)
    return _of_mixture(Mixture((component,)), predictors, _auxiliary(fit))


def _with_all_rows(coef: CoefficientsResult, data: object, varcorr: VarCorr) -> CoefficientsResult | None:
    """Stage 2 at other covariances; None for weights that are no column, too many rows, other data, or a solver that
    gives up."""
    spec = coef.spec
    if data is None or coef.n_rows > MOST_ROWS_AGAIN or (spec.weighted and spec.weights_column is None):
        return None
    fit = estimated_again(coef, data, varcorr)
    if fit is None:
        return None
    same = fit.n_rows == coef.n_rows and all(
        own.levels.equals(other.levels) for own, other in zip(fit.spec.groups, spec.groups, strict=True)
    )
    return fit if same and np.isfinite(fit.stats["objective"]) else None


def _of_mixture(mixture: Mixture, predictors: Predictors, auxiliary: object) -> Prediction:
    layout = mixture.components[0].normal.elimination.operator.layout
    if len(mixture.components) == 1 and is_large(layout):
        variance = _sum_of_variances(mixture.components[0], predictors)
    else:
        variance = linear_predictor_variance(mixture, predictors)
    return Prediction(linear_predictor(mixture, predictors), variance, auxiliary)


def _sum_of_variances(component: Component, predictors: Predictors) -> Floats:
    """Variance of eta as if fixed effects were known, and levels of different factors independent given these.

    What is not known of the intercept are shifts of all levels of a factor against it, which leave eta where it is.
    """
    total = np.zeros(predictors.n_rows)
    for term, block in zip(predictors.terms, component.varcorr.align(predictors.terms).blocks, strict=True):
        own = component.normal.level_covariances(term.name, conditional=True)[term.grouping.codes]
        own = np.where((term.grouping.codes >= 0)[:, None, None], own, block.matrix)
        z = predictors.z(term)
        total += np.einsum("ri,rij,rj->r", z, own, z)
    return total


def _auxiliary(coef: CoefficientsResult) -> object:
    return coef.varcorr.sigma2 if coef.thresholds is None else coef.thresholds.to_numpy()


def _as_stage_one(predictors: Predictors, normal: StageNormal) -> Predictors:
    """The rows with stage 1's fixed effects and the numbers of its levels."""
    names = predictors.fixed_names
    at = np.array([names.index(name) for name in normal.fixed_names], dtype=int)
    return replace(
        predictors,
        fixed_names=normal.fixed_names,
        fixed_columns=predictors.fixed_columns[at],
        terms=tuple(_renumbered(term, normal) for term in predictors.terms),
    )


def _renumbered(term: RandomTerm, normal: StageNormal) -> RandomTerm:
    levels = normal.levels(term.name)
    place = np.append(levels.get_indexer(term.grouping.levels), -1).astype(np.int32)
    return replace(term, grouping=replace(term.grouping, codes=place[term.grouping.codes], levels=levels))

"""The frozen covariances on all rows: what the full data would estimate, and how far coefficients would move."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.checks.fisher_step import fisher_step
from mixedfx.checks.full_likelihood import FullLikelihood, Reached
from mixedfx.checks.shrinkage import Shrinkage, wrong_shrinkage
from mixedfx.checks.thresholds import Thresholds
from mixedfx.covariance.likelihood import entry_covariance, standard_error_table
from mixedfx.design import Design, build_design
from mixedfx.errors import MixedfxWarning
from mixedfx.linalg.blas import one_blas
from mixedfx.varcorr import VarCorr

if TYPE_CHECKING:
    from mixedfx.checks.stage_normal import StageNormal
    from mixedfx.coefficients.result import CoefficientsResult
    from mixedfx.covariance.result import CovarianceResult

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class FullData:
    """What all rows say of the covariances.

    Attributes
    ----------
    source
        How it was estimated, in words.
    varcorr
        The estimate; parts that were not estimated are as frozen.
    standard_errors
        Its frame with column ``se``, the rows that were estimated.
    loglik_gain
        Log-likelihood at the estimate less that at the frozen covariances.
    moves
        Factor -> root mean square, over levels and coefficients, of the conditional modes' change from the frozen
        covariances to the estimate, in their standard deviations.
    distance
        Largest distance of stage 2's conditional modes from those of a direct solution at the same covariances, in
        their standard deviations; None where stage 2 mixes several draws of Sigma.
    shrinkage
        Factor -> the levels that the frozen covariances shrink too much or too little.
    why
        Why the gain, the moves and the distance are None; empty where they are there.
    """

    source: str
    varcorr: VarCorr
    standard_errors: pd.DataFrame
    loglik_gain: float | None = None
    moves: Mapping[str, float] | None = None
    distance: float | None = None
    shrinkage: Mapping[str, tuple[Shrinkage, ...]] = field(default_factory=dict)
    why: str = ""


@one_blas()
def full_data_estimate(
    cov: CovarianceResult,
    coef: CoefficientsResult,
    second: StageNormal,
    data: object,
    refined: CovarianceResult | None,
    thresholds: Thresholds,
) -> FullData | str:
    """Sigma on all rows, by the best means there are, or why there are none.

    `refined`, where it is given; else the likelihood with the data (gaussian: the restricted one, or the full one where
    stage 1 used that; other families: Laplace's), in steps from the frozen covariances; else, for gaussian models, one
    step from stage 2's modes, which needs no data.
    """
    design = _design(coef, data)
    if isinstance(design, str):
        if refined is not None:
            return FullData("refined", refined.varcorr, refined.standard_errors, why=design)
        if coef.family != "gaussian":
            return design
        return _one_step(coef, second, design)
    likelihood = FullLikelihood.of(design, coef, reml=cov.method != "ml", dense=thresholds.max_coefficients)
    frozen = likelihood.at(coef.varcorr)
    if refined is None:
        there, source, varcorr, errors = _refit(likelihood, frozen)
    else:
        same = _same(refined.varcorr, coef.varcorr)
        there = frozen if same else likelihood.at(refined.varcorr)
        source, varcorr, errors = "refined", refined.varcorr, refined.standard_errors
    sds = {factor: coef.ranef_sd(factor).to_numpy() for factor in coef.ranef}
    changes = {f: _in_sds(there.b[f] - frozen.b[f], sd) for f, sd in sds.items()}
    moves = {f: float(np.sqrt(np.mean(change**2))) for f, change in changes.items()}
    distance = None
    if coef.family == "gaussian" and len(coef.mixture.components) == 1:
        off = (_in_sds(coef.ranef[f].to_numpy() - frozen.b[f], sd) for f, sd in sds.items())
        distance = max(float(np.abs(values).max()) for values in off)
    shrinkage = {
        t.name: wrong_shrinkage(frozen.b[t.name], there.b[t.name], t.grouping.counts(), t.names)
        for t in design.predictors.terms
    }
    return FullData(source, varcorr, errors, there.loglik - frozen.loglik, moves, distance, shrinkage)


def _one_step(coef: CoefficientsResult, second: StageNormal, why: str) -> FullData:
    component = coef.mixture.components[0]
    blocks, errors = [], []
    for block in component.varcorr.align(second.terms.values()).blocks:
        found = fisher_step(second, block.factor, component.b[block.factor])
        if found is None:
            blocks.append(block)
        else:
            blocks.append(replace(block, matrix=found[0], free=second.terms[block.factor].free))
            errors.append(VarCorr((blocks[-1],)).to_frame().assign(se=found[1]))
    varcorr = VarCorr(tuple(blocks), component.varcorr.sigma2)
    frame = pd.concat(errors) if errors else varcorr.to_frame().iloc[:0].assign(se=0.0)
    return FullData("one step from stage 2's modes", varcorr, frame, why=why)


def _refit(likelihood: FullLikelihood, frozen: Reached) -> tuple[Reached, str, VarCorr, pd.DataFrame]:
    found = likelihood.maximum(frozen)
    space, has_sigma = likelihood.problem.space, likelihood.gaussian
    varcorr = space.varcorr(space.point(found.optimum.phi[: space.size]), has_sigma=has_sigma)
    n = space.size if has_sigma else space.size - 1
    errors = standard_error_table(varcorr, entry_covariance(found.optimum, space)[:n, :n])
    steps = f"{found.steps} step{'' if found.steps == 1 else 's'} from the frozen values"
    if not found.steps:
        steps = "at its maximum already at the frozen values"
    return found, f"{likelihood.name}, {steps}", varcorr, errors


def _same(one: VarCorr, other: VarCorr) -> bool:
    first, second = one.to_frame(), other.to_frame()
    return first.equals(second)


def _in_sds(change: Floats, sd: Floats) -> Floats:
    """0 where the standard deviation is 0, as the coefficient then is too."""
    return np.divide(change, sd, out=np.zeros_like(change), where=sd > 0)


def _design(coef: CoefficientsResult, data: object) -> Design | str:
    """The data as stage 2 saw them, or why they are not those."""
    if data is None:
        return "the full data were not given (data=)"
    layout = coef.mixture.components[0].normal.elimination.operator.layout
    with warnings.catch_warnings():  # the fit has given them already
        warnings.simplefilter("ignore", MixedfxWarning)
        design = build_design(coef.formula, data, family=coef.family, weights=coef.spec.weights_column)
    if design.n_rows != coef.n_rows:
        return (
            f"the data given have {design.n_rows:,} complete rows, but stage 2 was fitted to {coef.n_rows:,}"
        )
    for term in design.predictors.terms:
        if not term.grouping.levels.equals(coef.spec.group(term.name).levels):
            return (
                f"factor '{term.name}' has other levels in the data given than in those stage 2 was fitted to"
            )
    omega = coef.mixture.components[0].normal.elimination.omega
    if coef.family == "gaussian" and coef.spec.weights_column is None and np.ptp(omega) > 0:
        # The weights were an array; the curvature of a gaussian row is weight / sigma^2.
        return replace(design, weights=layout.in_caller_order(omega) * coef.varcorr.sigma2)
    return design

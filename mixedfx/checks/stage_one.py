"""What stage 1 is known to have seen: the fit behind each factor, and its normal distribution at the frozen Sigma."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mixedfx.checks.frozen import StageNormal, stage_one_normal

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

"""Fixed effects and thresholds of both stages side by side."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pandas as pd

from mixedfx.covariance.result import CovarianceResult
from mixedfx.pipeline.report import Section, Table, side_by_side

if TYPE_CHECKING:
    from mixedfx.coefficients.result import CoefficientsResult


def fixed_effects(covariance: CovarianceResult, coefficients: CoefficientsResult | None) -> Section:
    """Fixed effects (and thresholds) of both stages side by side."""
    first, second = (covariance.fixef, covariance.fixef_se), (None, None)
    if coefficients is not None:
        second = coefficients.fixef, coefficients.fixef_se
    tables = [_stages("fixed effect", *first, *second)]
    if covariance.thresholds is not None:
        first = covariance.thresholds, covariance.thresholds_se
        if coefficients is not None:
            second = coefficients.thresholds, coefficients.thresholds_se
        tables.append(replace(_stages("threshold", *first, *second), title="Thresholds"))
    text = "Stage 2 is at the frozen covariances." if coefficients is not None else ""
    if coefficients is not None and (covariance.fits or covariance.n_rows < coefficients.n_rows):
        text = "Stage 1 saw the subsample, stage 2 all rows at the frozen covariances."
    return Section("fixed-effects", "Fixed effects", text, tables=tuple(tables))


def _stages(
    label: str, one: pd.Series, se1: pd.Series | None, two: pd.Series | None, se2: pd.Series | None
) -> Table:
    """Estimates and standard errors of both stages, and how far apart they are."""
    frame = pd.DataFrame({"stage 1": one, "standard error": se1})
    if two is not None:
        frame = pd.concat([frame, pd.DataFrame({"stage 2": two, "its standard error": se2})], axis=1)
        frame["difference / se 1"] = (frame["stage 2"] - frame["stage 1"]) / frame["standard error"]
    return side_by_side(frame.dropna(axis=1, how="all").rename_axis(label).reset_index())

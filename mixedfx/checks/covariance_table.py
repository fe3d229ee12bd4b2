"""Sigma of stage 1, as frozen, and on all rows, entry by entry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.checks.sampling_error import difference_errors
from mixedfx.checks.stage_normal import random_terms
from mixedfx.checks.stage_one import StageOne, every_fit
from mixedfx.covariance.averaged import independent_replicates
from mixedfx.covariance.parameters import Covariances, ParameterSpace
from mixedfx.varcorr import RESIDUAL, VarCorr

if TYPE_CHECKING:
    from mixedfx.checks.full_data import FullData
    from mixedfx.checks.stage_normal import StageNormal
    from mixedfx.coefficients.result import CoefficientsResult
    from mixedfx.covariance.result import CovarianceResult
    from mixedfx.linalg.layout import RowLayout

Floats = NDArray[np.float64]


def covariance_table(
    cov: CovarianceResult,
    coef: CoefficientsResult,
    full: FullData | None,
    fits: Mapping[str, StageOne],
    second: StageNormal,
) -> pd.DataFrame:
    """One row an entry of Sigma, sigma^2 last.

    Returns
    -------
    DataFrame
        Columns, NaN where something is not known:

        - grp, var1, var2: as lme4's, `var2` missing for a variance;
        - stage1, se1: what stage 1 learned, with its standard error;
        - frozen: what stage 2 used, which should be the same;
        - full, se_full: the estimate on all rows;
        - frozen_sdcor, full_sdcor: as standard deviation or correlation;
        - error, z: standard deviation of full - frozen by chance, and the difference in these units; stage 1's rows are
          among all rows, so that it is sqrt(I_sub^-1 - I_full^-1);
        - contribution: of a variance, sd(coefficient) rms(column) as a share of the standard deviation of the response
          (of the linear predictor, for families without sigma^2), the larger of frozen and full.
    """
    layout = coef.mixture.components[0].normal.elimination.operator.layout
    space = ParameterSpace.of(tuple(random_terms(coef, layout).values()))
    table = _labels(space)
    frozen = space.from_varcorr(coef.varcorr)
    table["stage1"] = space.vector(space.from_varcorr(cov.varcorr))
    keys = [_key(row) for row in table.to_dict("records")]
    errors1 = _errors(cov.standard_errors)
    table["se1"] = [errors1.get(key, np.nan) for key in keys]
    table["frozen"] = space.vector(frozen)
    table["frozen_sdcor"] = _sdcor(frozen, space)
    table["contribution"] = _contributions(coef.varcorr, space, layout)
    for column in ("full", "se_full", "full_sdcor", "error", "z"):
        table[column] = np.nan
    if full is not None:
        refined = space.from_varcorr(full.varcorr)
        table["full"] = space.vector(refined)
        table["full_sdcor"] = _sdcor(refined, space)
        errors2 = _errors(full.standard_errors)
        table["se_full"] = [errors2.get(key, np.nan) for key in keys]
        table.loc[[key not in errors2 for key in keys], ["full", "full_sdcor"]] = np.nan
        independent = independent_replicates(cov.replicates) if cov.replicates else {}
        table["error"] = difference_errors(
            table, full.varcorr, every_fit(cov, coef, fits), second, independent
        )
        difference = table["full"] - table["frozen"]
        table["z"] = (difference / table["error"]).where(difference != 0, 0.0)
        table["contribution"] = np.maximum(table["contribution"], _contributions(full.varcorr, space, layout))
    return table if coef.varcorr.sigma2 is not None else table.iloc[:-1]


def _labels(space: ParameterSpace) -> pd.DataFrame:
    rows: list[tuple[str, object, object]] = []
    for entry in space.entries:
        term = space.terms[entry.term]
        second = np.nan if entry.i == entry.j else term.names[entry.j]
        rows.append((term.name, term.names[entry.i], second))
    rows.append((RESIDUAL, np.nan, np.nan))
    return pd.DataFrame(rows, columns=["grp", "var1", "var2"], dtype=object)


def _sdcor(point: Covariances, space: ParameterSpace) -> Floats:
    sds = [np.sqrt(np.diag(S)) for S in point.matrices]
    out = []
    for e in space.entries:
        scale = sds[e.term][e.i] * sds[e.term][e.j]
        if e.i == e.j:
            out.append(sds[e.term][e.i])
        else:
            out.append(point.matrices[e.term][e.i, e.j] / scale if scale > 0 else np.nan)
    return np.array([*out, np.sqrt(point.sigma2)])


def _contributions(varcorr: VarCorr, space: ParameterSpace, layout: RowLayout) -> Floats:
    """NaN for covariances."""
    stored = {
        int(c): float(np.mean(layout.feature(int(c)) ** 2)) for t in space.terms for c in t.columns if c >= 0
    }
    point, parts = space.from_varcorr(varcorr), np.full(space.size, np.nan)
    for i, e in enumerate(space.entries):
        if e.i == e.j:
            column = int(space.terms[e.term].columns[e.i])
            parts[i] = point.matrices[e.term][e.i, e.i] * stored.get(column, 1.0)
    parts[-1] = np.nan if varcorr.sigma2 is None else varcorr.sigma2
    return np.sqrt(parts / max(float(np.nansum(parts)), np.finfo(float).tiny))


def _errors(frame: pd.DataFrame) -> dict[tuple[object, frozenset[object]], float]:
    """Standard errors by group and coefficients, in whichever order a frame names these."""
    return {_key(row): float(row["se"]) for row in frame.to_dict("records")}


def _key(row: Mapping[Any, Any]) -> tuple[object, frozenset[object]]:
    return row["grp"], frozenset(name for name in (row["var1"], row["var2"]) if isinstance(name, str))

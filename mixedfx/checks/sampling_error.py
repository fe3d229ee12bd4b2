"""Sampling errors of covariances learned from part of the rows, against estimates from all rows.

The information of a factor's covariance is taken block by block,

    I_ab = 1/2 sum_j tr(T_jj E_a T_jj E_b),   T_jj = Z_j' P Z_j = Sigma^-1 (Sigma - V_jj) Sigma^-1,

at one Sigma for both stages. Average information, which rests on the data, would do for one stage; the difference
of two such estimates is mostly noise where the stages share most of the levels, and may be negative.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.checks.explained import Explained
from mixedfx.checks.stage_normal import StageNormal
from mixedfx.checks.stage_one import StageOne
from mixedfx.covariance.parameters import ParameterSpace
from mixedfx.varcorr import RESIDUAL, VarCorr

Floats = NDArray[np.float64]

LEAST_SHARE = 0.05**2
"""Share of stage 1's sampling variance that the difference has in any case: rounding, Monte Carlo error."""


def difference_errors(
    table: pd.DataFrame,
    varcorr: VarCorr,
    fits: Mapping[str, Sequence[StageOne]],
    second: StageNormal,
    independent: Mapping[str, float],
) -> Floats:
    """Standard deviation of (full-data estimate - frozen) by chance, for each row of the covariance table.

    Parameters
    ----------
    table
        See `mixedfx.checks.covariance_table`.
    varcorr
        Covariances at which the information is taken: the full-data estimate, because a variance that chance made small
        in the subsample has a standard error that is too small as well.
    fits, second
        Both stages; of the first all fits that a factor's covariance is the mean of.
    independent
        Factor -> how many of these fits count in the mean's variance, where it is not one: replicates share levels.

    Notes
    -----
    The estimate from all rows is efficient, so that Var(full - mean) = Var(mean) - Var(full) for the mean of replicates
    as for one sample.

    Where stage 1's rows are not known, its whole standard error is taken, as if the full data knew all; where the
    frozen covariances are not stage 1's, that of the full data.
    """
    variance = table["se1"].to_numpy(dtype=float) ** 2
    aligned = varcorr.align(second.terms.values())
    everything = second.explained
    for factor, firsts in fits.items():
        own = [None if first.normal is None else first.normal.explained[factor] for first in firsts]
        full, known = everything[factor], [blocks for blocks in own if blocks is not None]
        if len(known) == len(own) and full is not None:
            space = ParameterSpace.of((second.terms[factor],))
            L = second.factor_matrix(factor)
            change = aligned.block(factor).matrix - L @ L.T
            each = [entry_variances(blocks.at(change), space) for blocks in known]
            mine = np.mean(each, axis=0) / independent.get(factor, 1.0)
            rest = entry_variances(full.at(change), space)
            variance[(table["grp"] == factor).to_numpy()] = np.maximum(mine - rest, LEAST_SHARE * mine)
    if varcorr.sigma2 is not None:
        each = _residual_variances(fits, varcorr.sigma2)
        rest = residual_variance(second, varcorr.sigma2)
        if each and rest is not None:
            mine = float(np.mean(each)) / len(each)
            variance[(table["grp"] == RESIDUAL).to_numpy()] = max(mine - rest, LEAST_SHARE * mine)
    frozen_elsewhere = ~np.isclose(table["stage1"], table["frozen"], rtol=1e-6)
    unknown = frozen_elsewhere | ~np.isfinite(variance)
    return np.where(unknown, table["se_full"], np.sqrt(variance))


def _residual_variances(fits: Mapping[str, Sequence[StageOne]], sigma2: float) -> list[float]:
    """Of each replicate's largest fit; none where one of them is not known."""
    out = []
    for replicate in zip(*fits.values(), strict=True):
        normals = [first.normal for first in replicate if first.normal is not None]
        if not normals:
            return []
        variance = residual_variance(max(normals, key=lambda normal: normal.n_rows), sigma2)
        if variance is None:
            return []
        out.append(variance)
    return out


def entry_variances(blocks: Explained, space: ParameterSpace) -> Floats:
    """Sampling variance of each free entry of one factor, shape (entries,)."""
    return np.diag(np.linalg.pinv(blocks.information(space), hermitian=True))


def residual_variance(stage: StageNormal, sigma2: float) -> float | None:
    """Sampling variance of sigma^2: 2 sigma^4 over the degrees of freedom that coefficients leave."""
    used = 0.0
    for factor, own in stage.explained.items():
        if own is None:
            return None
        L = stage.factor_matrix(factor)
        used += float(np.sum(own.total * (L @ L.T)))
    degrees = stage.n_rows - len(stage.fixed_names) - used
    return 2 * sigma2**2 / degrees if degrees > 0 else None

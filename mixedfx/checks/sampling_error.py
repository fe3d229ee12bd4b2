"""Sampling errors of covariances learned from part of the rows, against estimates from all rows.

The information of a factor's covariance is taken block by block,

    I_ab = 1/2 sum_j tr(T_jj E_a T_jj E_b),   T_jj = Z_j' P Z_j = Sigma^-1 (Sigma - V_jj) Sigma^-1,

at one Sigma for both stages. Average information, which rests on the data, would do for one stage; the difference
of two such estimates is mostly noise where the stages share most of the levels, and may be negative.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.checks.frozen import StageNormal
from mixedfx.checks.stage_one import StageOne
from mixedfx.covariance.parameters import ParameterSpace
from mixedfx.varcorr import RESIDUAL, VarCorr

Floats = NDArray[np.float64]


LEAST_SHARE = 0.05**2
"""Share of stage 1's sampling variance that the difference has in any case: rounding, Monte Carlo error."""


def difference_errors(
    table: pd.DataFrame, varcorr: VarCorr, fits: Mapping[str, StageOne], second: StageNormal
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
        Both stages.

    Notes
    -----
    Where stage 1's rows are not known, its whole standard error is taken, as if the full data knew all; where the
    frozen covariances are not stage 1's, that of the full data.
    """
    variance = table["se1"].to_numpy(dtype=float) ** 2
    known = {factor: first.normal for factor, first in fits.items() if first.normal is not None}
    if known and varcorr.sigma2 is not None:
        rebuilt = {id(normal): normal.at(varcorr) for normal in known.values()}
        everything = second.at(varcorr)
        for factor, normal in known.items():
            own = (table["grp"] == factor).to_numpy()
            mine = rebuilt[id(normal)]
            _lower(variance, own, entry_variances(mine, factor), entry_variances(everything, factor))
        largest = max(rebuilt.values(), key=lambda normal: normal.n_rows)
        own = (table["grp"] == RESIDUAL).to_numpy()
        _lower(variance, own, residual_variance(largest), residual_variance(everything))
    frozen_elsewhere = ~np.isclose(table["stage1"], table["frozen"], rtol=1e-6)
    unknown = frozen_elsewhere | ~np.isfinite(variance)
    return np.where(unknown, table["se_full"], np.sqrt(variance))


def _lower(variance: Floats, rows: NDArray[np.bool_], mine: Floats | None, everything: Floats | None) -> None:
    """Replace stage 1's variances by the differences, where both are known."""
    if mine is not None and everything is not None:
        variance[rows] = np.maximum(mine - everything, LEAST_SHARE * mine)


def entry_variances(stage: StageNormal, factor: str) -> Floats | None:
    """Sampling variance of each free entry of Sigma_k, in the order of `ParameterSpace`; None for a singular one."""
    blocks = explained_blocks(stage, factor)
    if blocks is None:
        return None
    space = ParameterSpace.of((stage.terms[factor],))
    return np.diag(np.linalg.pinv(information(blocks, space), hermitian=True))


def information(blocks: Explained, space: ParameterSpace) -> Floats:
    """I_ab of one factor, shape (entries, entries)."""
    basis = np.array([space.basis(entry) for entry in space.entries])
    products = np.einsum("jab,ebc->jeac", blocks.T, basis, optimize=True)
    return 0.5 * blocks.weight * np.einsum("jeab,jfba->ef", products, products, optimize=True)


def residual_variance(stage: StageNormal) -> Floats | None:
    """Sampling variance of sigma^2: 2 sigma^4 over the degrees of freedom that coefficients leave; shape (1,)."""
    used = 0.0
    for factor in stage.terms:
        blocks = explained_blocks(stage, factor)
        if blocks is None:
            return None
        L = stage.factor_matrix(factor)
        used += blocks.weight * float(np.einsum("jab,ba->", blocks.T, L @ L.T))
    degrees = stage.n_rows - len(stage.fixed_names) - used
    return None if stage.sigma2 is None or degrees <= 0 else np.array([2 * stage.sigma2**2 / degrees])


class Explained(NamedTuple):
    """T_jj of some levels, shape (n, q, q), and how many levels each of them stands for."""

    T: Floats
    weight: float


def explained_blocks(stage: StageNormal, factor: str) -> Explained | None:
    """T_jj of all levels, or in a large model of some drawn at random; None where Sigma is singular."""
    L = stage.factor_matrix(factor)
    if np.abs(np.diag(L)).min() <= 1e-6 * np.abs(L).max():
        return None
    inverse = np.linalg.inv(L)
    levels = stage.affordable(stage.levels(factor))
    V = stage.covariances(factor, levels)
    T = inverse.T @ (np.eye(len(L)) - inverse @ V @ inverse.T) @ inverse
    return Explained(T, len(stage.levels(factor)) / len(levels))

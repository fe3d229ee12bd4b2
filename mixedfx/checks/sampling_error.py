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
    aligned = varcorr.align(second.terms.values())
    everything = {factor: explained_blocks(second, factor) for factor in second.terms}
    largest = max(fits.values(), key=lambda first: first.result.n_rows).normal
    for factor, first in fits.items():
        blocks = None if first.normal is None else explained_blocks(first.normal, factor)
        if first.normal is not None and blocks is not None and (full := everything[factor]) is not None:
            space = ParameterSpace.of((second.terms[factor],))
            L = second.factor_matrix(factor)
            change = aligned.block(factor).matrix - L @ L.T
            own = entry_variances(blocks.at(change), space)
            rest = entry_variances(full.at(change), space)
            variance[(table["grp"] == factor).to_numpy()] = np.maximum(own - rest, LEAST_SHARE * own)
    if largest is not None and varcorr.sigma2 is not None:
        own, rest = (residual_variance(stage, varcorr.sigma2) for stage in (largest, second))
        if own is not None and rest is not None:
            variance[(table["grp"] == RESIDUAL).to_numpy()] = max(own - rest, LEAST_SHARE * own)
    frozen_elsewhere = ~np.isclose(table["stage1"], table["frozen"], rtol=1e-6)
    unknown = frozen_elsewhere | ~np.isfinite(variance)
    return np.where(unknown, table["se_full"], np.sqrt(variance))


def information(blocks: Explained, space: ParameterSpace) -> Floats:
    """I_ab of one factor's free entries, in the order of `space`, shape (entries, entries)."""
    basis = np.array([space.basis(entry) for entry in space.entries])
    products = np.einsum("jab,ebc->jeac", blocks.T, basis, optimize=True)
    return 0.5 * blocks.weight * np.einsum("jeab,jfba->ef", products, products, optimize=True)


def entry_variances(blocks: Explained, space: ParameterSpace) -> Floats:
    """Sampling variance of each free entry, shape (entries,)."""
    return np.diag(np.linalg.pinv(information(blocks, space), hermitian=True))


def residual_variance(stage: StageNormal, sigma2: float) -> float | None:
    """Sampling variance of sigma^2: 2 sigma^4 over the degrees of freedom that coefficients leave."""
    used = 0.0
    for factor in stage.terms:
        blocks = explained_blocks(stage, factor)
        if blocks is None:
            return None
        L = stage.factor_matrix(factor)
        used += blocks.weight * float(np.einsum("jab,ba->", blocks.T, L @ L.T))
    degrees = stage.n_rows - len(stage.fixed_names) - used
    return 2 * sigma2**2 / degrees if degrees > 0 else None


class Explained(NamedTuple):
    """T_jj of some levels, shape (n, q, q), and how many levels each of them stands for."""

    T: Floats
    weight: float

    def at(self, change: Floats) -> Explained:
        """Where Sigma is another by `change` (q, q): T^-1 is Sigma plus what the rows leave unknown, which stays."""
        q = len(change)
        return Explained(np.linalg.solve(np.eye(q) + self.T @ change, self.T), self.weight)


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

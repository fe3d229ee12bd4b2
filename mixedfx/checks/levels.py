"""Conditional modes of both stages on the levels that both have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from mixedfx.checks.agreement import share_inside

if TYPE_CHECKING:
    from xarray import DataTree

    from mixedfx.checks.stage_normal import StageNormal
    from mixedfx.checks.stage_one import StageOne
    from mixedfx.coefficients.result import CoefficientsResult

Floats = NDArray[np.float64]

INTERVAL = 0.9
LEAST_ERROR = 0.1
"""Standard deviation of b2 - b1 that is allowed for in any case, in those of stage 1. A level that has no further rows
in stage 2 should not move at all, but does a little: stage 1's modes are at its own Sigma (means over the posterior of
Sigma), its means have Monte Carlo error, and its means are not modes where the response is not gaussian."""


@dataclass(frozen=True, eq=False)
class CoefficientLevels:
    """One random coefficient on the levels that both stages have.

    Attributes
    ----------
    factor, coefficient
        Such as "user", "(Intercept)".
    table
        Indexed by level; NaN where something is not known:

        - mode1, mode2: conditional modes (posterior means where stage 1 is a posterior);
        - sd1, sd2: their standard deviations at the frozen Sigma, uncertainty of the fixed effects included;
        - z: (b2 - b1) / sqrt(V1 - V2) of deviations from the mean over the levels, so that a shift of all levels
          against the intercept, which says nothing about any of them, is left out;
        - inside: share of stage 2's draws of that deviation in stage 1's 90 % interval;
        - rows1, rows2: rows of the level.
    sd_random
        Standard deviation of the coefficient in the frozen Sigma.
    n_levels
        Levels that stage 1 and stage 2 have.
    why
        Why there are no standard deviations; empty where there are.
    """

    factor: str
    coefficient: str
    table: pd.DataFrame
    sd_random: float
    n_levels: tuple[int, int]
    why: str = ""

    @property
    def name(self) -> str:
        """``"user (Intercept)"``."""
        return f"{self.factor} {self.coefficient}"


def compare_levels(
    factor: str, first: StageOne, coef: CoefficientsResult, second: StageNormal
) -> list[CoefficientLevels]:
    """Put together what both stages say of a factor's coefficients, one after the other.

    Parameters
    ----------
    factor
        Its name.
    first
        The fit of stage 1 that the factor's covariance was read from.
    coef, second
        Stage 2, and its normal distribution.
    """
    modes2 = coef.ranef[factor]
    modes1 = first.result.ranef[factor][list(modes2.columns)]
    common = modes2.index[modes2.index.isin(modes1.index)]
    uncertainty: dict[str, Floats] = {}
    if len(common) > 1:
        uncertainty = _uncertainty(factor, modes1.loc[common], modes2.loc[common], first, second)
    matrix = coef.varcorr.block(factor).matrix
    out = []
    for a, name in enumerate(modes2.columns):
        table = pd.DataFrame({"mode1": modes1.loc[common, name], "mode2": modes2.loc[common, name]})
        for column in ("sd1", "sd2", "z", "inside"):
            table[column] = uncertainty[column][:, a] if column in uncertainty else np.nan
        table["rows1"] = np.nan if first.normal is None else first.normal.rows(factor, common)
        table["rows2"] = second.rows(factor, common)
        sizes = (len(modes1), len(modes2))
        sd_random = float(np.sqrt(matrix[a, a]))
        out.append(CoefficientLevels(factor, str(name), table, sd_random, sizes, first.why))
    return out


def _uncertainty(
    factor: str, modes1: pd.DataFrame, modes2: pd.DataFrame, first: StageOne, second: StageNormal
) -> dict[str, Floats]:
    """The columns sd1, sd2, z, inside; each (J, q), NaN on levels that were not chosen."""
    levels = second.affordable(modes2.index)
    chosen = modes2.index.get_indexer(levels)
    own2, centred2 = second.variances(factor, levels)
    columns = {"sd2": np.sqrt(own2)}
    draws = _draws(first.result.posterior, factor, levels)
    if first.normal is not None:
        own1, centred1 = first.normal.variances(factor, levels)
    elif draws is not None:
        own1, centred1 = draws.var(axis=0), _deviations(draws).var(axis=0)
    else:
        return {name: _spread_out(values, chosen, len(modes2)) for name, values in columns.items()}
    mean1, mean2 = _deviations(modes1.to_numpy()[chosen]), _deviations(modes2.to_numpy()[chosen])
    half = norm.ppf(0.5 + INTERVAL / 2) * np.sqrt(centred1)
    lower, upper = mean1 - half, mean1 + half
    if draws is not None:
        lower, upper = np.quantile(_deviations(draws), [0.5 - INTERVAL / 2, 0.5 + INTERVAL / 2], axis=0)
    gained = np.maximum(centred1 - centred2, LEAST_ERROR**2 * centred1)
    with np.errstate(divide="ignore", invalid="ignore"):  # 0 / 0 where a variance in Sigma is 0
        columns |= {
            "sd1": np.sqrt(own1),
            "z": (mean2 - mean1) / np.sqrt(gained),
            "inside": share_inside(lower, upper, mean2, np.sqrt(centred2)),
        }
    return {name: _spread_out(values, chosen, len(modes2)) for name, values in columns.items()}


def _deviations(values: Floats) -> Floats:
    """From the mean over levels, the last axis but one."""
    return values - values.mean(axis=-2, keepdims=True)


def _spread_out(values: Floats, chosen: NDArray[np.int64], n: int) -> Floats:
    out = np.full((n, values.shape[1]), np.nan)
    out[chosen] = values
    return out


def _draws(posterior: DataTree | None, factor: str, levels: pd.Index) -> Floats | None:
    """Draws of some levels' coefficients, shape (draws, J, q); None where there are none."""
    if posterior is None or f"b_{factor}" not in posterior["posterior"]:
        return None
    b = posterior["posterior"][f"b_{factor}"].transpose("chain", "draw", factor, f"{factor}_coef")
    at = b.indexes[factor].get_indexer(levels)
    return b.to_numpy().reshape(-1, *b.shape[2:])[:, at]

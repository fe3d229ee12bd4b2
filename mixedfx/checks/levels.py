"""Conditional modes of both stages on the levels that both have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from mixedfx.checks.agreement import share_inside, shares_below

if TYPE_CHECKING:
    from xarray import DataTree

    from mixedfx.checks.stage_normal import StageNormal
    from mixedfx.checks.stage_one import StageOne
    from mixedfx.coefficients.result import CoefficientsResult

Floats = NDArray[np.float64]

INTERVAL = 0.9
PROBABILITIES = np.arange(1, 100) / 100
"""Where the distribution of stage 2's draws among stage 1's quantiles is looked at."""
MOST_IN_PIT = 5000
"""Of more levels a random sample is drawn for that."""
LEAST_ERROR = 0.1
"""Standard deviation of b2 - b1 that is allowed for in any case, in those of stage 1. A level that has no further rows
in stage 2 should not move at all, but does a little: stage 1's modes are at its own Sigma (means over the posterior of
Sigma), its means have Monte Carlo error."""
LEAST_ERROR_LAPLACE = 0.25
"""The same for families other than gaussian: stage 1's modes are at fixed effects that maximise Laplace's likelihood,
or are means of a skewed posterior, and stage 2's are the joint mode."""


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
    pit
        Share of stage 2's draws below stage 1's quantile at each of `PROBABILITIES`, averaged over levels, of the same
        deviations as z; these shares are the probabilities where the stages agree. None where not known.
    pit_levels
        Levels it rests on.
    """

    factor: str
    coefficient: str
    table: pd.DataFrame
    sd_random: float
    n_levels: tuple[int, int]
    why: str = ""
    pit: Floats | None = None
    pit_levels: int = 0

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
    uncertainty, pit = _Uncertainty({}), None
    if len(common) > 1:
        uncertainty = _uncertainty(factor, modes1.loc[common], modes2.loc[common], first, second)
        pit = uncertainty.pit
    matrix = coef.varcorr.block(factor).matrix
    out = []
    for a, name in enumerate(modes2.columns):
        table = pd.DataFrame({"mode1": modes1.loc[common, name], "mode2": modes2.loc[common, name]})
        for column in ("sd1", "sd2", "z", "inside"):
            table[column] = uncertainty.columns[column][:, a] if column in uncertainty.columns else np.nan
        table["rows1"] = np.nan if first.normal is None else first.normal.rows(factor, common)
        table["rows2"] = second.rows(factor, common)
        sizes = (len(modes1), len(modes2))
        sd_random = float(np.sqrt(matrix[a, a]))
        out.append(
            CoefficientLevels(
                factor,
                str(name),
                table,
                sd_random,
                sizes,
                first.why,
                None if pit is None else pit[:, a],
                uncertainty.pit_levels,
            )
        )
    return out


@dataclass(frozen=True, eq=False)
class _Uncertainty:
    """Columns sd1, sd2, z, inside, those that are known, each (J, q); shares below quantiles (n, q)."""

    columns: dict[str, Floats]
    pit: Floats | None = None
    pit_levels: int = 0


def _uncertainty(
    factor: str, modes1: pd.DataFrame, modes2: pd.DataFrame, first: StageOne, second: StageNormal
) -> _Uncertainty:
    levels = modes2.index
    own2, centred2 = second.variances(factor, levels)
    columns = {"sd2": np.sqrt(own2)}
    draws = _draws(first.result.posterior, factor, levels)
    if first.normal is not None:
        own1, centred1 = first.normal.variances(factor, levels)
    elif draws is not None:
        own1, centred1 = draws.var(axis=0), _deviations(draws).var(axis=0)
    else:
        return _Uncertainty(columns)
    mean1, mean2 = _deviations(modes1.to_numpy()), _deviations(modes2.to_numpy())
    deviations = None if draws is None else _deviations(draws)
    ends = np.array([0.5 - INTERVAL / 2, 0.5 + INTERVAL / 2])
    lower, upper = _quantiles(ends, mean1, np.sqrt(centred1), deviations)
    least = LEAST_ERROR if first.result.family == "gaussian" else LEAST_ERROR_LAPLACE
    gained = np.maximum(centred1 - centred2, least**2 * centred1)
    with np.errstate(divide="ignore", invalid="ignore"):  # 0 / 0 where a variance in Sigma is 0
        columns |= {
            "sd1": np.sqrt(own1),
            "z": (mean2 - mean1) / np.sqrt(gained),
            "inside": share_inside(lower, upper, mean2, np.sqrt(centred2)),
        }
    some = _sample(len(levels))
    own = None if deviations is None else deviations[:, some]
    quantiles = _quantiles(PROBABILITIES, mean1[some], np.sqrt(centred1[some]), own)
    pit = np.stack([shares_below(bound, mean2[some], np.sqrt(centred2[some])) for bound in quantiles])
    return _Uncertainty(columns, pit, len(some))


def _quantiles(at: Floats, mean: Floats, sd: Floats, draws: Floats | None) -> Floats:
    """Stage 1's quantiles of levels, shape (len(at), J, q): of its draws (n, J, q), else of its normal distribution."""
    if draws is not None:
        return np.quantile(draws, at, axis=0)
    return mean + norm.ppf(at)[:, None, None] * sd


def _sample(n: int) -> NDArray[np.int64]:
    """All of n levels, or a random sample."""
    if n <= MOST_IN_PIT:
        return np.arange(n)
    return np.sort(np.random.default_rng(0).choice(n, MOST_IN_PIT, replace=False))


def _deviations(values: Floats) -> Floats:
    """From the mean over levels, the last axis but one."""
    return values - values.mean(axis=-2, keepdims=True)


def _draws(posterior: DataTree | None, factor: str, levels: pd.Index) -> Floats | None:
    """Draws of some levels' coefficients, shape (draws, J, q); None where there are none."""
    if posterior is None or f"b_{factor}" not in posterior["posterior"]:
        return None
    b = posterior["posterior"][f"b_{factor}"].transpose("chain", "draw", factor, f"{factor}_coef")
    at = b.indexes[factor].get_indexer(levels)
    return b.to_numpy().reshape(-1, *b.shape[2:])[:, at]

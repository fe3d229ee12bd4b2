"""Wald intervals of a fit's parameters, from their standard errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from mixedfx.covariance.quantities import quantities
from mixedfx.errors import SettingError

if TYPE_CHECKING:
    from mixedfx.covariance.result import CovarianceResult

Floats = NDArray[np.float64]


def wald_intervals(result: CovarianceResult, level: float = 0.95) -> pd.DataFrame:
    """Intervals that hold each parameter with probability `level`, by the normal approximation.

    Fixed effects, thresholds and covariances: estimate +- z se. Variances: on the scale of their logarithm, where the
    approximation is better and no limit is negative; standard deviations are their square roots. Correlations: on
    Fisher's scale, atanh, with the standard error that the delta method gives them.

    Returns
    -------
    DataFrame
        ``grp``, ``var1``, ``var2`` (as in `VarCorr.to_frame`; `grp` is "fixed" or "threshold" for the others),
        ``parameter`` ("coefficient", "variance", "sd", "covariance" or "correlation"), ``estimate``, ``lower``,
        ``upper``: NaN limits for parameters at a boundary, where no normal approximation holds.

    Raises
    ------
    SettingError
        `level` is not between 0 and 1.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> from mixedfx.covariance.intervals import wald_intervals
    >>> fit = mfx.learn_covariance("y ~ 1 + (1 | s) + (1 | d)", mfx.datasets.load_insteval())
    >>> wald_intervals(fit).round(3).query("parameter == 'sd' and grp == 'd'")[["lower", "upper"]].to_numpy().tolist()
    [[0.499, 0.549]]
    """
    z = float(norm.ppf(0.5 + check_level(level) / 2))
    table = quantities(result.varcorr, result.fixef, result.thresholds)
    thresholds_se = result.thresholds_se
    if thresholds_se is None:
        thresholds_se = np.full(0 if result.thresholds is None else len(result.thresholds), np.nan)
    coefficients = np.concatenate([result.fixef_se, thresholds_se])
    entries, correlations = result.standard_errors["se"].to_numpy(dtype=float), _correlation_errors(result)
    errors = np.concatenate([coefficients, np.column_stack([entries, correlations]).ravel()])
    limits = [
        _limits(parameter, estimate, error, z)
        for parameter, estimate, error in zip(table["parameter"], table["estimate"], errors, strict=True)
    ]
    # Standard deviations are of the row before, their variance.
    sd = np.flatnonzero(table["parameter"] == "sd")
    table[["lower", "upper"]] = np.array(limits).reshape(-1, 2)
    table.loc[sd, ["lower", "upper"]] = np.sqrt(table.loc[sd - 1, ["lower", "upper"]].to_numpy())
    return table


def check_level(level: float) -> float:
    """`level`, if it is a probability of an interval; else `SettingError`."""
    if isinstance(level, bool) or not isinstance(level, int | float) or not 0 < level < 1:
        raise SettingError(f"level is {level!r}, but must be between 0 and 1")
    return float(level)


def _limits(parameter: str, estimate: float, error: float, z: float) -> tuple[float, float]:
    if parameter == "variance":
        spread = np.exp(z * error / estimate) if estimate > 0 else np.nan
        return estimate / spread, estimate * spread
    if parameter == "correlation":
        inside = abs(estimate) < 1 and np.isfinite(error)
        reach = z * error / (1 - estimate**2) if inside else np.nan
        center = np.arctanh(estimate) if inside else np.nan
        return float(np.tanh(center - reach)), float(np.tanh(center + reach))
    return estimate - z * error, estimate + z * error


def _correlation_errors(result: CovarianceResult) -> Floats:
    """Standard error of each entry's correlation by the delta method, shape (n,); NaN for variances.

    d rho = d c / (s_1 s_2) - rho / 2 (d v_1 / v_1 + d v_2 / v_2)
    """
    frame, covariance = result.varcorr.to_frame(), result.varcorr_covariance
    errors = np.full(len(frame), np.nan)
    if covariance is None:
        return errors
    places = {(g, v): row for row, (g, v, w) in enumerate(_keys(frame)) if not isinstance(w, str)}
    for row, (grp, var1, var2) in enumerate(_keys(frame)):
        if not isinstance(var2, str):
            continue
        own = [row, places[grp, var1], places[grp, var2]]
        _, v1, v2 = frame["vcov"].to_numpy()[own]
        if v1 > 0 and v2 > 0:
            rho = frame["sdcor"].iloc[row]
            slope = np.array([1 / np.sqrt(v1 * v2), -rho / (2 * v1), -rho / (2 * v2)])
            errors[row] = np.sqrt(slope @ covariance[np.ix_(own, own)] @ slope)
    return errors


def _keys(frame: pd.DataFrame) -> list[tuple[object, object, object]]:
    return list(zip(frame["grp"], frame["var1"], frame["var2"], strict=True))

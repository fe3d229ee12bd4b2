"""Wald intervals of a likelihood fit's parameters, from their standard errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.stats import norm

from mixedfx.errors import SettingError

if TYPE_CHECKING:
    from mixedfx.covariance.result import CovarianceResult


def wald_intervals(result: CovarianceResult, level: float = 0.95) -> pd.DataFrame:
    """Intervals that hold each parameter with probability `level`, by the normal approximation.

    Fixed effects, thresholds and covariances: estimate +- z se. Variances: on the scale of their logarithm, where the
    approximation is better and no limit is negative; standard deviations are their square roots.

    Returns
    -------
    DataFrame
        ``grp``, ``var1``, ``var2`` (as in `VarCorr.to_frame`; `grp` is "fixed" or "threshold" for the others),
        ``parameter`` ("coefficient", "variance", "sd" or "covariance"), ``estimate``, ``lower``, ``upper``: NaN limits
        for parameters at a boundary, where no normal approximation holds.

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
    if not 0 < level < 1:
        raise SettingError(f"level is {level!r}, but must be between 0 and 1")
    z = float(norm.ppf(0.5 + level / 2))
    rows: list[tuple[object, ...]] = []

    def add(labels: tuple[object, object, object], parameter: str, estimate: float, error: float) -> None:
        rows.append((*labels, parameter, estimate, estimate - z * error, estimate + z * error))

    for name, estimate, error in zip(result.fixef.index, result.fixef, result.fixef_se, strict=True):
        add(("fixed", name, np.nan), "coefficient", estimate, error)
    if result.thresholds is not None and result.thresholds_se is not None:
        thresholds = zip(result.thresholds.index, result.thresholds, result.thresholds_se, strict=True)
        for name, estimate, error in thresholds:
            add(("threshold", name, np.nan), "coefficient", estimate, error)
    columns = ["grp", "var1", "var2", "vcov", "se"]
    for grp, var1, var2, vcov, se in result.standard_errors[columns].to_numpy(dtype=object):
        labels = (grp, var1, var2)
        if isinstance(var2, str):
            add(labels, "covariance", vcov, se)
            continue
        spread = np.exp(z * se / vcov) if vcov > 0 else np.nan
        for parameter, power in (("variance", 1.0), ("sd", 0.5)):
            limits = (vcov / spread, vcov * spread)
            rows.append((*labels, parameter, vcov**power, *(limit**power for limit in limits)))
    frame = pd.DataFrame(rows, columns=["grp", "var1", "var2", "parameter", "estimate", "lower", "upper"])
    return frame.astype({"estimate": float, "lower": float, "upper": float})

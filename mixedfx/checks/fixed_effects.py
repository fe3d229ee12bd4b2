"""Fixed effects of both stages side by side."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import norm

from mixedfx.checks.finding import Finding, skipped
from mixedfx.checks.thresholds import Thresholds, grade

PART = "fixed effects"
STATISTIC = "largest difference, in standard errors of stage 1"
LEAST_ERROR = 0.05
"""Differences below this share of a standard error are rounding, Monte Carlo error or Sigma's second digit."""


def fixed_effects_table(beta1: pd.Series, se1: pd.Series, beta2: pd.Series, se2: pd.Series) -> pd.DataFrame:
    """Both stages' fixed effects, their difference, and its z-score.

    The stages share rows, so that the variance of the difference is V1 - V2 and not the sum: the estimate from all
    rows is the efficient one (Hausman 1978, Econometrica 46).

    Returns
    -------
    DataFrame
        Indexed by name; columns stage1, se1, stage2, se2, difference, in_se (difference / se1), z. An effect that one
        stage lacks is NaN there.
    """
    names = [*beta2.index, *(name for name in beta1.index if name not in beta2.index)]
    table = pd.DataFrame({"stage1": beta1, "se1": se1, "stage2": beta2, "se2": se2}).reindex(names)
    table["difference"] = table["stage2"] - table["stage1"]
    table["in_se"] = table["difference"] / table["se1"]
    variance = np.maximum(table["se1"] ** 2 - table["se2"] ** 2, (LEAST_ERROR * table["se1"]) ** 2)
    table["z"] = table["difference"] / np.sqrt(variance)
    return table


def check_fixed_effects(table: pd.DataFrame, thresholds: Thresholds) -> list[Finding]:
    """The worst of the fixed effects, judged with all of them in mind."""
    common = table.dropna(subset=["z"])
    if common.empty:
        return [skipped(PART, PART, STATISTIC, "the stages have no fixed effect in common")]
    p_values = np.minimum(2 * norm.sf(common["z"].abs()) * len(common), 1.0)
    effect = common["in_se"].abs()
    statuses = [
        grade(e, thresholds.fixed_effects, p, thresholds) for e, p in zip(effect, p_values, strict=True)
    ]
    order = ("ok", "warn", "fail")
    severity = [order.index(s) for s in statuses]
    at = int(np.lexsort([effect, severity])[-1])
    row = common.iloc[at]
    status = statuses[at]
    name = common.index[at]
    differs = f"{row['stage1']:.4g} in stage 1 and {row['stage2']:.4g} in stage 2"
    if status == "ok":
        says = f"fixed effects differ by at most {effect.max():.2g} standard errors of stage 1 ({effect.idxmax()})"
    else:
        says = (
            f"the fixed effect '{name}' is {differs}, {effect.iloc[at]:.2g} standard errors apart, more than the rows "
            f"that only stage 2 has explain (z = {row['z']:.1f})"
        )
    return [
        Finding(
            PART,
            str(name),
            STATISTIC,
            status,
            says,
            value=float(effect.iloc[at]),
            expected=0.0,
            threshold=thresholds.fixed_effects[0],
            remedy="" if status == "ok" else REMEDY,
        )
    ]


REMEDY = (
    "check that both stages were given the same formula, factor coding and data, and that the subsample is a "
    "random one"
)

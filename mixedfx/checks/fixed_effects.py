"""Fixed effects of both stages side by side."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import norm

from mixedfx.checks.finding import SEVERITY, Finding, skipped
from mixedfx.checks.remedies import SAME_DATA
from mixedfx.checks.thresholds import Thresholds, grade

PART = "fixed effects"
STATISTIC = "largest difference / se of stage 1"
LEAST_ERROR = 0.05
"""Differences below this share of a standard error are rounding, Monte Carlo error or Sigma's second digit."""
LEAST_ERROR_LAPLACE = 0.25
"""The same for families other than gaussian, whose stages maximise different things: stage 1 Laplace's likelihood, in
which random effects are integrated out, stage 2 the joint density of fixed and random effects. On the same rows of
VerbAgg fixed effects are up to 0.36 standard errors apart."""


def fixed_effects_table(
    beta1: pd.Series,
    se1: pd.Series,
    beta2: pd.Series,
    se2: pd.Series,
    gained: pd.Series | None = None,
    least_error: float = LEAST_ERROR,
) -> pd.DataFrame:
    """Both stages' fixed effects, their difference, and its z-score.

    The stages share rows, so that the variance of the difference is V1 - V2 and not the sum: the estimate from all
    rows is the efficient one (Hausman 1978, Econometrica 46).

    Parameters
    ----------
    beta1, se1, beta2, se2
        Estimates and standard errors of the stages.
    gained
        V1 - V2 at one Sigma, where it is known: the standard errors given may be at different ones.
    least_error
        Standard deviation of the difference that is allowed for in any case, in standard errors of stage 1.

    Returns
    -------
    DataFrame
        Indexed by name; columns stage1, se1, stage2, se2, difference, in_se (difference / se1), error (standard
        deviation of the difference by chance), z. An effect that one stage lacks is NaN there.
    """
    names = [*beta2.index, *(name for name in beta1.index if name not in beta2.index)]
    table = pd.DataFrame({"stage1": beta1, "se1": se1, "stage2": beta2, "se2": se2}).reindex(names)
    table["difference"] = table["stage2"] - table["stage1"]
    table["in_se"] = table["difference"] / table["se1"]
    variance = table["se1"] ** 2 - table["se2"] ** 2
    if gained is not None:
        variance = gained.reindex(names).fillna(variance)
    variance = np.maximum(variance, (least_error * table["se1"]) ** 2)
    table["error"] = np.sqrt(variance)
    table["z"] = table["difference"] / table["error"]
    return table


def check_fixed_effects(table: pd.DataFrame, thresholds: Thresholds) -> list[Finding]:
    """Each fixed effect judged with their number in mind; the worst one stands for all."""
    judged = []
    common = table.dropna(subset=["z"])
    for name, in_se, z in zip(common.index, common["in_se"], common["z"], strict=True):
        p_value = float(2 * norm.sf(abs(z)) * len(common))
        status = grade(abs(in_se), thresholds.fixed_effects, p_value, thresholds)
        judged.append((SEVERITY[status], abs(float(in_se)), str(name), float(z), status))
    if not judged:
        return [skipped(PART, PART, STATISTIC, "the stages have no fixed effect in common")]
    _, effect, name, z, status = max(judged)
    says, remedy = f"differences of at most {effect:.2g} standard errors of stage 1 ({name})", ""
    if status != "ok":
        first, second = table.loc[name, ["stage1", "stage2"]]
        what = "threshold" if "|" in name else "fixed effect"
        says = (
            f"the {what} '{name}' is {first:.4g} in stage 1 and {second:.4g} in stage 2, {effect:.2g} standard "
            f"errors apart, more than the further rows of stage 2 explain (z = {z:.1f})"
        )
        remedy = SAME_DATA
    worst = Finding(
        PART,
        name,
        STATISTIC,
        status,
        says,
        value=effect,
        expected=0.0,
        threshold=thresholds.fixed_effects[0],
        remedy=remedy,
    )
    return [worst, *_in_one_stage(table)]


def _in_one_stage(table: pd.DataFrame) -> list[Finding]:
    """The subsample may lack a category, and so its effect."""
    alone = [str(name) for name, z in table["z"].items() if np.isnan(z)]
    if not alone:
        return []
    says = "one of the stages does not have them, as where the subsample lacks a category"
    return [skipped(PART, ", ".join(alone), STATISTIC, says)]

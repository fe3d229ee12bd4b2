"""Judge the frozen covariances by what all rows say of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from mixedfx.checks.finding import Finding, Status, skipped
from mixedfx.checks.full_data import FullData
from mixedfx.checks.remedies import GIVEN_DATA, ONE_SIGMA, REFINE
from mixedfx.checks.thresholds import Thresholds, grade
from mixedfx.varcorr import RESIDUAL

PART = "covariances"
SAME = "frozen covariances are stage 1's"
SD = "standard deviation, all rows / frozen"
CORRELATION = "correlation, all rows - frozen"
GAIN = "log-likelihood gained by refining"
MOVE = "rms change if Sigma is refined / sd"
SOLUTION = "distance from a direct solution / sd"

EXACT = (0.01, 0.1)
"""Stage 2 solves the same equations as the direct solution, so that only its tolerance may lie between them."""


def check_covariances(
    table: pd.DataFrame, full: FullData | str, thresholds: Thresholds, *, same: bool
) -> list[Finding]:
    """Frozen against stage 1, frozen against the full data, and how far coefficients would move.

    Parameters
    ----------
    table
        See `mixedfx.checks.covariance_table`.
    full
        The full-data estimate, or why there is none.
    same
        Whether stage 2 should have used stage 1's covariances: not where these were refined, or mixed over draws.
    """
    findings = [_same(table)] if same else []
    if isinstance(full, str):
        return [*findings, skipped(PART, "covariances on all rows", SD, full)]
    missing = [_name(row) for row in table.to_dict("records") if np.isnan(row["full"])]
    if missing:
        findings.append(skipped(PART, f"{', '.join(missing)} on all rows", SD, full.why))
    for row in table.dropna(subset=["full"]).to_dict("records"):
        p_value = float(2 * norm.sf(abs(row["z"])) * len(table)) if np.isfinite(row["z"]) else 0.0
        if not isinstance(row["var2"], str):
            findings.append(_standard_deviation(row, p_value, thresholds))
        elif np.isfinite(row["frozen_sdcor"]) and np.isfinite(row["full_sdcor"]):
            findings.append(_correlation(row, table, p_value, thresholds))
    return [*findings, *_consequences(full, thresholds)]


def _same(table: pd.DataFrame) -> Finding:
    """Stage 2 may have been given another Sigma by mistake."""
    frozen, stage1 = table["frozen"].to_numpy(), table["stage1"].to_numpy()
    scale = np.maximum(np.abs(frozen), np.abs(stage1))
    off = float(np.max(np.abs(frozen - stage1) / np.where(scale > 0, scale, 1.0)))
    same = off < 1e-6
    says = "stage 2 used the covariances that stage 1 learned"
    remedy = ""
    if not same:
        says = f"stage 2 used other covariances than stage 1 learned: an entry differs by {off:.0%}"
        remedy = ONE_SIGMA
    return Finding(
        PART, "all entries", SAME, "ok" if same else "warn", says, value=off, expected=0.0, remedy=remedy
    )


def _standard_deviation(row: dict[str, Any], p_value: float, thresholds: Thresholds) -> Finding:
    name, frozen, full = _name(row), row["frozen_sdcor"], row["full_sdcor"]
    negligible = row["contribution"] < thresholds.negligible
    ratio = full / frozen if frozen > 0 else (np.inf if full > 0 else 1.0)
    effect = max(ratio, 1 / ratio if ratio > 0 else np.inf) - 1
    status: Status = "ok"
    if not negligible:
        status = grade(effect, thresholds.sd, p_value, thresholds)
        if status == "ok" and effect > thresholds.sd[0]:
            status = "warn"
    what = "sigma" if row["grp"] == RESIDUAL else f"the standard deviation of {name}"
    says, remedy = f"{what} is {frozen:.4g} frozen and {full:.4g} on all rows", ""
    if status != "ok":
        says = (
            f"the frozen variance of {name} is {_too(row['frozen'], row['full'])}: {row['frozen']:.4g}, and "
            f"{row['full']:.4g} on all rows; {_chance(row['z'], p_value, thresholds)}"
        )
        remedy = REFINE
    return Finding(
        PART,
        name,
        SD,
        status,
        says,
        value=float(ratio),
        error=_ratio_error(row),
        expected=1.0,
        threshold=thresholds.sd[0],
        remedy=remedy,
    )


def _correlation(row: dict[str, Any], table: pd.DataFrame, p_value: float, thresholds: Thresholds) -> Finding:
    name, frozen, full = _name(row), row["frozen_sdcor"], row["full_sdcor"]
    pair = table[
        (table["grp"] == row["grp"]) & table["var1"].isin([row["var1"], row["var2"]]) & table["var2"].isna()
    ]
    negligible = bool((pair["contribution"] < thresholds.negligible).any())
    status: Status = "ok"
    if not negligible:
        status = grade(abs(full - frozen), thresholds.correlation, p_value, thresholds)
    says, remedy = f"the correlation of {name} is {frozen:.2f} frozen and {full:.2f} on all rows", ""
    if status != "ok":
        says += f"; {_chance(row['z'], p_value, thresholds)}"
        remedy = REFINE
    return Finding(
        PART,
        name,
        CORRELATION,
        status,
        says,
        value=float(full - frozen),
        expected=0.0,
        threshold=thresholds.correlation[0],
        remedy=remedy,
    )


def _consequences(full: FullData, thresholds: Thresholds) -> list[Finding]:
    if full.moves is None or full.loglik_gain is None:
        return [skipped(PART, "change of the coefficients with Sigma", MOVE, full.why)]
    findings = [
        Finding(
            PART,
            "all entries",
            GAIN,
            "info",
            f"refining Sigma gains {full.loglik_gain:.2f} in log-likelihood (half of the likelihood-ratio statistic)",
            full.loglik_gain,
        )
    ]
    for factor, move in full.moves.items():
        status = grade(move, thresholds.coefficients, 0.0, thresholds)
        says = f"refining Sigma would move the coefficients of {factor} by {move:.2g} of their standard deviations"
        if wrong := full.shrinkage.get(factor):
            says += f": {'; '.join(map(str, wrong))}"
        remedy = "" if status == "ok" else REFINE
        limit = thresholds.coefficients[0]
        findings.append(
            Finding(PART, factor, MOVE, status, says, move, expected=0.0, threshold=limit, remedy=remedy)
        )
    if full.distance is not None:
        findings.append(_solution(full.distance, thresholds))
    return findings


def _solution(distance: float, thresholds: Thresholds) -> Finding:
    status = grade(distance, EXACT, 0.0, thresholds)
    says, remedy = "stage 2 equals a direct solution on the data given", ""
    if status != "ok":
        says = (
            "stage 2's conditional modes are not those of the data given at its covariances: one is "
            f"{distance:.2g} standard deviations off"
        )
        remedy = GIVEN_DATA
    return Finding(
        PART, "stage 2", SOLUTION, status, says, distance, expected=0.0, threshold=EXACT[0], remedy=remedy
    )


def _name(row: dict[str, Any]) -> str:
    if row["grp"] == RESIDUAL:
        return RESIDUAL
    second = f", {row['var2']}" if isinstance(row["var2"], str) else ""
    return f"{row['grp']} {row['var1']}{second}"


def _too(frozen: float, full: float) -> str:
    """In words, in units of what it should be: "12 % too small", "4.1 times too large"."""
    if full <= 0:
        return "too large"
    if frozen <= 0:
        return "too small"
    if frozen > 2 * full:
        return f"{frozen / full:.1f} times too large"
    share = abs(frozen / full - 1)
    return f"{share:.0%} too {'large' if frozen > full else 'small'}"


def _chance(z: float, p_value: float, thresholds: Thresholds) -> str:
    if not np.isfinite(z):
        return "its sampling error is not known"
    if p_value < thresholds.warn_rate:
        return f"the size of the subsample does not explain that (z = {z:.1f})"
    return f"the subsample was too small to know better (z = {z:.1f})"


def _ratio_error(row: dict[str, Any]) -> float:
    """Of full / frozen standard deviation, by the delta method."""
    if not (row["full"] > 0 and row["frozen"] > 0):
        return np.nan
    return float(0.5 * row["error"] / np.sqrt(row["full"] * row["frozen"]))

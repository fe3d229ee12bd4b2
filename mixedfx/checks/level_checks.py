"""Judge how stage 2's conditional modes compare with stage 1's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mixedfx.checks import agreement
from mixedfx.checks.agreement import Estimate
from mixedfx.checks.finding import Finding, Status, skipped
from mixedfx.checks.levels import INTERVAL, PROBABILITIES, CoefficientLevels
from mixedfx.checks.remedies import LABELS, MODEL, REFINE
from mixedfx.checks.thresholds import Thresholds, grade

PART = "levels"
SLOPE = "slope of stage 2 on stage 1"
SPREAD = "root mean square z-score"
COVERAGE = f"draws in stage 1's {INTERVAL:.0%} interval"
UNIFORMITY = "distance of the PIT from uniform"
CORRELATION = "correlation of the stages"
UNRELATED = 0.3
"""A slope below this is no matter of shrinkage: labels must be wrong."""


def check_levels(compared: Sequence[CoefficientLevels], thresholds: Thresholds) -> list[Finding]:
    """Slope, z-scores, coverage, uniformity and correlation of every random coefficient."""
    tests = 4 * max(len(compared), 1)
    findings: list[Finding] = []
    for levels in compared:
        findings += _check(levels, thresholds, tests)
    return findings


def _check(levels: CoefficientLevels, thresholds: Thresholds, tests: int) -> list[Finding]:
    table, name = levels.table, levels.name
    if len(table) < thresholds.min_levels:
        why = f"the stages have {len(table)} levels in common, and {thresholds.min_levels} are asked for"
        return [skipped(PART, name, SLOPE, why)]
    b1, b2 = table["mode1"].to_numpy(), table["mode2"].to_numpy()
    if np.ptp(b1) == 0 or np.ptp(b2) == 0:
        return [skipped(PART, name, SLOPE, "the conditional modes are all equal, as where the variance is 0")]
    findings = [_slope(name, agreement.slope(b1, b2), thresholds, tests)]
    known = table.dropna(subset=["z", "inside"])
    if len(known) >= thresholds.min_levels:
        findings.append(_spread(name, agreement.spread(known["z"].to_numpy()), thresholds, tests))
        inside = agreement.coverage(known["inside"].to_numpy(), INTERVAL)
        findings.append(_coverage(name, inside, thresholds, tests))
        if levels.pit is not None and np.isfinite(levels.pit).all():
            uniform = agreement.uniformity(levels.pit, PROBABILITIES, levels.pit_levels)
            findings.append(_uniformity(name, uniform, thresholds, tests))
    else:
        findings.append(skipped(PART, name, SPREAD, levels.why or "too few levels have standard deviations"))
    findings.append(_correlation(levels))
    return findings


def _slope(name: str, slope: Estimate, thresholds: Thresholds, tests: int) -> Finding:
    status = grade(abs(slope.value - 1), thresholds.slope, slope.p_value * tests, thresholds)
    says, remedy = f"slope of stage 2's modes on stage 1's: {slope.value:.2f} for {name}", ""
    if status != "ok":
        says = f"modes of {name} change by {slope.value:.2f} in stage 2 for each 1 in stage 1, where 1 is expected: "
        if slope.value < UNRELATED:
            says += "they have little to do with each other"
        else:
            says += f"stage 1's are {'too large' if slope.value < 1 else 'shrunk too much'} for all rows"
        remedy = LABELS if slope.value < UNRELATED else REFINE
    return _finding(name, SLOPE, status, says, slope, 1.0, thresholds.slope[0], remedy)


def _spread(name: str, spread: Estimate, thresholds: Thresholds, tests: int) -> Finding:
    status = grade(spread.value, thresholds.spread, spread.p_value * tests, thresholds)
    says, remedy = f"root mean square z-score of their change: {spread.value:.2f} for {name}", ""
    if status != "ok":
        says = (
            f"from stage 1 to stage 2 the modes of {name} moved {spread.value:.1f} times as far as the further rows "
            "explain (root mean square z-score)"
        )
        remedy = LABELS if status == "fail" else MODEL
    return _finding(name, SPREAD, status, says, spread, 1.0, thresholds.spread[0] - 1, remedy)


def _coverage(name: str, inside: Estimate, thresholds: Thresholds, tests: int) -> Finding:
    status = grade(abs(inside.value - INTERVAL), thresholds.coverage, inside.p_value * tests, thresholds)
    says, remedy = (
        f"stage 1's {INTERVAL:.0%} intervals hold {inside.value:.0%} of stage 2's draws for {name}",
        "",
    )
    if status != "ok":
        says += f": they are too {'narrow' if inside.value < INTERVAL else 'wide'}"
        remedy = LABELS if status == "fail" else MODEL
    return _finding(name, COVERAGE, status, says, inside, INTERVAL, thresholds.coverage[0], remedy)


def _uniformity(name: str, uniform: Estimate, thresholds: Thresholds, tests: int) -> Finding:
    status = grade(uniform.value, thresholds.pit, uniform.p_value * tests, thresholds)
    says = (
        f"ranks of stage 2's draws in stage 1 differ from uniform by at most {uniform.value:.2g} for {name}"
    )
    remedy = ""
    if status != "ok":
        says = (
            f"ranks of stage 2's draws of {name} in stage 1's distribution are not uniform: up to {uniform.value:.0%} "
            "of them are on another side of a quantile than they should be"
        )
        remedy = LABELS if status == "fail" else MODEL
    return _finding(name, UNIFORMITY, status, says, uniform, 0.0, thresholds.pit[0], remedy)


def _correlation(levels: CoefficientLevels) -> Finding:
    """For the eye: what it should be depends on how much stage 1 knew of each level."""
    table = levels.table
    value = float(np.corrcoef(table["mode1"], table["mode2"])[0, 1])
    n1, n2 = levels.n_levels
    says = (
        f"the modes of {levels.name} correlate at {value:.3f} between the stages ({len(table):,} common levels, of "
        f"{n1:,} in stage 1 and {n2:,} in stage 2)"
    )
    return Finding(PART, levels.name, CORRELATION, "info", says, value=value)


def _finding(
    name: str,
    statistic: str,
    status: Status,
    says: str,
    estimate: Estimate,
    expected: float,
    threshold: float,
    remedy: str,
) -> Finding:
    return Finding(
        PART,
        name,
        statistic,
        status,
        says,
        value=estimate.value,
        error=estimate.error,
        expected=expected,
        threshold=threshold,
        remedy=remedy,
    )

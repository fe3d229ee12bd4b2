"""What one check found, and the table of all findings."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

Status = Literal["ok", "warn", "fail", "info", "skipped"]
SEVERITY: dict[str, int] = {"ok": 0, "info": 0, "skipped": 0, "warn": 1, "fail": 2}

BAD: tuple[Status, ...] = ("fail", "warn")
"""What stands against a fit, the worst first."""

COLUMNS = ["statistic", "value", "error", "expected", "threshold", "status", "says"]


@dataclass(frozen=True)
class Finding:
    """One line of the comparison.

    Attributes
    ----------
    part
        The group of checks it belongs to: "convergence", "fixed effects", "levels", "covariances", "held-out rows".
    checked
        What was looked at: "stage 1", "user (Intercept)".
    statistic
        What was computed.
    status
        "ok", "warn", "fail"; "info" for a number that has no limit, "skipped" for one that could not be computed.
    says
        The finding in words, a clause without a full stop; the reason, where it was skipped.
    value, error, expected
        The statistic, its standard error, and what a sound fit gives; NaN where there is none.
    threshold
        How far from `expected` it may be before it warns; where nothing is expected, the limit itself.
    remedy
        What to do about a warning or a failure.
    """

    part: str
    checked: str
    statistic: str
    status: Status
    says: str
    value: float = np.nan
    error: float = np.nan
    expected: float = np.nan
    threshold: float = np.nan
    remedy: str = ""


def skipped(part: str, checked: str, statistic: str, why: str) -> Finding:
    """A check that could not be made, and why."""
    return Finding(part, checked, statistic, "skipped", why)


def worst(findings: Iterable[Finding]) -> Literal["ok", "warn", "fail"]:
    """The most severe status among the findings."""
    level = max((SEVERITY[f.status] for f in findings), default=0)
    return ("ok", "warn", "fail")[level]


def table(findings: Iterable[Finding]) -> pd.DataFrame:
    """One row a finding, indexed by what was checked."""
    rows = [[getattr(f, column) for column in COLUMNS] for f in findings]
    index = pd.Index([f.checked for f in findings], name="checked")
    return pd.DataFrame(rows, columns=COLUMNS, index=index)

"""Whether each stage got where it was to go."""

from __future__ import annotations

from math import nan
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mixedfx.checks.finding import Finding, Status
from mixedfx.checks.posterior import diagnostics, divergences
from mixedfx.checks.remedies import BOUNDARY, MORE_DRAWS, MORE_ITERATIONS, SOLVER
from mixedfx.checks.thresholds import Thresholds

if TYPE_CHECKING:
    from mixedfx.coefficients.result import CoefficientsResult
    from mixedfx.covariance.result import CovarianceResult

PART = "convergence"


def check_convergence(
    cov: CovarianceResult, coef: CoefficientsResult, entries: pd.DataFrame, thresholds: Thresholds
) -> list[Finding]:
    """Convergence, freezability, boundary and chains of stage 1; convergence of stage 2.

    Parameters
    ----------
    entries
        Covariance entries (grp, var1, var2) whose draws are looked at.
    """
    return [
        _converged(cov),
        *_freezable(cov),
        *_boundary(cov),
        *_chains(cov, diagnostics(cov, entries), thresholds),
        _stage_two(coef),
    ]


def _converged(cov: CovarianceResult) -> Finding:
    says, remedy = f"stage 1 ({cov.method.upper()}) converged", ""
    if not cov.converged:
        failed = [factor for factor, fit in cov.fits.items() if not fit.converged]
        where = f" for {', '.join(failed)}" if failed else ""
        says = (
            f"stage 1 ({cov.method.upper()}) did not converge{where}, so its covariances are not the model's"
        )
        remedy = MORE_ITERATIONS if cov.posterior is None else MORE_DRAWS
    return Finding(
        PART,
        "stage 1",
        "converged",
        "ok" if cov.converged else "fail",
        says,
        value=float(cov.converged),
        expected=1.0,
        remedy=remedy,
    )


def _freezable(cov: CovarianceResult) -> list[Finding]:
    if cov.varcorr.freezable:
        return []
    says = f"stage 1 says that its covariances should not be frozen: {cov.varcorr.why.rstrip('.')}"
    remedy = MORE_ITERATIONS if cov.posterior is None else MORE_DRAWS
    return [Finding(PART, "stage 1", "freezable", "fail", says, value=0.0, expected=1.0, remedy=remedy)]


def _boundary(cov: CovarianceResult) -> list[Finding]:
    if not cov.boundary:
        return []
    says = f"stage 1 ended at the boundary of the parameter space: {', '.join(cov.boundary)}"
    statistic = "parameters at a boundary"
    return [
        Finding(
            PART,
            "stage 1",
            statistic,
            "warn",
            says,
            value=float(len(cov.boundary)),
            expected=0.0,
            remedy=BOUNDARY,
        )
    ]


def _chains(cov: CovarianceResult, table: pd.DataFrame, thresholds: Thresholds) -> list[Finding]:
    if table.empty:
        return []
    r_hat, ess = float(np.max(table["r_hat"].to_numpy())), float(np.min(table["ess_bulk"].to_numpy()))
    limits = thresholds.rhat
    status: Status = "fail" if r_hat > limits[1] else "warn" if r_hat > limits[0] else "ok"
    says = f"the largest R-hat of a covariance is {r_hat:.3f}"
    if status != "ok":
        says += ": the chains disagree"
    findings = [_chain(says, "largest R-hat of a covariance", status, r_hat, 1.0, limits[0] - 1)]
    limits = thresholds.ess
    status = "fail" if ess < limits[1] else "warn" if ess < limits[0] else "ok"
    says = f"the smallest effective size of a covariance is {ess:.0f}"
    findings.append(_chain(says, "smallest bulk effective size", status, ess, nan, limits[0]))
    count = divergences(cov)
    says = f"{count} divergent transitions" if count else "no divergent transitions"
    findings.append(_chain(says, "divergent transitions", "warn" if count else "ok", float(count), 0.0, nan))
    return findings


def _chain(
    says: str, statistic: str, status: Status, value: float, expected: float, threshold: float
) -> Finding:
    remedy = "" if status == "ok" else MORE_DRAWS
    return Finding(
        PART,
        "stage 1",
        statistic,
        status,
        says,
        value=value,
        expected=expected,
        threshold=threshold,
        remedy=remedy,
    )


def _stage_two(coef: CoefficientsResult) -> Finding:
    says, remedy = "stage 2 converged", ""
    if not coef.converged:
        says = f"stage 2 did not converge: {coef.reason}"
        remedy = SOLVER
    return Finding(
        PART,
        "stage 2",
        "converged",
        "ok" if coef.converged else "fail",
        says,
        value=float(coef.converged),
        expected=1.0,
        remedy=remedy,
    )

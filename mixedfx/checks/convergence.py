"""Whether each stage got where it was to go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mixedfx.checks.finding import Finding

if TYPE_CHECKING:
    from mixedfx.coefficients.result import CoefficientsResult
    from mixedfx.covariance.result import CovarianceResult

PART = "convergence"


def check_convergence(cov: CovarianceResult, coef: CoefficientsResult) -> list[Finding]:
    """Convergence, freezability and boundary of stage 1, convergence of stage 2."""
    return [_converged(cov), *_freezable(cov), *_boundary(cov), _stage_two(coef)]


def _converged(cov: CovarianceResult) -> Finding:
    says = f"stage 1 ({cov.method}) converged"
    if not cov.converged:
        says = f"stage 1 ({cov.method}) did not converge, so its covariances are not the model's"
    remedy = (
        ""
        if cov.converged
        else "give it more iterations or draws, better starting values, or a simpler Sigma"
    )
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
    return [
        Finding(
            PART, "stage 1", "freezable", "fail", says, value=0.0, expected=1.0, remedy="learn them again"
        )
    ]


def _boundary(cov: CovarianceResult) -> list[Finding]:
    if not cov.boundary:
        return []
    says = f"stage 1 ended at the boundary of the parameter space: {', '.join(cov.boundary)}"
    remedy = (
        "a variance of 0 removes that effect from every level in stage 2; take a larger subsample, or leave the "
        "coefficient out of the formula"
    )
    return [
        Finding(
            PART,
            "stage 1",
            "parameters at a boundary",
            "warn",
            says,
            value=float(len(cov.boundary)),
            expected=0.0,
            threshold=1.0,
            remedy=remedy,
        )
    ]


def _stage_two(coef: CoefficientsResult) -> Finding:
    says = "stage 2 converged" if coef.converged else f"stage 2 did not converge: {coef.reason}"
    return Finding(
        PART,
        "stage 2",
        "converged",
        "ok" if coef.converged else "fail",
        says,
        value=float(coef.converged),
        expected=1.0,
        remedy=""
        if coef.converged
        else "loosen tol, rescale the columns, or leave out collinear fixed effects",
    )

"""The printed summary of stage 1, in the order of lme4's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mixedfx.summary import Section, Summary

if TYPE_CHECKING:
    from mixedfx.covariance.result import CovarianceResult

TITLES = {
    "reml": "Covariances by restricted maximum likelihood (REML)",
    "ml": "Covariances by maximum likelihood",
    "nuts": "Covariances by MCMC (NumPyro NUTS), posterior means",
}


def summarise(result: CovarianceResult) -> Summary:
    """Criterion, covariances with standard errors, fixed effects, size and convergence."""
    lines = [f"Formula: {result.formula}", f" Family: {result.family}"]
    if not np.isnan(result.loglik):
        name = "REML criterion" if result.method == "reml" else "deviance (-2 log-likelihood)"
        lines.append(f"{name} at convergence: {result.deviance:.4f}")
    sizes = "; ".join(f"{name}, {count:,}" for name, count in result.n_levels.items())
    fixed = pd.DataFrame({"Estimate": result.fixef, "Std. Error": result.fixef_se})
    fixed["t value" if result.family == "gaussian" else "z value"] = fixed["Estimate"] / fixed["Std. Error"]
    sections = [
        Section("", tuple(lines)),
        Section("Random effects", table=result.standard_errors, show_index=False),
        Section("", (f"Number of obs: {result.n_rows:,}, groups: {sizes}",)),
        Section("Fixed effects", table=fixed),
        *_thresholds(result),
        Section("Convergence", tuple(_convergence(result))),
    ]
    return Summary(_title(result), tuple(sections))


def _title(result: CovarianceResult) -> str:
    title = TITLES.get(result.method, result.method)
    if "nagq" not in result.stats:
        return title
    points = int(result.stats["nagq"])
    how = f"adaptive Gauss-Hermite quadrature, nAGQ = {points}" if points > 1 else f"Laplace, nAGQ = {points}"
    return f"{title} ({how})"


def _thresholds(result: CovarianceResult) -> list[Section]:
    if result.thresholds is None:
        return []
    table = pd.DataFrame({"Estimate": result.thresholds})
    if result.thresholds_se is not None:
        table["Std. Error"] = result.thresholds_se
        table["z value"] = table["Estimate"] / table["Std. Error"]
    return [Section("Thresholds", table=table)]


def _convergence(result: CovarianceResult) -> list[str]:
    lines = ["converged" if result.converged else "NOT converged"]
    if result.fits:
        lines.append("each factor's covariance is from a fit to its own subsample; see .fits")
    if result.boundary:
        lines.append(f"at the boundary of the parameter space: {', '.join(result.boundary)}")
    if result.varcorr.why:
        lines.append(result.varcorr.why)
    return lines

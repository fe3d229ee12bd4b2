"""The printed summary of stage 1, in the order of lme4's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.stats import chi2

from mixedfx.covariance.averaged import SPREAD, excess_spread
from mixedfx.covariance.fixef_tests import fixef_table
from mixedfx.summary import Section, Summary

if TYPE_CHECKING:
    from mixedfx.covariance.result import CovarianceResult

TITLES = {
    "reml": "Covariances by restricted maximum likelihood (REML)",
    "ml": "Covariances by maximum likelihood",
    "nuts": "Covariances by MCMC (NumPyro NUTS), posterior means",
    "marginal": "Covariances by importance sampling (random effects integrated out), posterior means",
    "vi": "Covariances by variational inference (a normal guide), posterior means",
}
SURPRISING = 0.01
"""Probability of a spread between replicates, over all entries, below which it is called larger than expected."""
MOST_CORRELATED = 10
"""Fixed effects whose correlations are printed."""


def summarise(result: CovarianceResult) -> Summary:
    """Criterion, residuals, covariances with standard errors, size, fixed effects, their correlation, convergence."""
    lines = (f"Formula: {result.formula}", f" Family: {result.family}")
    sizes = "; ".join(f"{name}, {count:,}" for name, count in result.n_levels.items())
    sections = [
        Section("", lines),
        *_criterion(result),
        *_residuals(result),
        Section("Random effects", _about_replicates(result), _entries(result), show_index=False),
        *_subsample(result),
        Section("", (f"Number of obs: {result.n_rows:,}, groups: {sizes}",)),
        Section("Fixed effects", _about_df(result), fixef_table(result)),
        *_correlation(result),
        *_thresholds(result),
        Section("Convergence", tuple(_convergence(result))),
    ]
    return Summary(_title(result), tuple(sections))


def _criterion(result: CovarianceResult) -> list[Section]:
    if np.isnan(result.loglik):
        return []
    if result.method == "reml":
        return [Section("", (f"REML criterion at convergence: {result.deviance:.4f}",))]
    values = {
        "AIC": f"{result.aic:.4f}",
        "BIC": f"{result.bic:.4f}",
        "logLik": f"{result.loglik:.4f}",
        "deviance": f"{result.deviance:.4f}",
        "df.resid": f"{result.n_rows - result.n_parameters}",
    }
    return [Section("", table=pd.DataFrame([values]), show_index=False)]


def _residuals(result: CovarianceResult) -> list[Section]:
    quartiles = result.stats.get("scaled_residuals")
    if quartiles is None:
        return []
    values = [f"{value:.4f}" for value in quartiles]
    table = pd.DataFrame([values], columns=["Min", "1Q", "Median", "3Q", "Max"])
    return [Section("Scaled residuals", table=table, show_index=False)]


def _about_replicates(result: CovarianceResult) -> tuple[str, ...]:
    if not result.replicates:
        return ()
    R = len(result.replicates)
    lines = [
        f"means of {R} replicate subsamples; se is from the models, {SPREAD} from the spread between the replicates"
    ]
    excess = excess_spread(result)
    for name, ratio in excess.items():
        if chi2.sf((R - 1) * ratio, R - 1) < SURPRISING / len(excess):
            lines.append(
                f"{name} differs between replicates by {np.sqrt(ratio):.1f} times its standard error: go by {SPREAD}"
            )
    return tuple(lines)


def _entries(result: CovarianceResult) -> pd.DataFrame:
    """The covariances; of a posterior's diagnostics those that decide (`posterior_table` has all)."""
    table = result.standard_errors.drop(columns=["mcse", "ess_tail"], errors="ignore")
    for name, digits in (("ess_bulk", ".0f"), ("r_hat", ".3f")):
        if name in table:
            table[name] = [f"{value:{digits}}" if np.isfinite(value) else "" for value in table[name]]
    return table


def _subsample(result: CovarianceResult) -> list[Section]:
    """Where the rows came from, and whether they hang together."""
    rows = []
    for number, replicate in enumerate(result.replicates or (result,), start=1):
        for factor, fit in (replicate.fits or {"all": replicate}).items():
            drawn = fit.stats.get("subsample")
            if drawn is not None:
                row = {"replicate": number} if result.replicates else {}
                rows.append(
                    row
                    | {"to learn": factor, "drawn": drawn["drawn"], "rows": f"{fit.n_rows:,}"}
                    | {f"levels of {name}": f"{n:,}" for name, n in fit.n_levels.items()}
                    | {
                        "components": drawn["components"],
                        "rows in the largest": f"{drawn['largest_component']:.1%}",
                    }
                )
    if not rows:
        return []
    table = pd.DataFrame(rows)
    if set(table["components"]) == {1}:
        table = table.drop(columns=["components", "rows in the largest"])
    return [Section("Subsample", table=table, show_index=False)]


def _correlation(result: CovarianceResult) -> list[Section]:
    """The lower triangle, where it fits the page."""
    if result.fixef_covariance is None or not 1 < len(result.fixef) <= MOST_CORRELATED:
        return []
    se = np.sqrt(np.diag(result.fixef_covariance))
    values = result.fixef_covariance.to_numpy() / np.outer(se, se)
    text = [[f"{v:z.3f}" if j < i else "" for j, v in enumerate(row)] for i, row in enumerate(values)]
    names = result.fixef.index
    return [
        Section(
            "Correlation of fixed effects",
            table=pd.DataFrame(text, names, names).iloc[1:, :-1],
        )
    ]


def _about_df(result: CovarianceResult) -> tuple[str, ...]:
    if result.family != "gaussian" or result.method not in ("reml", "ml") or not len(result.fixef):
        return ()
    if "monte_carlo_se" in result.stats:
        return ()
    if result.fixef_covariance_spread is None:
        return ("no degrees of freedom were computed: fit with satterthwaite=True",)
    return ("t-tests with Satterthwaite's degrees of freedom",)


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
    stats = result.stats
    if "max_scaled_gradient" in stats:
        lines[0] += (
            f" after {stats['iterations']} iterations, {stats['evaluations']} evaluations: scaled gradient "
            f"{stats['max_scaled_gradient']:.2g}, Newton decrement {stats['newton_decrement']:.2g}; eigenvalues of the "
            f"scaled information {stats['smallest_eigenvalue']:.2g} to {stats['largest_eigenvalue']:.2g}"
        )
    if "monte_carlo_se" in stats:
        errors = np.asarray(stats["monte_carlo_se"]) / result.standard_errors["se"].to_numpy()
        lines.append(
            f"all rows, with {stats['probes']} random probes: they add at most {np.nanmax(errors):.1%} of a standard "
            f"error to the covariances, and {stats['loglik_se']:.2g} to the log-likelihood"
            if stats["loglik_se"] > 0
            else "all rows; nothing in it is random"
        )
    if "pareto_k" in stats:
        lines[0] += f"; Pareto k {stats['pareto_k']:.2f}, {stats['evaluations']:,} evaluations"
    elif "divergences" in stats:
        lines[0] += f"; largest R-hat {stats['max_r_hat']:.3f}, {stats['divergences']} divergences"
    if "min_ess" in stats:
        lines[0] += f", smallest effective size of an entry {stats['min_ess']:.0f}"
    if result.replicates:
        lines.append("fixed effects are from the replicate with most rows; see .replicates for all of them")
    elif result.fits:
        lines.append("each factor's covariance is from a fit to its own subsample; see .fits")
    if result.boundary:
        lines.append(f"at the boundary of the parameter space: {', '.join(result.boundary)}")
    if result.varcorr.why:
        lines.append(result.varcorr.why)
    return lines

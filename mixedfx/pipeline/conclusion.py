"""What a run has learned, in the few lines that end its output."""

from __future__ import annotations

import math

from mixedfx.checks.finding import BAD
from mixedfx.covariance.learn import BAYESIAN
from mixedfx.covariance.result import CovarianceResult
from mixedfx.pipeline.results import RunResults
from mixedfx.varcorr import RESIDUAL


def conclusion(results: RunResults) -> str:
    """Covariances, numbers of coefficients, agreement of the stages, verdict, and where the report is."""
    lines = [*_covariances(results), *_coefficients(results), *_verdict(results)]
    return "\n".join([*lines, f"Report: {results.report}"])


def _covariances(results: RunResults) -> list[str]:
    if results.covariance is None:
        return []
    covariance = results.covariance
    fits = {id(fit): fit for fit in covariance.fits.values()} or {0: covariance}
    sizes = " and ".join(f"{fit.n_rows:,}" for fit in fits.values())
    if covariance.replicates:
        sizes = f"{len(covariance.replicates)} replicates with {covariance.n_rows:,} together"
    of = f"{results.manifest.data['rows']:,} rows"
    lines = [f"Covariances by {covariance.method.upper()} from {sizes} of {of}:", *_entries(covariance)]
    if results.refined is not None:
        method = results.refined.method.upper()
        lines += [
            f"Refined on all rows ({method}, {results.refined.stats['probes']} probes):",
            *_entries(results.refined),
        ]
    return lines


def _entries(covariance: CovarianceResult) -> list[str]:
    table, lines = covariance.standard_errors.to_dict("records"), []
    what = "posterior sd" if covariance.method in BAYESIAN else "standard error"
    labels = [_label(row["grp"], row["var1"], row["var2"]) for row in table]
    width = max(map(len, labels))
    for label, row in zip(labels, table, strict=True):
        error = "" if math.isnan(row["se"]) else f"  ({what} {row['se']:.2g})"
        lines.append(f"  {label:<{width}}  {row['vcov']:8.4f}{error}")
    return lines


def _label(group: str, first: object, second: object) -> str:
    if group == RESIDUAL:
        return "residual variance"
    if isinstance(second, str):
        return f"{group}: covariance of {first} and {second}"
    return f"{group}: variance of {first}"


def _coefficients(results: RunResults) -> list[str]:
    if results.coefficients is None:
        return []
    coefficients = results.coefficients
    random = sum(modes.size for modes in coefficients.ranef.values())
    levels = ", ".join(f"{len(modes):,} levels of {factor}" for factor, modes in coefficients.ranef.items())
    return [
        f"Coefficients from all rows: {len(coefficients.fixef)} fixed and {random:,} random, of {levels}."
    ]


def _verdict(results: RunResults) -> list[str]:
    """The decision, and each finding that stands against it; the report has the rest."""
    if results.check is None:
        return []
    findings = results.check.summary.to_dict("records")
    problems = [
        f"  {finding['status']}: {finding['says']}" for finding in findings if finding["status"] in BAD
    ]
    good = sum(finding["status"] == "ok" for finding in findings)
    decision = results.check.verdict.splitlines()[0]
    return [
        f"Verdict ({results.check.status}): {decision}",
        *problems,
        f"  {good} of {good + len(problems)} checks in order",
    ]

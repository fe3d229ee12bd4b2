"""Whether each stage got where it was to go, and its statistics."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from mixedfx.covariance.result import CovarianceResult
from mixedfx.pipeline.report import Section, Table, facts_of, table_of

if TYPE_CHECKING:
    from mixedfx.coefficients.result import CoefficientsResult

DIAGNOSTICS = {
    "r_hat": "R-hat",
    "ess_bulk": "effective size",
    "ess_tail": "in the tails",
    "mcse": "Monte Carlo error",
}


def convergence(covariance: CovarianceResult, coefficients: CoefficientsResult | None) -> Section:
    """Whether each stage got where it was to go, and its statistics."""
    fits = {f"for {factor}": fit for factor, fit in covariance.fits.items()} or {"value": covariance}
    first = {
        name: {
            "converged": fit.converged,
            "at a boundary": ", ".join(fit.boundary) or "nothing",
            "rows": fit.n_rows,
            **fit.stats,
        }
        for name, fit in fits.items()
    }
    tables = [_statistics(first, f"Stage 1, {covariance.method.upper()}"), *_diagnostics(covariance)]
    if coefficients is not None:
        second = {"converged": coefficients.converged, "reason": coefficients.reason, **coefficients.stats}
        tables.append(_statistics({"value": second}, "Stage 2"))
    return Section("convergence", "Convergence", tables=tuple(tables))


def _statistics(columns: Mapping[str, Mapping[str, Any]], title: str) -> Table:
    """Statistics by name, one column a fit; nested ones are left to the artefacts."""
    shown = {name: dict(facts_of(statistics)) for name, statistics in columns.items()}
    frame = pd.DataFrame(shown).fillna("")
    return table_of(frame.rename_axis("statistic").reset_index(), title)


def _diagnostics(covariance: CovarianceResult) -> list[Table]:
    """MCMC diagnostics of every covariance entry, of the fit that it was read from."""
    records = covariance.standard_errors.to_dict("records")
    entries = [row for row in records if not math.isnan(row.get("r_hat", math.nan))]
    rows = [
        {
            "covariance entry": ", ".join(
                str(row[name]) for name in ("grp", "var1", "var2") if row[name] == row[name]
            ),
            **{label: row[name] for name, label in DIAGNOSTICS.items()},
        }
        for row in entries
    ]
    return [table_of(pd.DataFrame(rows), "Chains")] if rows else []

"""What was fitted to what data: rows, levels, subsample."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from mixedfx.pipeline.report import Section, Table, facts_of, table_of
from mixedfx.pipeline.results import RunResults

if TYPE_CHECKING:
    from mixedfx.coefficients.result import CoefficientsResult

DRAWN = {"two-way": "levels of every factor", "core": "the most active levels"}


def fitted(results: RunResults) -> Section:
    """What was fitted to what data: rows, levels, subsample."""
    job, about = results.job, results.manifest.data
    facts = {
        "formula": job.formula,
        "family": job.family,
        "weights": job.weights or "",
        "data": about.get("source", ""),
        "rows fitted": about.get("rows", 0),
        "rows held out": about.get("held_out") or "",
    }
    tables = [_factors(results.coefficients)] if results.coefficients is not None else []
    if results.draws:
        tables.append(_subsample(results))
    text = "\n".join(results.manifest.warnings)
    return Section("data", "What was fitted to what data", text, facts_of(facts), tuple(tables))


def _factors(coefficients: CoefficientsResult) -> Table:
    rows = [
        {
            "grouping factor": factor,
            "levels": len(modes),
            "coefficients a level": modes.shape[1],
            "names": ", ".join(modes.columns),
        }
        for factor, modes in coefficients.ranef.items()
    ]
    return table_of(pd.DataFrame(rows), "Grouping factors")


def _subsample(results: RunResults) -> Table:
    strategy = "" if results.job.subsample is None else results.job.subsample.strategy
    replicated = any(draw.replicate for draw in results.draws)
    rows = [
        {
            **({"replicate": draw.replicate + 1} if replicated else {}),
            "to learn": draw.factor or "all covariances",
            "drawn": f"levels of {draw.sampled}" if draw.sampled else DRAWN.get(strategy, "rows"),
            "rows": draw.n_rows,
            **{f"levels of {factor}": n for factor, n in draw.n_levels.items()},
            "components": draw.components,
            "rows in the largest": f"{draw.largest_component:.1%}",
        }
        for draw in results.draws
    ]
    note = "Components are sets of levels that no row links to each other."
    return table_of(pd.DataFrame(rows), "Subsample of stage 1", note)

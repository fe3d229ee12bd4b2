"""mixedfx's way at scale: covariances from subsamples of about 20,000 rows, then `mfx.refine_covariance` on all rows.

The time is that of both, from a DataFrame to covariances with standard errors; `refine_seconds` is the second alone.
"""

from __future__ import annotations

from importlib.metadata import version as installed_version
from typing import Any

import pandas as pd

import mixedfx as mfx
from benchmarks.case import Case


def version() -> str:
    return installed_version("mixedfx")


def refusal(case: Case) -> str | None:
    if case.model.task != "covariance":
        return "covariances alone"
    return None


def prepare(case: Case) -> pd.DataFrame:
    return case.data


def fit(case: Case, prepared: pd.DataFrame) -> Any:
    model = case.model
    start = mfx.learn_covariance(
        model.formula, prepared, family=model.family, subsample=mfx.Subsample(seed=0)
    )
    return mfx.refine_covariance(model.formula, prepared, start, family=model.family)


def answer(
    case: Case,  # noqa: ARG001
    prepared: Any,  # noqa: ARG001
    result: Any,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    stats = result.stats
    details = {
        "converged": bool(result.converged),
        "evaluations": float(stats["evaluations"]),
        "probes": float(stats["probes"]),
        "refine_seconds": float(stats["seconds"]),
        "largest_monte_carlo_se": float(max(stats["monte_carlo_se"])),
    }
    return result.varcorr.to_frame()[["grp", "var1", "var2", "vcov"]], details

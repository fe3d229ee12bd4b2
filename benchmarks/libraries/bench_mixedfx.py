"""mixedfx itself, through its public functions, from a DataFrame to labelled coefficients."""

from __future__ import annotations

from importlib.metadata import version as installed_version
from typing import Any

import pandas as pd

import mixedfx as mfx
from benchmarks.answer import coefficient_table
from benchmarks.case import Case

DETAILS = ("newton_iterations", "cg_iterations", "passes", "grad_norm", "iterations", "evaluations")


def version() -> str:
    return installed_version("mixedfx")


def refusal(case: Case) -> str | None:  # noqa: ARG001
    return None


def prepare(case: Case) -> tuple[pd.DataFrame, mfx.VarCorr | None]:
    given = case.model.task == "coefficients"
    return case.data, mfx.VarCorr.from_frame(case.varcorr) if given else None


def fit(case: Case, prepared: tuple[pd.DataFrame, mfx.VarCorr | None]) -> Any:
    data, varcorr = prepared
    if varcorr is None:
        return mfx.learn_covariance(case.model.formula, data, family=case.model.family)
    result = mfx.estimate_coefficients(case.model.formula, data, varcorr, family=case.model.family)
    # Labelled tables are made when asked for: that is part of the time to everybody's coefficients.
    return result, result.fixef, result.thresholds, result.ranef


def answer(
    case: Case,
    prepared: Any,  # noqa: ARG001
    result: Any,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    if case.model.task == "covariance":
        return result.varcorr.to_frame()[["grp", "var1", "var2", "vcov"]], _details(result)
    fitted, fixef, thresholds, ranef = result
    tables = {name: (list(frame.columns), frame.index, frame.to_numpy()) for name, frame in ranef.items()}
    common = fixef.to_dict() | ({} if thresholds is None else thresholds.to_dict())
    return coefficient_table(common, tables), _details(fitted)


def _details(result: Any) -> dict[str, Any]:
    kept = {key: float(result.stats[key]) for key in DETAILS if key in result.stats}
    return {"converged": bool(result.converged), **kept}

"""glmm, a Rust library: estimates covariances; it cannot hold them at given values."""

from __future__ import annotations

from importlib.metadata import version as installed_version
from typing import Any

import glmm
import numpy as np
import pandas as pd

from benchmarks.answer import covariance_table
from benchmarks.case import Case


def version() -> str:
    return installed_version("glmm")


def refusal(case: Case) -> str | None:
    if case.model.task == "coefficients":
        return "it cannot hold the covariances at given values"
    return None


def prepare(case: Case) -> pd.DataFrame:
    return case.data


def fit(case: Case, prepared: pd.DataFrame) -> Any:
    # Without the tests and degrees of freedom that it computes by default: they are no part of the task.
    return glmm.fit(prepared, case.model.formula, satterthwaite=False, anova_test="Wald")


def answer(
    case: Case,  # noqa: ARG001
    prepared: pd.DataFrame,  # noqa: ARG001
    result: Any,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    matrices = {
        factor: (names, np.outer(sd, sd) * correlation)
        for k, (factor, names) in enumerate(result.re_groups)
        for sd, correlation in [result.stddev_corr(k)]
    }
    details = {"converged": bool(result.converged), "evaluations": float(result.n_eval)}
    return covariance_table(matrices, float(result.dispersion)), details

"""glmm, a Rust library: covariances by REML, or by Laplace's approximation; it cannot hold them at given values."""

from __future__ import annotations

from importlib.metadata import version as installed_version
from typing import Any

import glmm
import numpy as np
import pandas as pd

from benchmarks.answer import covariance_table
from benchmarks.case import Case

FAMILIES = {"gaussian": "gaussian", "bernoulli": "binomial"}


def version() -> str:
    return installed_version("glmm")


def refusal(case: Case) -> str | None:
    if case.model.task == "coefficients":
        return "it cannot hold the covariances at given values"
    if case.model.family not in FAMILIES:
        return f"it has no family for {case.model.family} responses"
    return None


def prepare(case: Case) -> pd.DataFrame:
    response = case.model.formula.partition("~")[0].strip()
    return case.data.assign(**{response: case.encoded.y})


def fit(case: Case, prepared: pd.DataFrame) -> Any:
    # Without the tests and degrees of freedom that it computes by default: they are no part of the task.
    family = FAMILIES[case.model.family]
    return glmm.fit(prepared, case.model.formula, family, satterthwaite=False, anova_test="Wald")


def answer(
    case: Case,
    prepared: pd.DataFrame,  # noqa: ARG001
    result: Any,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    matrices = {
        factor: (names, np.outer(sd, sd) * correlation)
        for k, (factor, names) in enumerate(result.re_groups)
        for sd, correlation in [result.stddev_corr(k)]
    }
    details = {"converged": bool(result.converged), "evaluations": float(result.n_eval)}
    sigma2 = float(result.dispersion) if case.model.family == "gaussian" else None
    return covariance_table(matrices, sigma2), details

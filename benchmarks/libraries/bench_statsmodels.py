"""statsmodels: `MixedLM` by REML, for one grouping factor."""

from __future__ import annotations

from typing import Any

import pandas as pd
import statsmodels
from statsmodels.regression.mixed_linear_model import MixedLM

from benchmarks.answer import encoded_covariances
from benchmarks.case import Case


def version() -> str:
    return statsmodels.__version__


def refusal(case: Case) -> str | None:
    if case.model.task == "coefficients":
        return "it cannot hold the covariances at given values"
    if case.model.family != "gaussian":
        return "it has no maximum likelihood for generalized mixed models"
    if len(case.encoded.terms) > 1:
        return "it takes crossed factors as one group with a dense matrix of all levels"
    return None


def prepare(case: Case) -> MixedLM:
    encoded = case.encoded
    (term,) = encoded.terms
    return MixedLM(
        encoded.y, encoded.columns(encoded.fixed_columns), term.codes, encoded.columns(term.columns)
    )


def fit(case: Case, prepared: MixedLM) -> Any:  # noqa: ARG001
    return prepared.fit(reml=True)


def answer(case: Case, prepared: MixedLM, result: Any) -> tuple[pd.DataFrame, dict[str, Any]]:  # noqa: ARG001
    (term,) = case.encoded.terms
    table = encoded_covariances(case.encoded, {term.name: result.cov_re}, float(result.scale))
    return table, {"converged": bool(result.converged)}

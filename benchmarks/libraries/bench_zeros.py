"""The floor: no fit at all.

All coefficients zero, with the thresholds of a model without predictors; or no random effects, with the variance of
least squares.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.answer import encoded_coefficients, encoded_covariances
from benchmarks.case import Case
from benchmarks.encoded import Encoded


def version() -> str:
    return ""


def refusal(case: Case) -> str | None:  # noqa: ARG001
    return None


def prepare(case: Case) -> Encoded:
    return case.encoded


def fit(case: Case, encoded: Encoded) -> pd.DataFrame:
    if case.model.task == "coefficients":
        b = {term.name: np.zeros((len(term.levels), term.q)) for term in encoded.terms}
        common = np.concatenate([np.zeros(len(encoded.fixed_names)), _thresholds(encoded)])
        return encoded_coefficients(encoded, common, b)
    nothing = {term.name: np.zeros((term.q, term.q)) for term in encoded.terms}
    if case.model.family != "gaussian":
        return encoded_covariances(encoded, nothing, None)
    X = encoded.columns(encoded.fixed_columns)
    residual = encoded.y - X @ np.linalg.lstsq(X, encoded.y, rcond=None)[0]
    return encoded_covariances(encoded, nothing, float(residual @ residual) / (encoded.n_rows - X.shape[1]))


def answer(
    case: Case,  # noqa: ARG001
    prepared: Encoded,  # noqa: ARG001
    result: pd.DataFrame,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    return result, {}


def _thresholds(encoded: Encoded) -> NDArray[np.float64]:
    """Logits of the shares of rows up to each category."""
    below = np.array([np.mean(encoded.y <= m) for m in range(len(encoded.thresholds))])
    return np.log(below / (1 - below))

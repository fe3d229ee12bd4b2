"""GPBoost: grouped random effects by maximum likelihood, not REML; by Laplace's approximation for bernoulli.

At given covariances it has coefficients by two steps.

Its fixed effects are those of the (Laplace) marginal likelihood, so for bernoulli they are not quite the joint mode.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.metadata import version as installed_version
from typing import Any

import gpboost
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.answer import encoded_coefficients, encoded_covariances
from benchmarks.case import Case

LIKELIHOODS = {"gaussian": "gaussian", "bernoulli": "bernoulli_logit"}


@dataclass(frozen=True, eq=False)
class Prepared:
    """Response, fixed-effects matrix and level codes, shape (N, K)."""

    y: NDArray[np.float64]
    X: NDArray[np.float64]
    groups: NDArray[np.int32]


def version() -> str:
    return installed_version("gpboost")


def refusal(case: Case) -> str | None:
    if any(term.q > 1 for term in case.encoded.terms):
        return "its random slopes are independent of the intercepts"
    if case.model.family not in LIKELIHOODS:
        return f"it has no likelihood for {case.model.family} responses"
    return None


def prepare(case: Case) -> Prepared:
    encoded = case.encoded
    groups = np.column_stack([term.codes for term in encoded.terms])
    return Prepared(encoded.y, encoded.columns(encoded.fixed_columns), groups)


def fit(case: Case, prepared: Prepared) -> tuple[Any, pd.DataFrame | None]:
    model = gpboost.GPModel(
        likelihood=LIKELIHOODS[case.model.family],
        group_data=prepared.groups,
        num_parallel_threads=int(os.environ["OMP_NUM_THREADS"]),
    )
    if case.model.task == "covariance":
        return model.fit(y=prepared.y, X=prepared.X), None
    encoded = case.encoded
    residual = [] if encoded.sigma2 is None else [encoded.sigma2]
    given = [*residual, *(float(term.sigma[0, 0]) for term in encoded.terms if term.sigma is not None)]
    held = {"init_cov_pars": np.array(given), "estimate_cov_par_index": [0] * len(given)}
    model.fit(y=prepared.y, X=prepared.X, params=held)
    return model, model.predict_training_data_random_effects()


def answer(
    case: Case, prepared: Prepared, result: tuple[Any, pd.DataFrame | None]
) -> tuple[pd.DataFrame, dict[str, Any]]:
    model, by_row = result
    encoded = case.encoded
    if by_row is None:
        estimates = np.ravel(model.get_cov_pars(format_pandas=False)).tolist()
        sigma2 = estimates.pop(0) if case.model.family == "gaussian" else None
        matrices = {term.name: variance for term, variance in zip(encoded.terms, estimates, strict=True)}
        return encoded_covariances(encoded, matrices, sigma2), {"criterion": "ML"}
    b = {}
    for k, term in enumerate(encoded.terms):
        values = np.zeros((len(term.levels), 1))
        values[prepared.groups[:, k], 0] = by_row.iloc[:, k]
        b[term.name] = values
    return encoded_coefficients(encoded, np.ravel(model.get_coef(format_pandas=False)), b), {}

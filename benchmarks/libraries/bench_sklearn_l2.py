"""scikit-learn: L2-penalised regression on one sparse column a coefficient, with the same objective.

With b = Lambda u the penalty is |u|^2 / 2, so columns Z Lambda under a unit penalty give F(beta, b) exactly:
`LogisticRegression` at C = 1, `Ridge` at alpha = sigma^2. The intercept has no penalty there; other fixed effects get
next to none by scaling their columns up. The sparse matrix is made beforehand and is not timed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import sklearn
from numpy.typing import NDArray
from scipy import sparse
from sklearn.linear_model import LogisticRegression, Ridge

from benchmarks.answer import encoded_coefficients
from benchmarks.case import Case
from benchmarks.encoded import Encoded

Floats = NDArray[np.float64]

# The penalty on a fixed effect is beta^2 / (2 * 10^2), which moves the objective by less than one part in 10^8.
# Larger scales cost its solvers many more iterations.
UNPENALISED = 10.0


@dataclass(frozen=True, eq=False)
class Prepared:
    """The matrix, response and, for each fixed effect, its column in it (-1 for the intercept)."""

    matrix: sparse.csr_array
    y: Floats
    fixed: NDArray[np.int64]


def version() -> str:
    return sklearn.__version__


def refusal(case: Case) -> str | None:
    if case.model.task == "covariance":
        return "it does not estimate covariances"
    if case.model.family not in ("gaussian", "bernoulli"):
        return f"it has no regression for {case.model.family} responses"
    if (case.encoded.fixed_columns >= 0).all():
        return "the adapter needs a fixed intercept"
    return None


def prepare(case: Case) -> Prepared:
    encoded = case.encoded
    slopes = encoded.fixed_columns >= 0
    fixed = np.where(slopes, np.cumsum(slopes) - 1, -1)
    X = encoded.columns(encoded.fixed_columns[slopes]) * UNPENALISED
    start = X.shape[1]
    values, columns = [X], [np.broadcast_to(np.arange(start, dtype=np.int32), X.shape)]
    for term in encoded.terms:
        values.append(encoded.columns(term.columns) @ term.cholesky)
        columns.append(start + term.codes[:, None] * term.q + np.arange(term.q, dtype=np.int32))
        start += len(term.levels) * term.q
    data, indices = np.hstack(values), np.hstack(columns).astype(np.int32)
    ends = np.arange(0, data.size + 1, data.shape[1], dtype=np.int32)
    matrix = sparse.csr_array((data.ravel(), indices.ravel(), ends), shape=(encoded.n_rows, start))
    return Prepared(matrix, encoded.y, fixed)


def fit(case: Case, prepared: Prepared) -> LogisticRegression | Ridge:
    if case.model.family == "bernoulli":
        # Its fastest solver for this: the default, lbfgs, takes some 30 times as long to a worse objective.
        model = LogisticRegression(C=1.0, solver="newton-cg", tol=1e-6)
    else:
        model = Ridge(alpha=case.encoded.sigma2, solver="sparse_cg", tol=1e-8)
    return model.fit(prepared.matrix, prepared.y)


def answer(
    case: Case, prepared: Prepared, result: LogisticRegression | Ridge
) -> tuple[pd.DataFrame, dict[str, Any]]:
    beta, b = _coefficients(
        case.encoded, prepared, np.ravel(result.coef_), float(np.ravel(result.intercept_)[0])
    )
    details = {} if result.n_iter_ is None else {"iterations": float(np.max(result.n_iter_))}
    return encoded_coefficients(case.encoded, beta, b), details


def _coefficients(
    encoded: Encoded, prepared: Prepared, u: Floats, intercept: float
) -> tuple[Floats, dict[str, Floats]]:
    beta = np.where(prepared.fixed >= 0, u[prepared.fixed] * UNPENALISED, intercept)
    start = int((prepared.fixed >= 0).sum())
    b: dict[str, Floats] = {}
    for term in encoded.terms:
        stop = start + len(term.levels) * term.q
        b[term.name] = u[start:stop].reshape(-1, term.q) @ term.cholesky.T
        start = stop
    return beta, b

"""Variances of the linear predictor of many rows from few draws: what is known exactly is not left to chance.

With e the eliminated factor, and all else given, its level j has the covariance M_j. A row with the coefficients z_r of
that level, and w_r of the rest, has

    Var(eta_r) = z_r' M_j z_r + Var(z_r' E[b_j | rest] + w_r' rest)

(the law of total variance), of which draws of the rest estimate the second term alone. In large models it is the small
one: the largest factor has the levels that little is known of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mixedfx.coefficients.component import Component
from mixedfx.coefficients.laplace_normal import batches
from mixedfx.predictors import Predictors
from mixedfx.row_chunks import row_chunks

Floats = NDArray[np.float64]

ACCURACY = 0.02
"""Monte Carlo error of a standard deviation, root mean square over the rows."""
MOST_DRAWS = 256
ROWS_AT_ONCE = 2**14
"""Rows for which a batch of draws is evaluated together: their draws fit into a processor's cache."""


def sampled_variance(components: Sequence[Component], predictors: Predictors) -> Floats:
    """Mean over the components of the variance of eta around each mode, shape (N,), to `ACCURACY`.

    Levels coded -1 contribute nothing. The draws are the same at every call.
    """
    rng = np.random.default_rng(0)
    known = np.mean([_known(component, predictors) for component in components], axis=0)
    squares, draws, variance = np.zeros(predictors.n_rows), 0, known
    for batch in batches(MOST_DRAWS):
        columns = -(-batch // len(components))
        for component in components:
            fixed, random = component.normal.rest_draws(columns, rng)
            beta = fixed[: len(component.beta)]
            for rows in row_chunks(predictors.n_rows, ROWS_AT_ONCE):
                squares[rows] += _squares(predictors.slice(rows), beta, random)
        draws += columns * len(components)
        variance = known + squares / draws
        if _error(squares / draws, variance, draws) <= ACCURACY:
            break
    return variance


def _known(component: Component, predictors: Predictors) -> Floats:
    """z' M z of the eliminated factor's level, shape (N,)."""
    elimination = component.normal.elimination
    name = elimination.operator.layout.eliminated.name
    term = next(term for term in predictors.terms if term.name == name)
    codes, z = term.grouping.codes, predictors.z(term)
    return np.where(codes >= 0, np.einsum("ra,rab,rb->r", z, elimination.M[codes], z), 0.0)


def _squares(predictors: Predictors, beta: Floats, b: Mapping[str, Floats]) -> Floats:
    """Sum over the draws, the last axis of `beta` and `b`, of eta^2, shape (N,)."""
    eta = predictors.X() @ beta
    for term in predictors.terms:
        codes = term.grouping.codes
        z = predictors.z(term) * (codes >= 0)[:, None]
        for a in range(term.q):
            eta += z[:, a, None] * b[term.name][codes, a]
    return np.einsum("rm,rm->r", eta, eta)


def _error(sampled: Floats, variance: Floats, draws: int) -> float:
    """Relative standard error of standard deviations, root mean square over the rows."""
    share = np.divide(sampled, variance, out=np.zeros_like(variance), where=variance > 0)
    return float(0.5 * np.sqrt(2 / draws) * np.sqrt(np.mean(share**2)))

"""The families' formulas in Numba: loss, gradient and curvature of all rows in one traversal.

The same numbers as `Family.loss` and `Family.derivatives` (a test compares them), for solvers in which these would
take most of the time. `kind` is `Family.compiled_kind`.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange

GAUSSIAN = 0
LOGISTIC = 1
POISSON = 2

_LOG_2PI = math.log(2 * math.pi)


@njit(inline="always")
def _terms(kind, y, eta, auxiliary):
    """(l, l', l'') of one row."""
    if kind == LOGISTIC:
        t = math.exp(-abs(eta))  # at most 1: no overflow, and l'' stays above 0 far out
        upper = 1.0 / (1.0 + t)
        p = upper if eta >= 0.0 else t * upper
        return max(eta, 0.0) - y * eta + math.log1p(t), p - y, t * upper * upper
    if kind == POISSON:
        mean = math.exp(eta)
        return mean - y * eta + math.lgamma(y + 1.0), mean - y, mean
    e = eta - y
    return 0.5 * (e * e / auxiliary + math.log(auxiliary) + _LOG_2PI), e / auxiliary, 1.0 / auxiliary


@njit(parallel=True, cache=True)
def evaluate(kind, y, eta, weights, auxiliary):
    """(sum w l, w l', w l''); all arrays of shape (N,)."""
    n = y.shape[0]
    d1, d2 = np.empty(n), np.empty(n)
    loss = 0.0
    for r in prange(n):
        value, first, second = _terms(kind, y[r], eta[r], auxiliary)
        loss += weights[r] * value
        d1[r] = weights[r] * first
        d2[r] = weights[r] * second
    return loss, d1, d2


@njit(parallel=True, cache=True)
def loss_along(kind, y, eta, direction, t, weights, auxiliary):
    """sum w l(y, eta + t direction)."""
    loss = 0.0
    for r in prange(y.shape[0]):
        value, _, _ = _terms(kind, y[r], eta[r] + t * direction[r], auxiliary)
        loss += weights[r] * value
    return loss

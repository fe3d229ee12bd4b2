"""Loss and derivatives of all rows of an eliminated level, in loops that take several rows at once.

`weights` and `alpha` are None where the model has none, which leaves them out of the compiled code.
"""

from __future__ import annotations

import math

import numpy as np

from mixedfx.families.compiled import CUMULATIVE, GAUSSIAN, LOGISTIC, POISSON, row_terms
from mixedfx.linalg.level_columns import ONE
from mixedfx.linalg.rows import called, inner

FACTORS = np.uint64(256)
"""Factors, each from 1 to 4, of which one logarithm is taken."""


@called
def level_loss(kind, y, weights, sigma2, alpha, begin, n, eta, slopes, bends, above, bend_above):
    """sum w l of rows ``begin:begin + n`` (see `mixedfx.families.compiled`); fills w l', w l'' and thresholds' shares.

    `eta` has the rows' linear predictors, and something else afterwards.
    """
    loss = 0.0
    for low in range(np.uint64(0), n, FACTORS):
        high = min(low + FACTORS, n)
        if alpha is not None:
            loss += few_rows(
                CUMULATIVE, y, weights, sigma2, alpha, begin, low, high, eta, slopes, bends, above, bend_above
            )
        elif kind == LOGISTIC:
            loss += few_rows(
                LOGISTIC, y, weights, sigma2, alpha, begin, low, high, eta, slopes, bends, above, bend_above
            )
        elif kind == POISSON:
            loss += few_rows(
                POISSON, y, weights, sigma2, alpha, begin, low, high, eta, slopes, bends, above, bend_above
            )
        else:
            loss += few_rows(
                GAUSSIAN, y, weights, sigma2, alpha, begin, low, high, eta, slopes, bends, above, bend_above
            )
    return loss


@inner
def few_rows(kind, y, weights, sigma2, alpha, begin, low, high, eta, slopes, bends, above, bend_above):
    """The same of up to `FACTORS` rows; `kind` is a constant."""
    loss, factor, low_alpha, high_alpha = 0.0, 1.0, 0.0, 0.0
    if alpha is not None:
        # Looked up apart: the loop with the arithmetic has to be one that takes several rows at once.
        for k in range(low, high):
            category = np.uint64(y[begin + k])
            bend_above[k], above[k] = alpha[category], alpha[category + ONE]
    for k in range(low, high):
        r = begin + k
        if alpha is not None:
            low_alpha, high_alpha = bend_above[k], above[k]
        linear, grown, d1, d2, up, bend_up = row_terms(kind, y[r], eta[k], sigma2, high_alpha, low_alpha)
        if weights is not None:
            w = weights[r]
            linear, d1, d2, up, bend_up = w * linear, w * d1, w * d2, w * up, w * bend_up
            eta[k] = grown
        else:
            factor *= grown
        loss += linear
        slopes[k], bends[k] = d1, d2
        if alpha is not None:
            above[k], bend_above[k] = up, bend_up
    if kind != LOGISTIC and alpha is None:  # whose factors are 1
        return loss
    if weights is not None:
        for k in range(low, high):
            loss += weights[begin + k] * math.log(eta[k])
        return loss
    return loss + math.log(factor)

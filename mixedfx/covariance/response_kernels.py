"""Numba kernels of the response: all rows' losses and derivatives up to the third, for runs of rows.

The same numbers as `mixedfx.families` (a test compares them). For ordered categories `edges` holds the thresholds
between -inf and inf, shape (M + 1,); a row's upper one is ``edges[category + 1]``, its lower one ``edges[category]``,
a = upper - eta, c = lower - eta, F logistic, f = F'. Threads take runs of rows. `stride` is 1, or 0 where one weight
stands for all.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

LOGISTIC, POISSON, CUMULATIVE = 1, 2, 3

_inner = njit(inline="always", error_model="numpy")
_kernel = njit(cache=True, nogil=True, error_model="numpy")


@_inner
def _logistic(x):
    """(F, 1 - F, log(1 + exp(-x))) without cancellation or overflow."""
    t = math.exp(-abs(x))
    near, far = 1.0 / (1.0 + t), t / (1.0 + t)
    grown = math.log1p(t)
    return (near, far, grown) if x >= 0.0 else (far, near, grown - x)


@_kernel
def evaluate(low, high, kind, y, eta, weights, stride, d1, d2):
    """sum w l without constants; fills w l' and w l''."""
    loss = 0.0
    for r in range(low, high):
        w = weights[r * stride]
        if kind == LOGISTIC:
            p, q, grown = _logistic(eta[r])
            loss += w * (grown + (1.0 - y[r]) * eta[r])
            d1[r] = w * (p - y[r])
            d2[r] = w * p * q
        else:
            mean = math.exp(eta[r])
            loss += w * (mean - y[r] * eta[r])
            d1[r] = w * (mean - y[r])
            d2[r] = w * mean
    return loss


@_kernel
def loss(low, high, kind, y, eta, weights, stride):
    """sum w l without constants."""
    total = 0.0
    for r in range(low, high):
        if kind == LOGISTIC:
            total += weights[r * stride] * (
                max(eta[r], 0.0) + math.log1p(math.exp(-abs(eta[r]))) - y[r] * eta[r]
            )
        else:
            total += weights[r * stride] * (math.exp(eta[r]) - y[r] * eta[r])
    return total


@_kernel
def third(low, high, kind, eta, weights, stride, d3):
    """Fills w l'''."""
    for r in range(low, high):
        if kind == LOGISTIC:
            p, q, _ = _logistic(eta[r])
            d3[r] = weights[r * stride] * p * q * (q - p)
        else:
            d3[r] = weights[r * stride] * math.exp(eta[r])


@_kernel
def evaluate_ordinal(low, high, category, eta, weights, stride, edges, d1, d2, upper, lower):
    """(sum w l without gap terms; sums by category of w (1 - F(a)) and w F(c)); fills w l', w l'', w f(a), w f(c)."""
    total = 0.0
    above, below = np.zeros(edges.shape[0] - 1), np.zeros(edges.shape[0] - 1)
    for r in range(low, high):
        m, w = category[r], weights[r * stride]
        Fa, Ga, grown_a = _logistic(edges[m + 1] - eta[r])
        Fc, Gc, grown_c = _logistic(eta[r] - edges[m])  # of -c: F is 1 - F(c)
        total += w * (grown_a + grown_c)
        d1[r] = w * (Ga - Gc)
        upper[r] = w * Fa * Ga
        lower[r] = w * Fc * Gc
        d2[r] = upper[r] + lower[r]
        above[m] += w * Ga
        below[m] += w * Gc
    return total, above, below


@_kernel
def loss_ordinal(low, high, category, eta, weights, stride, edges):
    """sum w l without gap terms."""
    total = 0.0
    for r in range(low, high):
        m = category[r]
        _, _, grown_a = _logistic(edges[m + 1] - eta[r])
        _, _, grown_c = _logistic(eta[r] - edges[m])
        total += weights[r * stride] * (grown_a + grown_c)
    return total


@_kernel
def third_ordinal(low, high, category, eta, weights, stride, edges, upper, lower):
    """Fills w f'(a) and w f'(c); w l''' is minus their sum."""
    for r in range(low, high):
        m, w = category[r], weights[r * stride]
        Fa, Ga, _ = _logistic(edges[m + 1] - eta[r])
        Fc, Gc, _ = _logistic(edges[m] - eta[r])
        upper[r] = w * Fa * Ga * (Ga - Fa)
        lower[r] = w * Fc * Gc * (Gc - Fc)


@_kernel
def border_columns(low, high, category, upper, lower, first, out):
    """Fills columns `first`, `first` + 1, ... of K, as many as `out` (N, c) has; see `border_products`."""
    for r in range(low, high):
        own = category[r] - first
        for i in range(out.shape[1]):
            out[r, i] = 0.0
        if 0 <= own < out.shape[1]:
            out[r, own] = -upper[r]
        if 0 < own <= out.shape[1]:
            out[r, own - 1] = -lower[r]


@_kernel
def border_products(category, upper, lower, rows, out):
    """out += K' rows, shape (m, c), for K with -upper in column `category` and -lower in the column before."""
    m = out.shape[0]
    for r in range(rows.shape[0]):
        own = category[r]
        for i in range(rows.shape[1]):
            if own < m:
                out[own, i] -= upper[r] * rows[r, i]
            if own > 0:
                out[own - 1, i] -= lower[r] * rows[r, i]

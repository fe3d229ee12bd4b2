"""The families' formulas in Numba: loss, gradient and curvature of a row.

The same numbers as `Family.loss` and `Family.derivatives` (a test compares them), for solvers in which these would
take most of the time. `kind` is `Family.compiled_kind`; where it is a constant, a loop over rows takes several at once.
"""

from __future__ import annotations

from numba import njit

from mixedfx.families.exponential import exponential

# As the kernels that call it; see `mixedfx.linalg.rows`.
_OPTIONS = {"inline": "always", "error_model": "numpy", "_nrt": False}

GAUSSIAN = 0
LOGISTIC = 1
POISSON = 2
CUMULATIVE = 3


@njit(**_OPTIONS)
def row_terms(kind, y, eta, sigma2, high_alpha, low_alpha):
    """What a row adds, in six numbers: (linear, factor, d1, d2, t, curvature above).

    The loss without its constants is ``linear + log(factor)``, factor >= 1, so that the logarithms of many rows can be
    taken at once; d1 and d2 are its derivatives in eta. `t` and the last number are the share of d1 and d2 that the
    threshold above the row's category has: -dl/d alpha_y and d^2 l/d alpha_y^2. The thresholds around the category are
    +-inf at the ends; what depends on thresholds alone (the distance between neighbours) is left out.
    """
    if kind == LOGISTIC:
        t = exponential(-abs(eta))  # at most 1: no overflow, and l'' stays above 0 far out
        upper = 1.0 / (1.0 + t)
        p = upper if eta >= 0.0 else t * upper
        return max(eta, 0.0) - y * eta, 1.0 + t, p - y, t * upper * upper, 0.0, 0.0
    if kind == CUMULATIVE:
        a, c = high_alpha - eta, low_alpha - eta
        ta, tc = exponential(-abs(a)), exponential(-abs(c))
        ua, uc = 1.0 / (1.0 + ta), 1.0 / (1.0 + tc)
        above = ta * ua if a >= 0.0 else ua  # F(-a)
        below = uc if c >= 0.0 else tc * uc  # F(c)
        fa, fc = ta * ua * ua, tc * uc * uc
        linear = max(-a, 0.0) + max(c, 0.0)
        return linear, (1.0 + ta) * (1.0 + tc), above - below, fa + fc, above, fa
    if kind == POISSON:
        mean = exponential(eta)
        return mean - y * eta, 1.0, mean - y, mean, 0.0, 0.0
    e = eta - y
    return 0.5 * e * e / sigma2, 1.0, e / sigma2, 1.0 / sigma2, 0.0, 0.0

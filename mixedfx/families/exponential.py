"""exp in Numba that the compiler can do for several rows at once: `math.exp` is a call into a library, row by row.

x = k log 2 + r with |r| <= log(2) / 2, and exp x = 2^k exp r: Cody & Waite (1980, Software Manual for the Elementary
Functions, chapter 6), with exp r as Taylor's polynomial of degree 13, whose remainder is below 1e-17. The result is
within 3e-16 of the true one, relative.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

LOG2_E = 1.4426950408889634
LOG_2_HIGH, LOG_2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
"""log 2 in two parts, the first with zeros at its end, so that k times it is exact."""
LOWEST, HIGHEST = -708.0, 710.0
"""Beyond them the result is 3e-308, the least number in full precision, or infinite. It is infinite from 709.44 on
already, where 2^k is, and not from 709.78 on."""

_OPTIONS = {"fastmath": {"contract", "nsz", "arcp"}, "error_model": "numpy", "_nrt": False}


@njit(**_OPTIONS)
def exponential(x):
    """exp(x); NaN for NaN."""
    x = LOWEST if x < LOWEST else x
    x = HIGHEST if x > HIGHEST else x
    power = math.floor(x * LOG2_E + 0.5)
    r = (x - power * LOG_2_HIGH) - power * LOG_2_LOW
    p = 1.0 / 6227020800.0
    p = p * r + 1.0 / 479001600.0
    p = p * r + 1.0 / 39916800.0
    p = p * r + 1.0 / 3628800.0
    p = p * r + 1.0 / 362880.0
    p = p * r + 1.0 / 40320.0
    p = p * r + 1.0 / 5040.0
    p = p * r + 1.0 / 720.0
    p = p * r + 1.0 / 120.0
    p = p * r + 1.0 / 24.0
    p = p * r + 1.0 / 6.0
    p = p * r + 0.5
    p = p * r + 1.0
    p = p * r + 1.0
    # NaN has no integer: any will do, p is NaN. An exponent of 2047 stands for infinity.
    k = np.int32(power) if power >= LOWEST * 1.5 else np.int32(0)
    return p * np.int64((np.int64(k) + 1023) << 52).view(np.float64)

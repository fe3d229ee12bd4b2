"""exp for several rows at once."""

import math

import numpy as np
import pytest
from numba import njit

from mixedfx.families.exponential import exponential


@njit(fastmath={"reassoc", "contract", "nsz", "arcp"}, error_model="numpy")
def of_all(x: np.ndarray) -> np.ndarray:
    """As the kernels call it: from code whose sums may be reordered."""
    out = np.empty_like(x)
    for i in range(x.shape[0]):
        out[i] = exponential(x[i])
    return out


@pytest.mark.parametrize("reach", [1e-8, 1.0, 30.0, 700.0])
def test_equals_exp(reach: float) -> None:
    x = np.random.default_rng(0).uniform(-reach, reach, 4001)
    np.testing.assert_allclose(of_all(x), [math.exp(one) for one in x], rtol=4.5e-16)


def test_ends() -> None:
    x = np.array([0.0, -0.0, -np.inf, -1e300, -708.5, 709.0, 709.9, 1e300, np.inf, np.nan])
    small = math.exp(-708.0)
    wanted = [1.0, 1.0, small, small, small, math.exp(709.0), np.inf, np.inf, np.inf, np.nan]
    np.testing.assert_allclose(of_all(x), wanted, rtol=4.5e-16)

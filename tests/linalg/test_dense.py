"""The reduced system as a dense matrix."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from mixedfx.linalg.dense import DenseReduced


def system(n: int) -> np.ndarray:
    root = np.random.default_rng(n).standard_normal((n, n))
    return root @ root.T + n * np.eye(n)


@pytest.mark.parametrize(("n", "p"), [(1, 0), (1, 1), (7, 0), (7, 1), (7, 3), (7, 7), (300, 1), (300, 280)])
def test_inverse(n: int, p: int) -> None:
    """Of all, and of the random coefficients alone, with zeros for beta; the factor stays what it is."""
    S = system(n)
    dense = DenseReduced.of(S.copy(), n - p)
    random = np.zeros((n, n))
    random[: n - p, : n - p] = np.linalg.inv(S[: n - p, : n - p])
    np.testing.assert_allclose(dense.inverse(with_fixed=False), random, atol=1e-13)
    np.testing.assert_allclose(dense.inverse(with_fixed=True), np.linalg.inv(S), atol=1e-13)
    np.testing.assert_allclose(dense.solve(S), np.eye(n), atol=1e-11)


@pytest.mark.parametrize("with_fixed", [False, True])
def test_an_inverse_takes_one_matrix_more(with_fixed: bool) -> None:
    n = 600
    dense = DenseReduced.of(system(n), n - 2)
    dense.inverse(with_fixed=with_fixed)  # compiles
    tracemalloc.start()
    dense.inverse(with_fixed=with_fixed)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1.1 * 8 * n * n

"""Cholesky factors without Python's lock."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from scipy.linalg import LinAlgError

from mixedfx.linalg.lapack import upper_cholesky


def positive(n: int) -> np.ndarray:
    root = np.random.default_rng(0).standard_normal((n, n))
    return root @ root.T + n * np.eye(n)


def test_the_factor_is_numpys_and_in_the_same_memory() -> None:
    S = positive(30)
    expected = np.linalg.cholesky(S).T
    upper = S.copy()
    upper[np.triu_indices(30, 1)] = np.nan  # not read
    U = upper_cholesky(upper)
    np.testing.assert_allclose(U, expected, rtol=1e-12, atol=1e-12)
    assert np.shares_memory(U, upper)


def test_nothing_is_factored_into_nothing() -> None:
    assert upper_cholesky(np.zeros((0, 0))).shape == (0, 0)


def test_a_matrix_that_is_not_positive_definite_is_refused() -> None:
    with pytest.raises(LinAlgError, match="order 2"):
        upper_cholesky(np.array([[1.0, 2.0], [2.0, 1.0]]))


def test_other_threads_run_meanwhile() -> None:
    S, ticks, done = positive(1500), 0, threading.Event()

    def factor() -> None:
        upper_cholesky(S)
        done.set()

    upper_cholesky(positive(3))  # compiled before
    worker = threading.Thread(target=factor)
    worker.start()
    while not done.is_set():
        time.sleep(0.0005)
        ticks += 1
    worker.join()
    assert ticks > 3

"""Quadratic forms of a logarithm from the coefficients of conjugate gradients."""

from __future__ import annotations

import numpy as np
import pytest

from mixedfx.linalg.lanczos import log_quadratics
from mixedfx.linalg.pcg import pcg


def test_log_quadratics_are_exact_after_n_steps() -> None:
    rng = np.random.default_rng(0)
    root = rng.standard_normal((9, 9))
    A = root @ root.T + 0.5 * np.eye(9)
    values, vectors = np.linalg.eigh(A)
    r = rng.standard_normal((9, 3))
    r[:, 2] = vectors[:, 4]  # whose first step is the last one
    squares = (r**2).sum(axis=0)
    found = pcg(
        lambda v: A @ v, lambda v: v, r, np.zeros_like(r), reference=squares, tol=1e-14, max_iterations=40
    )
    wanted = np.einsum("im,ij,jm->m", r, vectors * np.log(values) @ vectors.T, r)
    assert log_quadratics(found.alphas, found.betas, squares) == pytest.approx(wanted, rel=1e-9)

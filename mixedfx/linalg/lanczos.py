"""Stochastic Lanczos quadrature: u' log(A) u from the coefficients of conjugate gradients.

CG on A x = r is Lanczos' method started at r: its step lengths give the tridiagonal matrix T, and
|r|^2 sum_i (first entry of T's i-th eigenvector)^2 log(eigenvalue_i) is r' log(A) r to Gauss quadrature's accuracy,
which grows twice as fast as that of x (Golub & Meurant 2010, chapter 6; Ubaru, Chen & Saad 2017, SIAM J. Matrix Anal.
Appl. 38). With a preconditioner M = L L', A is L^-1 S L^-T and r is L^-1 times the residual.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def log_quadratics(alphas: Floats, betas: Floats, squares: Floats) -> Floats:
    """r' log(A) r of every column, shape (m,).

    Parameters
    ----------
    alphas, betas
        CG's coefficients from the first step on, shape (iterations, m); columns that stop earlier end in zeros.
    squares
        |r|^2, shape (m,).
    """
    out = np.zeros(len(squares))
    for c in range(len(squares)):
        k = int(np.count_nonzero(alphas[:, c]))
        if not k:
            continue
        a, b = alphas[:k, c], betas[: k - 1, c]
        diagonal = 1.0 / a
        diagonal[1:] += b / a[:-1]
        T = np.diag(diagonal) + np.diag(np.sqrt(b) / a[:-1], 1) + np.diag(np.sqrt(b) / a[:-1], -1)
        values, vectors = np.linalg.eigh(T)
        out[c] = squares[c] * float(vectors[0] ** 2 @ np.log(values))
    return out

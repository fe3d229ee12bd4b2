"""Which columns of the fixed-effects matrix are determined by earlier ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_CHUNK = 16384
_TOLERANCE = 1e-7
"""R's ``qr`` default, which lme4 uses: a column is dropped if less than this part of its norm is its own."""


def independent_columns(columns: Sequence[NDArray[np.float64]], intercept: bool) -> NDArray[np.bool_]:
    """Which columns are kept when, from the first to the last, those that earlier ones determine are dropped.

    The triangular factor is built from chunks of rows (tall-skinny QR), so that a million rows need no second
    copy and the accuracy is that of Householder's method, which the cross-product matrix would square away.

    Parameters
    ----------
    columns
        p arrays of shape (N,).
    intercept
        Whether a column of ones stands before them.

    Returns
    -------
    ndarray
        bool, shape (p,).
    """
    p = len(columns)
    if p == 0:
        return np.ones(0, dtype=bool)
    n = len(columns[0])
    triangle = np.zeros((0, p + intercept))
    for start in range(0, n, _CHUNK):
        stop = min(start + _CHUNK, n)
        block = np.ones((len(triangle) + stop - start, p + intercept))
        block[: len(triangle)] = triangle
        for j, column in enumerate(columns):
            block[len(triangle) :, intercept + j] = column[start:stop]
        triangle = np.linalg.qr(block, mode="r")
    return _kept_columns(triangle)[int(intercept) :]


def _kept_columns(triangle: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Modified Gram-Schmidt over the columns of a triangular factor, dropping the dependent ones."""
    rest = triangle.copy()
    norms = np.linalg.norm(rest, axis=0)
    kept = np.zeros(rest.shape[1], dtype=bool)
    for j in range(rest.shape[1]):
        own = np.linalg.norm(rest[:, j])
        kept[j] = own > _TOLERANCE * norms[j]
        if kept[j]:
            direction = rest[:, j] / own
            rest[:, j + 1 :] -= np.outer(direction, direction @ rest[:, j + 1 :])
    return kept

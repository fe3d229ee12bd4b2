"""Thresholds as free coordinates: the first one, then logarithms of the distances between neighbours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def free_thresholds(alpha: Floats) -> Floats:
    """Coordinates zeta of rising thresholds alpha, shape (m,)."""
    return np.concatenate([alpha[:1], np.log(np.diff(alpha))])


def rising_thresholds(zeta: Floats) -> Floats:
    """alpha, shape (..., m), from the coordinates."""
    steps = np.concatenate([zeta[..., :1], np.exp(zeta[..., 1:])], axis=-1)
    return np.cumsum(steps, axis=-1)


def threshold_jacobian(zeta: Floats) -> Floats:
    """d alpha / d zeta, shape (m, m), lower triangular; the logarithm of its determinant is ``zeta[1:].sum()``."""
    steps = np.concatenate([np.ones(min(len(zeta), 1)), np.exp(zeta[1:])])
    return np.tril(np.broadcast_to(steps, (len(zeta), len(zeta))))

"""Weighted least squares of the response on the fixed effects: what is left is what covariances are learned from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mixedfx.design import Design

Floats = NDArray[np.float64]


def least_squares(design: Design) -> tuple[Floats, Floats]:
    """(coefficients (p,), residuals (N,)) of response less offset on X, weighted."""
    X, root = design.predictors.X(), np.sqrt(design.weights)
    y = design.y - design.predictors.offset
    coefficients = np.linalg.lstsq(X * root[:, None], y * root, rcond=None)[0]
    return coefficients, y - X @ coefficients

"""Sampling covariances from informations, and no standard error where there is none."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

NOTHING = 1e-14
"""Share of the largest eigenvalue, times the dimension, below which information is rounding."""
INVOLVED = 1e-3
"""Share of a parameter in a direction without information from which on its standard error is not known."""


def inverse_information(information: Floats) -> Floats:
    """`known_inverse` with NaN for the parameters that the information says nothing of."""
    covariance, lost = known_inverse(information)
    covariance[lost, :] = covariance[:, lost] = np.nan
    return covariance


def known_inverse(information: Floats, directions: Floats | None = None) -> tuple[Floats, NDArray[np.bool_]]:
    """Pseudo-inverse of a symmetric matrix, scaled to a unit diagonal first, and which parameters it is not known of.

    Those are the ones that a direction involves in which the information is 0 or negative, but for rounding: there the
    sampling variance is not 0 but unbounded. `information` may be given along the columns of `directions` instead of
    along the parameters; the inverse is of the parameters.
    """
    n = len(information)
    if not n:
        return information.copy(), np.zeros(0, dtype=bool)
    unit = unit_scale(np.abs(np.diag(information)))
    values, vectors = np.linalg.eigh(information * np.outer(unit, unit))
    known = values > n * NOTHING * max(values[-1], 0.0)
    ways = np.diag(unit) if directions is None else directions * unit
    along = ways @ vectors
    covariance = (along[:, known] / values[known]) @ along[:, known].T
    share = np.abs(along[:, ~known]) / np.linalg.norm(ways, axis=1, keepdims=True)
    return covariance, (share > INVOLVED).any(axis=1)


def unit_scale(sizes: Floats) -> Floats:
    """What makes a diagonal of such `sizes` one of ones: 1 / sqrt(size), 1 where it is not above 0; shape (n,)."""
    return 1.0 / np.sqrt(np.where(sizes > 0, sizes, 1.0))


def standard_errors(covariance: Floats) -> Floats:
    """Roots of the diagonal, shape (n,); NaN where that is not above 0."""
    variances = np.diag(covariance)
    return np.sqrt(np.where(variances > 0, variances, np.nan))

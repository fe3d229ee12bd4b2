"""The mode of a marginal posterior, and its normal approximation there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.optimize
from numpy.typing import NDArray

from mixedfx.covariance.marginal_target import MarginalTarget

Floats = NDArray[np.float64]

STEP = 0.3
"""Of the differences that make the Hessian, in approximate posterior standard deviations: what counts is the curvature
over the bulk of the posterior, not at a point."""
WIDEST = 1.5
"""Largest posterior standard deviation of a free coordinate: a variance near 0 may have no curvature to be measured."""
MAX_STEPS = 60


@dataclass(frozen=True, eq=False)
class NormalApproximation:
    """Mode (d,), and a root of the covariance (d, d): covariance = root root'."""

    mode: Floats
    root: Floats
    evaluations: int


def normal_approximation(target: MarginalTarget) -> NormalApproximation:
    """Climb by BFGS from the likelihood's optimum, in coordinates whitened by its information; then differences of the
    gradient."""
    root = inverse_root(target.start_information)
    evaluations = 0

    def falling(s: Floats) -> tuple[float, Floats]:
        nonlocal evaluations
        evaluations += 1
        value, slope = target.at(target.start + root @ s).search()
        return -value, -root.T @ slope

    found = scipy.optimize.minimize(
        falling, np.zeros(len(root)), jac=True, method="BFGS", options={"maxiter": MAX_STEPS, "gtol": 0.05}
    )
    mode = target.start + root @ found.x
    d = len(mode)
    H = np.empty((d, d))
    for i in range(d):
        ends = [falling(found.x + sign * STEP * np.eye(d)[i])[1] for sign in (1, -1)]
        H[i] = (ends[0] - ends[1]) / (2 * STEP)
    H = 0.5 * (H + H.T)
    # Back in the free coordinates, where bounds on the width have a meaning; then to the image with scales above 0.
    inverse = np.linalg.inv(root)
    wide = inverse_root(inverse.T @ H @ inverse)
    signs = np.prod([f for f, z in zip(target.coordinates.flips(d), mode, strict=False) if z < 0], axis=0)
    return NormalApproximation(signs * mode, (signs * wide.T).T, evaluations)


def inverse_root(information: Floats) -> Floats:
    """root root' = information^-1, no direction wider than `WIDEST`."""
    values, vectors = np.linalg.eigh(0.5 * (information + information.T))
    return vectors / np.sqrt(np.maximum(values, WIDEST**-2))

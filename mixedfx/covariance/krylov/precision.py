"""How far the probes' randomness moves the estimates, and how many probes a wanted accuracy takes."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from mixedfx.covariance.parameters import ParameterSpace

Floats = NDArray[np.float64]

ENOUGH = 20.0
"""Standard errors that count as the scale of a covariance where they are more than it: data with few levels."""
SAFETY = 1.3
"""The error of few probes is itself uncertain: so many times the probes that it asks for."""


def monte_carlo_errors(gradients: Floats, information: Floats) -> Floats:
    """Standard deviation of the estimates over sets of probes, shape (n,).

    The estimates solve "mean gradient = 0", so that their error is I^-1 times that of the mean.

    Parameters
    ----------
    gradients
        At the estimates, as each probe has them, shape (n, m).
    information
        Of the parameters, shape (n, n); those that are held have zeros.
    """
    scale = np.sqrt(np.maximum(np.diag(information), np.finfo(float).tiny))
    inverse = np.linalg.pinv(information / np.outer(scale, scale), hermitian=True) / np.outer(scale, scale)
    moved = inverse @ (gradients - gradients.mean(axis=1, keepdims=True))
    m = gradients.shape[1]
    return np.sqrt((moved**2).sum(axis=1) / ((m - 1) * m))


def change_error(gradients: Floats, logdets: Floats, step: Floats) -> float:
    """What a fall of the sampled log-likelihood along a step may be without meaning anything.

    The sampled value is not the integral of the sampled gradient, which is far more exact: near the maximum it is the
    gradient that is believed. Hence three standard errors of the gradient along the step, and a tenth of the value's.
    """
    m = len(logdets)
    along = 3.0 * float((step @ gradients).std(ddof=1))
    return (along + 0.05 * float(logdets.std(ddof=1))) / math.sqrt(m)


def relative_errors(errors: Floats, space: ParameterSpace, phi: Floats, se: Floats) -> Floats:
    """Monte Carlo errors of the covariance entries, in units of sd_a sd_b or of `ENOUGH` standard errors.

    0 for entries of a matrix at the boundary, which have no standard error.
    """
    point = space.point(phi[: space.size])
    out = np.zeros(len(space.entries))
    for i, entry in enumerate(space.entries):
        S = point.matrices[entry.term]
        scale = math.sqrt(S[entry.i, entry.i] * S[entry.j, entry.j])
        if np.isfinite(se[i]) and max(scale, se[i]) > 0:
            out[i] = errors[i] / max(scale, ENOUGH * se[i])
    return out


def probes_for(accuracy: float, error: float, probes: int) -> int:
    """Probes that bring a relative error to `accuracy`: it falls with their root."""
    return math.ceil(probes * SAFETY * (error / accuracy) ** 2)

"""How far the probes' randomness moves the estimates, and how many probes a wanted accuracy takes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedfx.covariance.factor_coordinates import FactorCoordinates
from mixedfx.covariance.parameters import ParameterSpace

Floats = NDArray[np.float64]

ENOUGH = 20.0
"""Standard errors that count as the scale of a covariance where they are more than it: data with few levels."""
SAFETY = 1.3
"""The error of few probes is itself uncertain: so many times the probes that it asks for."""


@dataclass(frozen=True, eq=False)
class Movable:
    """How an optimum can move: in the entries of the covariance factors, where a boundary holds it.

    Attributes
    ----------
    directions
        Of all parameters, one column an entry (sigma^2, a fixed effect), shape (n, k). None leads off the boundary.
    curvature
        Of minus the log-likelihood along them beside that of the information: where Sigma is singular its score is not
        0 and holds its range in place. Shape (k, k).
    """

    directions: Floats
    curvature: Floats

    @classmethod
    def at(cls, space: ParameterSpace, phi: Floats, gradient: Floats, *, with_sigma: bool) -> Movable:
        """At an optimum, where the mean gradient is this."""
        n = space.size - 1
        kept = np.arange(len(phi)) != (-1 if with_sigma else n)
        coordinates = FactorCoordinates.at(space, space.point(phi[: n + 1]))
        own = coordinates.jacobian_beside(coordinates.factors, int(kept.sum()) - n)
        directions = np.zeros((len(phi), own.shape[1]))
        directions[kept] = own
        scores = [np.zeros((term.q, term.q)) for term in space.terms]
        for entry, value in zip(space.entries, gradient, strict=False):
            scores[entry.term][entry.i, entry.j] = scores[entry.term][entry.j, entry.i] = (
                value if entry.i == entry.j else 0.5 * value
            )
        curvature = np.zeros((own.shape[1], own.shape[1]))
        for a, (k, i, j) in enumerate(coordinates.entries):
            for b, (other, row, column) in enumerate(coordinates.entries):
                if (k, j) == (other, column):
                    curvature[a, b] = -2.0 * scores[k][i, row]
        return cls(directions, curvature)

    def covariance(self, information: Floats) -> Floats:
        """Sampling covariance of all parameters, shape (n, n)."""
        own = self.directions.T @ information @ self.directions + self.curvature
        scale = np.sqrt(np.maximum(np.diag(own), np.finfo(float).tiny))
        inverse = np.linalg.pinv(own / np.outer(scale, scale), hermitian=True) / np.outer(scale, scale)
        return self.directions @ inverse @ self.directions.T


def monte_carlo_errors(gradients: Floats, covariance: Floats) -> Floats:
    """Standard deviation of the estimates over sets of probes, shape (n,).

    The estimates solve "mean gradient = 0", so that their error is I^-1 times that of the mean.

    Parameters
    ----------
    gradients
        At the estimates, as each probe has them, shape (n, m).
    covariance
        I^-1, shape (n, n), as `Movable` has it.
    """
    moved = covariance @ (gradients - gradients.mean(axis=1, keepdims=True))
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
    """Monte Carlo errors of the covariance entries, in units of sd_a sd_b or of `ENOUGH` standard errors `se`."""
    point = space.point(phi[: space.size])
    out = np.zeros(len(space.entries))
    for i, entry in enumerate(space.entries):
        S = point.matrices[entry.term]
        scale = math.sqrt(S[entry.i, entry.i] * S[entry.j, entry.j])
        if max(scale, se[i]) > 0:
            out[i] = errors[i] / max(scale, ENOUGH * se[i])
    return out


def probes_for(accuracy: float, error: float, probes: int) -> int:
    """Probes that bring a relative error to `accuracy`: it falls with their root."""
    return math.ceil(probes * SAFETY * (error / accuracy) ** 2)

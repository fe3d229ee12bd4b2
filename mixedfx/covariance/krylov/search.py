"""Average-information steps on sampled likelihoods, with as many probes as a wanted accuracy takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from mixedfx.covariance.average_information import MEMORY, Optimum, maximise
from mixedfx.covariance.krylov.gaussian import KrylovPoint
from mixedfx.covariance.krylov.laplace import KrylovLaplacePoint
from mixedfx.covariance.krylov.precision import (
    Movable,
    change_error,
    monte_carlo_errors,
    probes_for,
    relative_errors,
)
from mixedfx.covariance.parameters import ParameterSpace
from mixedfx.progress import Report

Floats = NDArray[np.float64]

FIRST_PROBES = 8
MOST_PROBES = 256
TOLERANCE = 1e-6
"""Log-likelihood that a further step may promise: then the estimates are within 0.002 of their standard errors."""
COMPLETE_TOLERANCE = 1e-8
"""The same where a complete set of probes leaves nothing to chance."""


@dataclass(frozen=True, eq=False)
class Search[P: (KrylovPoint, KrylovLaplacePoint)]:
    """Where the steps ended, and how certain that is.

    Attributes
    ----------
    optimum
        The maximum of the sampled likelihood.
    probes
        Probes that it took.
    errors
        Monte Carlo standard errors of the parameters, shape (n,).
    relative
        The largest one of the covariances, as `relative_errors` has them.
    """

    optimum: Optimum[P]
    probes: int
    errors: Floats
    relative: float


def search[P: (KrylovPoint, KrylovLaplacePoint)](
    start: Callable[[int, P | None], P],
    space: ParameterSpace,
    accuracy: float,
    report: Report,
    *,
    with_sigma: bool,
    refuse: Callable[[Floats], None] | None = None,
) -> Search[P]:
    """Maximise with few probes, and with more of them where their error at the maximum is too large.

    `start` gives the point to start from with so many probes, at the maximum found with fewer of them.
    """
    probes, found = FIRST_PROBES, None
    while True:
        near = None if found is None else found.optimum.at
        optimum = climb(partial(start, probes, near), space, with_sigma=with_sigma, refuse=refuse)
        gradients = optimum.at.gradients()
        movable = Movable.at(space, optimum.phi, optimum.gradient, with_sigma=with_sigma)
        covariance = movable.covariance(optimum.information)
        errors = np.zeros(len(covariance))
        if not optimum.at.problem.signs.complete:
            errors = monte_carlo_errors(gradients, covariance)
        se = np.sqrt(np.maximum(np.diag(covariance), 0.0))
        relative = float(np.max(relative_errors(errors, space, optimum.phi, se), initial=0.0))
        found = Search(optimum, probes, errors, relative)
        report("Refining", optimum.iterations, None, f"{probes} probes, Monte Carlo error {relative:.1e}")
        if relative <= accuracy or probes == MOST_PROBES:
            return found
        probes = min(max(probes_for(accuracy, relative, probes), 2 * probes), MOST_PROBES)


def _noise(point: KrylovPoint | KrylovLaplacePoint) -> Callable[[Floats], float]:
    gradients, logdets = point.gradients(), point.logdets
    return lambda way: change_error(gradients, logdets, way)


def climb[P: (KrylovPoint, KrylovLaplacePoint)](
    start: Callable[[], P],
    space: ParameterSpace,
    *,
    with_sigma: bool,
    tol: float | None = None,
    near: Callable[[Floats, Floats], bool] | None = None,
    held: Sequence[int] = (),
    refuse: Callable[[Floats], None] | None = None,
) -> Optimum[P]:
    """The maximum of a sampled likelihood from a point, by its own probes; see `maximise`.

    Nobody keeps the point where it started: it has arrays as long as the data.
    """
    points = [start()]
    complete = points[0].problem.signs.complete
    return maximise(
        points.pop(),
        space,
        with_sigma=with_sigma,
        held=held,
        refuse=refuse,
        noise=None if complete else _noise,
        memory=1 if with_sigma else MEMORY,
        tol=(COMPLETE_TOLERANCE if complete else TOLERANCE) if tol is None else tol,
        near=near,
    )

"""Maximise a likelihood over covariances by average-information steps inside the cone."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedfx.covariance.factor_ascent import ascend
from mixedfx.covariance.likelihood_point import LikelihoodPoint, moved
from mixedfx.covariance.parameters import Covariances, ParameterSpace
from mixedfx.covariance.semidefinite import constrained_step
from mixedfx.linalg.blas import one_blas

Floats = NDArray[np.float64]
logger = logging.getLogger(__name__)

CRAWL = 15
"""Steps after which a search goes on in factors of the ranks that the covariances then have: few need so many."""
MEMORY = 8
"""Steps that correct the average information of Laplace's working response, which is far from the Hessian."""
SHORTEST = 1e-7
"""Part of a step that is no longer tried."""
BEYOND = 0.5
"""Slope against a step, in shares of the one along it at its start, with which it may end although the value fell."""
BOUNDARY = 1e-6
"""Share of a variance: a step that leaves less goes to the boundary."""


@dataclass(frozen=True, eq=False)
class Optimum[P: LikelihoodPoint]:
    """Where the steps ended.

    Attributes
    ----------
    at
        The likelihood at the optimum.
    phi, gradient, information
        Parameters, score and average information there.
    iterations, evaluations
        Steps, and likelihoods computed.
    converged
        Whether the gain that a further step promises is below the tolerance.
    predicted_gain
        That gain, in log-likelihood: half the squared Newton decrement.
    """

    at: P
    phi: Floats
    gradient: Floats
    information: Floats
    iterations: int
    evaluations: int
    converged: bool
    predicted_gain: float


@dataclass(frozen=True, eq=False)
class _Highest:
    """The highest point so far of a sampled likelihood: its value, where it is, and how far values on a way from there
    may fall. The point itself would keep its memory."""

    loglik: float
    vector: Floats
    noise: Callable[[Floats], float]

    def allows(self, there: LikelihoodPoint, gradient: Floats, way: Floats, hidden: float) -> bool:
        """Whether a step along `way`, which began with `gradient`, may end `there` although the value fell."""
        if self.loglik - there.loglik > hidden + self.noise(there.vector - self.vector):
            return False
        return float(there.gradient() @ way) >= -BEYOND * float(gradient @ way)


def maximise[P: LikelihoodPoint](
    here: P,
    space: ParameterSpace,
    *,
    with_sigma: bool = True,
    held: Sequence[int] = (),
    refuse: Callable[[Floats], None] | None = None,
    noise: Callable[[P], Callable[[Floats], float]] | None = None,
    memory: int = 1,
    tol: float = 1e-10,
    near: Callable[[Floats, Floats], bool] | None = None,
    max_iterations: int = 100,
) -> Optimum[P]:
    """Step until the predicted gain in log-likelihood is below `tol`, or `near` says that here is near enough to where
    the next step leads.

    sigma^2 is kept where `with_sigma` is False, and so are the entries `held` (see `constrained_step`).
    `refuse` sees every further point before its likelihood is computed, and may raise an error. `noise` says of a point
    how far the log-likelihood may fall on a way from it without meaning anything: those that are sampled are not quite
    the integrals of their gradients. It is held against the highest point so far, so that falls do not add up, and a
    step with a fall must not lead much beyond where the gradient along it is 0. The gradient's changes over the last
    `memory` steps correct the average information: several help where that is far from the Hessian.

    Where steps crawl or fail, the search goes on in factors of the covariances before the next one (see `ascend`).

    The test does not depend on units, and holds at boundary optima as well: the step is the best one inside the cone,
    so that a gain of zero is the cone's optimality condition (for a singular Sigma: S Sigma = 0, S <= 0).
    """
    with one_blas():
        evaluations, iteration = 1, 0
        phi = here.vector
        secants: list[tuple[Floats, Floats]] = []
        previous: tuple[Floats, Floats] | None = None
        # Factors need all entries free, and a likelihood that is the integral of its gradient.
        may_ascend = not held and noise is None
        ascended = not may_ascend
        highest = None if noise is None else _Highest(here.loglik, phi, noise(here))
        while True:
            gradient, information = here.gradient(), here.average_information()
            if not (np.isfinite(gradient).all() and np.isfinite(information).all()):
                raise np.linalg.LinAlgError("the score is not finite")
            if previous is not None:
                secants.append((phi - previous[0], previous[1] - gradient))
            model = _with_secants(information, secants[-memory:])
            step = constrained_step(space, phi, gradient, model, with_sigma=with_sigma, held=held)
            logger.debug(
                "step %d: loglik %.6f, predicted gain %.3g", iteration, here.loglik, step.predicted_gain
            )
            # A clearly negative promise is no optimum: rounding has spoilt the score.
            converged = abs(step.predicted_gain) <= tol or (near is not None and near(phi, step.phi))
            there = None
            if not converged and iteration < max_iterations and (iteration < CRAWL or ascended):
                # Rounding of the log-likelihood itself hides gains below this; the step is then taken on trust.
                hidden = 1e-12 * abs(here.loglik)
                there, tried = _search(here, gradient, step.phi, space, held, refuse, hidden, highest)
                evaluations += tried
            if there is not None:
                previous, ascended = (phi, gradient), not may_ascend
                here, phi, iteration = there, there.vector, iteration + 1
                if noise is not None and highest is not None and here.loglik > highest.loglik:
                    highest = _Highest(here.loglik, phi, noise(here))
            elif converged or iteration >= max_iterations or ascended:
                return Optimum(
                    here, phi, gradient, information, iteration, evaluations, converged, step.predicted_gain
                )
            else:
                left = max_iterations - iteration
                ascent = ascend(
                    here, space, with_sigma=with_sigma, refuse=refuse, tol=0.1 * tol, max_steps=left
                )
                logger.debug("%d steps of factors to loglik %.6f", ascent.steps, ascent.at.loglik)
                here, phi, secants, previous, ascended = ascent.at, ascent.at.vector, [], None, True
                evaluations, iteration = evaluations + ascent.evaluations, iteration + ascent.steps


def _search[P: LikelihoodPoint](
    here: P,
    gradient: Floats,
    target: Floats,
    space: ParameterSpace,
    held: Sequence[int],
    refuse: Callable[[Floats], None] | None,
    hidden: float,
    highest: _Highest | None,
) -> tuple[P | None, int]:
    """A point on the way to `target` where the likelihood has risen as it should, but for what is `hidden` by rounding
    and what the `highest` point allows; None where there is none. And how many were tried."""
    phi = here.vector
    slope = float(gradient @ (target - phi))
    t, tried = 1.0, 0
    while t > SHORTEST:
        trial = phi + t * (target - phi) if t < 1.0 else _on_geodesics(space, phi, target, held)
        if refuse is not None:
            refuse(trial)
        there, tried = moved(here, trial), tried + 1
        if there is not None and (
            there.loglik >= here.loglik + 1e-4 * t * slope - hidden
            or (highest is not None and highest.allows(there, gradient, trial - phi, hidden))
        ):
            return there, tried
        t *= 0.5 if t == 1.0 else 0.25
    return None, tried


def _on_geodesics(space: ParameterSpace, phi: Floats, target: Floats, held: Sequence[int]) -> Floats:
    """Where a step leads when it bends: Sigma exp(Sigma^-1 dSigma) instead of Sigma + dSigma.

    Likelihoods are closer to quadratic in the logarithm of a variance than in the variance, so that a long step lands
    nearer to the optimum; short ones are the same to second order. Straight are steps to or from the boundary, those
    that more than double a variance, those of a matrix with entries that are held, and all of sigma^2, which the data
    know well.
    """
    size = space.size
    here, there = space.point(phi[:size]), space.point(target[:size])
    rigid = {space.entries[a].term for a in held if a < len(space.entries)}
    pairs = enumerate(zip(here.matrices, there.matrices, strict=True))
    matrices = [T if k in rigid else _bent(S, T) for k, (S, T) in pairs]
    return np.concatenate([space.vector(Covariances(tuple(matrices), there.sigma2)), target[size:]])


def _bent(S: Floats, T: Floats) -> Floats:
    try:
        L = np.linalg.cholesky(S)
    except np.linalg.LinAlgError:
        return T
    inverse = np.linalg.inv(L)
    values, vectors = np.linalg.eigh(inverse @ (T - S) @ inverse.T)
    if not -1.0 + BOUNDARY < values[0] <= values[-1] <= 1.0:
        return T
    root = L @ vectors
    return (root * np.exp(values)) @ root.T


def _with_secants(information: Floats, secants: list[tuple[Floats, Floats]]) -> Floats:
    """The information corrected so that it explains how the gradient changed over the last steps (BFGS updates).

    Average information is not the Hessian: alone it leaves a linear rate, about 0.1 an iteration for slopes. Only steps
    of less than a standard error teach, because longer ones see the Hessian of another place.
    """
    for way, change in secants:
        image = information @ way
        expected, observed = float(way @ image), float(way @ change)
        if expected < 1.0 and 0.005 * expected < observed < 3.0 * expected:
            information = (
                information - np.outer(image, image) / expected + np.outer(change, change) / observed
            )
    return information

"""How well a maximum of the likelihood was reached, in numbers that do not depend on units: for ``stats`` of a fit.

| key | |
|---|---|
| ``iterations``, ``evaluations`` | steps, and likelihoods computed |
| ``max_scaled_gradient`` | largest derivative of the log-likelihood by a parameter, times its standard error |
| ``newton_decrement`` | distance to the maximum in standard errors, by the last quadratic model |
| ``predicted_gain`` | half its square: what a further step promises; below 1e-10 where the fit converged |
| ``smallest_eigenvalue``, ``largest_eigenvalue`` | of the information, scaled to a unit diagonal |
| ``scaled_residuals`` | minimum, quartiles and maximum of the scaled Pearson residuals (not for ordered categories) |
| ``response_fingerprint``, ``weights_fingerprint`` | the same for fits to the same data, in any order |

Gradient and eigenvalues are in entries of the covariance factors (`FactorCoordinates`), in which the gradient is zero
at boundary optima too, and standard errors those with the other parameters held fixed. A smallest eigenvalue near 0
says that the data hardly tell some parameters apart, one below 0 (of a Hessian) that the point is no maximum. Gaussian
fits have average information there, the other families minus the Hessian.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mixedfx.covariance.average_information import Optimum
from mixedfx.covariance.factor_coordinates import FactorCoordinates
from mixedfx.covariance.likelihood_point import LikelihoodPoint
from mixedfx.covariance.parameters import ParameterSpace

Floats = NDArray[np.float64]

QUARTILES = (0.0, 0.25, 0.5, 0.75, 1.0)


def optimum_stats[P: LikelihoodPoint](
    optimum: Optimum[P], space: ParameterSpace, *, with_sigma: bool
) -> dict[str, float]:
    """The table's first five; sigma^2 counts only `with_sigma`."""
    gradient, information = _in_factors(optimum, space, with_sigma)
    scaled = np.abs(gradient) * _standard_errors(information)
    return {
        "iterations": optimum.iterations,
        "evaluations": optimum.evaluations,
        "predicted_gain": optimum.predicted_gain,
        "newton_decrement": float(np.sqrt(2 * max(optimum.predicted_gain, 0.0))),
        "max_scaled_gradient": float(scaled.max(initial=0.0)),
    }


def scaled_eigenvalues[P: LikelihoodPoint](
    optimum: Optimum[P], space: ParameterSpace, *, with_sigma: bool
) -> dict[str, float]:
    """Smallest and largest eigenvalue of the average information."""
    _, information = _in_factors(optimum, space, with_sigma)
    unit = _standard_errors(information)
    values = np.linalg.eigvalsh(information * np.outer(unit, unit))
    return {"smallest_eigenvalue": float(values[0]), "largest_eigenvalue": float(values[-1])}


def _standard_errors(information: Floats) -> Floats:
    """Each with the others held fixed."""
    return 1.0 / np.sqrt(np.maximum(np.diag(information), np.finfo(float).tiny))


def _in_factors[P: LikelihoodPoint](
    optimum: Optimum[P], space: ParameterSpace, with_sigma: bool
) -> tuple[Floats, Floats]:
    """Gradient and average information in the entries of the covariance factors."""
    n = space.size - 1
    kept = np.arange(len(optimum.phi)) != (-1 if with_sigma else n)
    coordinates = FactorCoordinates.at(space, space.point(optimum.phi[: n + 1]))
    J = coordinates.jacobian_beside(coordinates.factors, int(kept.sum()) - n)
    return J.T @ optimum.gradient[kept], J.T @ optimum.information[np.ix_(kept, kept)] @ J

"""Sampling covariance of all parameters of a generalized model: the Hessian in (theta, beta, alpha), as glmer's.

Differences of the analytic gradient, in theta (`FactorCoordinates`) rather than in Sigma, because singular covariances
are no special case there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from mixedfx.covariance.factor_coordinates import FactorCoordinates
from mixedfx.covariance.inverse_information import NOTHING, known_inverse, unit_scale
from mixedfx.covariance.likelihood_point import LikelihoodPoint
from mixedfx.covariance.parameters import Covariances, ParameterSpace

Floats = NDArray[np.float64]

STEP = 2e-4
"""Of the differences, in standard errors. Their error is about STEP, so that one side is enough, at half
the work; that of the gradient is divided by STEP."""
UNLIKE = 10.0
"""Ratio of what the gradient says along a direction to average information from which on one of them is wrong."""
TINY = np.finfo(float).tiny


@dataclass(frozen=True, eq=False)
class JointCovariance:
    """Inverse of minus the Hessian.

    Attributes
    ----------
    entries
        Of the free covariance entries in the order of the space (delta method), shape (n, n); NaN for the entries of
        a singular block, and where the Hessian says nothing.
    fixed
        Of (beta, alpha), shape (p + m, p + m); NaN where the Hessian says nothing.
    whole
        Of all of them, in the entries' and the fixed effects' order, with what singular blocks can still do; not NaN.
    smallest_eigenvalue, largest_eigenvalue
        Of minus the Hessian, scaled to a unit diagonal: the smallest is not above 0 where the point is no maximum.
    """

    entries: Floats
    fixed: Floats
    whole: Floats
    smallest_eigenvalue: float
    largest_eigenvalue: float


def joint_covariance[P: LikelihoodPoint](
    optimum: P,
    space: ParameterSpace,
    gradient_at: Callable[[P], Floats] = lambda point: point.gradient(),
    *,
    step: float = STEP,
) -> JointCovariance:
    """Differences of the gradient from `optimum`, of length `step`: a likelihood a parameter.

    The point's vector must be the space's (with sigma^2, which is held fixed), then beta and alpha. `gradient_at` gives
    a point's gradient, where there is a better way than its method.
    """
    n = space.size - 1
    vector = optimum.vector
    theta = FactorCoordinates.at(space, space.point(vector[: n + 1]))
    n_theta, n_fixed = len(theta.entries), len(vector) - n - 1

    def in_theta(g: Floats, factors: tuple[Floats, ...]) -> Floats:
        return np.concatenate([theta.jacobian(factors).T @ g[:n], g[n + 1 :]])

    def gradient(moved: Floats) -> Floats:
        factors = theta.moved(moved[:n_theta])
        phi = space.vector(Covariances(tuple(L @ L.T for L in factors), 1.0))
        there = optimum.move(np.concatenate([phi, vector[n + 1 :] + moved[n_theta:]]))
        return in_theta(gradient_at(there), factors)

    here = in_theta(gradient_at(optimum), theta.factors)
    along = np.asarray(scipy.linalg.block_diag(theta.jacobian(theta.factors), np.eye(n_fixed)))
    information = np.delete(np.delete(optimum.average_information(), n, axis=0), n, axis=1)
    directions, known = _directions(along.T @ information @ along)
    rows = [directions.T @ (gradient(step * way) - here) for way in directions.T]
    H = -np.reshape(rows, directions.shape) / step
    H[~np.isfinite(H)] = 0.0  # no mode was found there: nothing is known
    H = _without_leaps(0.5 * (H + H.T), _in_fixed_effects(directions, n_theta), known)
    covariance, unknown = known_inverse(H, directions)
    eigenvalues = _scaled_eigenvalues(H, directions)
    whole = along @ covariance @ along.T
    entries = whole[:n, :n].copy()
    full = [all(L[j, j] > 0 for j in range(len(L))) for L in theta.factors]
    lost = np.array([not full[e.term] for e in space.entries], dtype=bool)
    lost |= along[:n, :n_theta][:, unknown[:n_theta]].any(axis=1)
    entries[lost, :] = entries[:, lost] = np.nan
    fixed = covariance[n_theta:, n_theta:]
    fixed[unknown[n_theta:], :] = fixed[:, unknown[n_theta:]] = np.nan
    return JointCovariance(entries, fixed, whole, float(eigenvalues[0]), float(eigenvalues[-1]))


def _directions(information: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Columns of one standard error each that `information` does not relate to each other, shape (n, n), and of which
    it says anything.

    Along the parameters themselves, differences would lose what a direction keeps that several change together: an
    intercept and the coefficient of a column far from 0 do so by many times their conditional standard errors.
    """
    unit = unit_scale(np.diag(information))
    if not len(unit):
        return np.zeros((0, 0)), np.zeros(0, dtype=bool)
    values, vectors = np.linalg.eigh(information * np.outer(unit, unit))
    known = values > len(unit) * NOTHING * max(values[-1], 0.0)
    return unit[:, None] * vectors / np.sqrt(np.where(known, values, 1.0)), known


def _in_fixed_effects(directions: Floats, n_theta: int) -> NDArray[np.bool_]:
    """Whether a direction is one of (beta, alpha) rather than of covariances."""
    sizes = (directions / np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), TINY)) ** 2
    return sizes[n_theta:].sum(axis=0) > sizes[:n_theta].sum(axis=0)


def _without_leaps(H: Floats, fixed: NDArray[np.bool_], known: NDArray[np.bool_]) -> Floats:
    """H with average information, 1 or nothing, along the directions of `fixed` effects whose steps went too far.

    Where the data separate, a standard error is so long that a step leads from certain outcomes to impossible ones; the
    gradient there says nothing of the optimum, and would spoil what is known of the other parameters.
    """
    change = np.diag(H)
    leaps = fixed & ~(known & (change > 1.0 / UNLIKE) & (change < UNLIKE))
    out = H.copy()
    out[leaps, :] = out[:, leaps] = 0.0
    out[leaps, leaps] = np.where(known[leaps], 1.0, 0.0)
    return out


def _scaled_eigenvalues(H: Floats, directions: Floats) -> Floats:
    """Of H by the parameters, scaled to a unit diagonal; (1,) without parameters."""
    if not len(H):
        return np.ones(1)
    back = np.linalg.inv(directions)
    H = back.T @ H @ back
    unit = unit_scale(np.abs(np.diag(H)))
    return np.linalg.eigvalsh(H * np.outer(unit, unit))

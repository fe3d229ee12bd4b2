"""Satterthwaite's degrees of freedom for tests of fixed effects, as lmerTest has them.

The variance of a contrast c'beta is estimated as c'Vc with V = (X'V_y^-1 X)^-1 at the estimated covariances. That
estimate is taken for a multiple of a chi-squared variable; matching its first two moments gives

    df = 2 (c'Vc)^2 / (g'Ag),   g = d c'Vc/d theta,   A = the inverse of the observed information of theta,

theta being all covariance parameters, sigma^2 among them, and g'Ag the sampling variance of c'Vc by the delta method
(Giesbrecht & Burns 1985, Biometrics 41; Kuznetsova, Brockhoff & Christensen 2017, J. Stat. Software 82(13)).

Average information will not do for A: with few levels it differs from the observed information by far more than the
digits that are printed. Parameters at a boundary are taken for known: in the coordinates used, g is zero in their
direction, and so it is in lmerTest's.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mixedfx.covariance.factor_coordinates import FactorCoordinates
from mixedfx.covariance.gaussian import GaussianPoint
from mixedfx.covariance.parameters import Covariances
from mixedfx.covariance.semidefinite import undetermined

Floats = NDArray[np.float64]

STEP = 3e-4
"""Of the central differences, in standard errors: they are wrong by about STEP^2, and the gradient's rounding (1e-10 of
itself) is divided by STEP."""
LARGE_ROWS, LARGE_REST = 10_000, 500
"""Where the differences cost seconds rather than a fraction of one: two likelihoods a parameter."""


def is_cheap(at: GaussianPoint) -> bool:
    """Whether `covariance_spread` takes a fraction of a second."""
    return len(at.problem.y) <= LARGE_ROWS and at.problem.layout.n_rest <= LARGE_REST


def covariance_spread(at: GaussianPoint, information: Floats) -> Floats:
    """How far the covariance matrix of the fixed effects is from certain: matrices K_m with sum_m (c'K_m c)^2 = g'Ag.

    Parameters
    ----------
    at
        The likelihood at its maximum.
    information
        Average information there, which scales the differences.

    Returns
    -------
    ndarray
        Shape (m, p, p), m the number of covariance parameters that are not at a boundary.
    """
    space = at.problem.space
    coordinates = FactorCoordinates.at(space, at.point)

    def gradient(step: Floats) -> Floats:
        factors = coordinates.moved(step[:-1])
        point = Covariances(tuple(L @ L.T for L in factors), at.point.sigma2 + step[-1])
        return coordinates.jacobian_beside(factors, 1).T @ at.problem.at(point).gradient()

    whole = coordinates.jacobian_beside(coordinates.factors, 1)
    nothing_known = undetermined(space, space.vector(at.point), at.gradient(), information)
    told = ~(whole[nothing_known] != 0).any(axis=0)
    J = whole[:, told]
    unit = 1.0 / np.sqrt(np.einsum("ia,ij,ja->a", J, information, J))
    steps = np.zeros((len(unit), len(told)))
    steps[:, told] = np.diag(STEP * unit)
    rows = [(gradient(-h) - gradient(h))[told] / (2 * STEP) for h in steps]
    observed = np.array(rows) * unit
    values, vectors = np.linalg.eigh(0.5 * (observed + observed.T))
    known = values > 1e-8 * values[-1]
    root = unit[:, None] * vectors[:, known] / np.sqrt(values[known])
    return np.einsum("am,ia,ipq->mpq", root, J, at.beta_covariance_derivatives(), optimize=True)


def degrees_of_freedom(contrasts: Floats, covariance: Floats, spread: Floats) -> Floats:
    """Satterthwaite's df of each contrast, shape (m,).

    Parameters
    ----------
    contrasts
        Rows c, shape (m, p).
    covariance
        Of the fixed effects, shape (p, p).
    spread
        What `covariance_spread` returned.
    """
    variances = np.einsum("mp,pq,mq->m", contrasts, covariance, contrasts)
    gradients = np.einsum("mp,kpq,mq->mk", contrasts, spread, contrasts)
    with np.errstate(divide="ignore"):
        return 2 * variances**2 / (gradients**2).sum(axis=1)

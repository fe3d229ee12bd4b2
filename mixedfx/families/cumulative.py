"""Ordered categories, cumulative logit link with flexible thresholds: P(y <= m) = logistic(alpha_m - eta).

With a = alpha_y - eta, c = alpha_(y-1) - eta and F the logistic function,

    F(a) - F(c) = F(a) (1 - F(c)) (1 - exp(-(a - c))),

so that l = softplus(-a) + softplus(c) + gap(alpha_y - alpha_(y-1)) with gap(d) = -log(1 - exp(-d)): stable where the
difference of the two probabilities would cancel, and convex term by term. `auxiliary` is alpha, shape (M - 1,).
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import numpy as np
from scipy.special import expit, logit

from mixedfx.errors import DataError
from mixedfx.families.base import Array, Derivatives, Family


class ThresholdTerms(NamedTuple):
    """What the thresholds add to a Newton system.

    Attributes
    ----------
    K
        w d l'/d alpha, shape (N, M - 1); at most two entries a row, none above 0, and w l'' is minus the row's sum.
    gradient
        sum w dl/d alpha, shape (M - 1,).
    gap
        Curvature of the distances between neighbouring thresholds, shape (M - 1, M - 1), tridiagonal.
    """

    K: Array
    gradient: Array
    gap: Array

    def hessian(self) -> Array:
        """sum w d^2 l / d alpha^2, shape (M - 1, M - 1): the rows' part is diagonal."""
        return np.diag(-self.K.sum(axis=0)) + self.gap


def gap_matrix(gap: Array) -> Array:
    """sum_m gap_m (e_(m+1) - e_m)(e_(m+1) - e_m)', shape (len(gap) + 1, len(gap) + 1)."""
    differences = np.diff(np.eye(len(gap) + 1), axis=0)
    return (differences.T * gap) @ differences


class Gaps(NamedTuple):
    """Loss, gradient (M - 1,) and Hessian (M - 1, M - 1) of the distances between neighbouring thresholds."""

    loss: float
    gradient: Array
    hessian: Array


class Cumulative(Family):
    name: ClassVar[str] = "cumulative"
    has_thresholds: ClassVar[bool] = True
    has_classes: ClassVar[bool] = True
    hessian_bound: ClassVar[float | None] = 0.5
    compiled_kind: ClassVar[int] = 3

    def check_values(self, y: Array, name: str) -> None:
        """Categories are numbered when the response is encoded, which refuses unknown ones."""

    def check_response(self, y: Array, name: str) -> None:
        if np.ptp(y) == 0:
            raise DataError(f"response '{name}' has one category only; an ordinal model needs at least two")

    def loss(self, y: Array, eta: Array, auxiliary: object = None) -> Array:
        a, c, distance = _arguments(y, eta, auxiliary)
        # A last category has a = inf, a first one c = -inf: their terms vanish.
        return np.logaddexp(0.0, -a) + np.logaddexp(0.0, c) - np.log(-np.expm1(-distance))

    def derivatives(self, y: Array, eta: Array, auxiliary: object = None) -> Derivatives:
        a, c, _ = _arguments(y, eta, auxiliary)
        Fa, Fc = expit(a), expit(c)
        fa, fc = Fa * expit(-a), Fc * expit(-c)
        return Derivatives(1 - Fa - Fc, fa + fc, -(fa * (1 - 2 * Fa) + fc * (1 - 2 * Fc)))

    def threshold_terms(self, y: Array, eta: Array, weights: Array, alpha: Array) -> ThresholdTerms:
        """Derivatives that involve the thresholds."""
        a, c, _ = _arguments(y, eta, alpha)
        category, M = y.astype(np.int64), len(alpha) + 1
        K = np.zeros((len(y), M - 1))
        rows = np.arange(len(y))
        upper, lower = category < M - 1, category > 0
        K[rows[upper], category[upper]] = -(weights * expit(a) * expit(-a))[upper]
        K[rows[lower], category[lower] - 1] = -(weights * expit(c) * expit(-c))[lower]
        by_upper = np.bincount(category, -weights * expit(-a), M)[: M - 1]
        by_lower = np.bincount(category, weights * expit(c), M)[1:]
        gaps = self.gaps(np.bincount(category, weights, M), alpha)
        return ThresholdTerms(K, by_upper + by_lower + gaps.gradient, gaps.hessian)

    def marginal_thresholds(self, category_weights: Array) -> Array:
        """Thresholds of a model without predictors: logits of the cumulative shares, shape (M - 1,)."""
        return logit(np.cumsum(category_weights)[:-1] / category_weights.sum())

    def gaps(self, category_weights: Array, alpha: Array) -> Gaps:
        """What the distances between thresholds add to sum w l; `category_weights` has shape (M,)."""
        inner = category_weights[1:-1]
        closeness = np.exp(-np.diff(alpha))  # exp of the negative: no overflow where thresholds are far apart
        rest = -np.expm1(-np.diff(alpha))
        slope = -inner * closeness / rest
        return Gaps(
            loss=-float(inner @ np.log(rest)),
            gradient=-np.diff(np.concatenate([[0.0], slope, [0.0]])),
            hessian=gap_matrix(inner * closeness / rest**2),
        )

    def mean(self, eta: Array, auxiliary: object = None) -> Array:
        """Expected category number, shape (N,)."""
        probabilities = self.probabilities(eta, auxiliary)
        return probabilities @ np.arange(probabilities.shape[1], dtype=float)

    def probabilities(self, eta: Array, auxiliary: object) -> Array:
        """P(y = m), shape (N, M)."""
        alpha = _alpha(auxiliary)
        below = expit(alpha[None, :] - eta[:, None])
        edges = np.concatenate([np.zeros((len(eta), 1)), below, np.ones((len(eta), 1))], axis=1)
        return np.diff(edges, axis=1)

    def start_eta(self, mean: float) -> float:  # noqa: ARG002
        return 0.0

    def sample(
        self,
        eta: Array,
        rng: np.random.Generator,
        auxiliary: object = None,
        weights: Array | None = None,  # noqa: ARG002
    ) -> Array:
        latent = eta + rng.logistic(size=eta.shape)
        return np.searchsorted(_alpha(auxiliary), latent).astype(float)


def as_cumulative(family: Family) -> Cumulative:
    """The one family that has thresholds."""
    if not isinstance(family, Cumulative):
        raise TypeError(f"family '{family.name}' has no thresholds")
    return family


def _alpha(auxiliary: object) -> Array:
    if not isinstance(auxiliary, np.ndarray):
        raise TypeError("the cumulative family needs its thresholds as its auxiliary parameter")
    return auxiliary


def _arguments(y: Array, eta: Array, auxiliary: object) -> tuple[Array, Array, Array]:
    """(a, c, a - c), each of shape (N,)."""
    edges = np.concatenate([[-np.inf], _alpha(auxiliary), [np.inf]])
    category = y.astype(np.int64)
    upper, lower = edges[category + 1], edges[category]
    return upper - eta, lower - eta, upper - lower

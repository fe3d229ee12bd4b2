"""A normal approximation of the model at a reference point: what the sampler's coordinates are built from.

Weights W and working response z are those of one iteratively reweighted step, exact for gaussian data. Nothing
here has to be accurate: a poor reference costs effective draws, never correctness.

Thresholds join the fixed effects as free coordinates (`mixedfx.covariance.thresholds`): with theta = (beta, zeta) the
loss near the reference is quadratic with Hessian F in theta, U'Z between theta and b, Z'WZ in b; U is WX, beside it
the derivatives of w l' in zeta.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedfx.covariance.generalized import laplace_optimum, laplace_point
from mixedfx.covariance.thresholds import free_thresholds, threshold_jacobian
from mixedfx.design import Design
from mixedfx.errors import ConvergenceWarning, MixedfxError
from mixedfx.families import Family
from mixedfx.families.cumulative import as_cumulative
from mixedfx.predictors import RandomTerm
from mixedfx.varcorr import VarCorr

Floats = NDArray[np.float64]

SWEEPS = 20
"""Rounds of backfitting; the slow directions (level means against the intercept) are projected out in each."""

LEAST_CURVATURE = 1e-4
"""Of a row, as a share of the most it can have."""


@dataclass(frozen=True, eq=False)
class Reference:
    """The reference point, and the data as they look from there: normal, with weights W and gradient g = W (z -
    X beta - Z b).

    Attributes
    ----------
    sigma2
        Residual variance, None for families without one.
    theta
        Fixed effects and free coordinates of the thresholds, shape (p + m,).
    fixed
        theta with what it can make up of the random effects, theta + F^-1 U'Z b, shape (p + m,).
    fixed_rows, fixed_hessian
        U, shape (N, p + m), and F, shape (p + m, p + m).
    Sigma
        Covariance of each term, shape (q, q), positive definite.
    b
        Coefficients of each term's levels, shape (J, q).
    weights, gradient
        W and g, shape (N,).
    """

    sigma2: float | None
    theta: Floats
    fixed: Floats
    fixed_rows: Floats
    fixed_hessian: Floats
    Sigma: tuple[Floats, ...]
    b: tuple[Floats, ...]
    weights: Floats
    gradient: Floats


def reference_point(design: Design, family: Family, start: VarCorr | None = None) -> Reference:
    """Where likelihood leads: Laplace's optimum or, for gaussian models and where it has none, backfitting.

    Parameters
    ----------
    start
        Covariances: where the search begins, or, for gaussian models, those of the reference.
    """
    if not family.has_sigma:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            try:
                return _laplace_reference(design, family, start)
            except MixedfxError:
                pass
    return backfitted_reference(design, family, start)


def backfitted_reference(design: Design, family: Family, start: VarCorr | None = None) -> Reference:
    """Approximate mode of (beta, b) at the covariances `start`, or at moment estimates made on the way.

    The estimates are those of expectation-maximisation with the levels taken as independent given the data, on the
    working response (penalised quasi-likelihood; Breslow & Clayton 1993). Thresholds are those of a model without
    predictors.
    """
    state = _State(design, family, start)
    for _ in range(SWEEPS):
        state.sweep(learn=start is None)
    return state.reference()


def _laplace_reference(design: Design, family: Family, start: VarCorr | None) -> Reference:
    at = laplace_point(laplace_optimum(design, family, start=start).at)
    return _reference(design, family, at.point.matrices, at.beta, at.alpha, at.b, None)


def _reference(
    design: Design,
    family: Family,
    Sigma: Sequence[Floats],
    beta: Floats,
    alpha: Floats,
    b: Mapping[str, Floats],
    sigma2: float | None,
) -> Reference:
    """The data as they look from a point."""
    predictors = design.predictors
    eta = predictors.eta(beta, dict(b))
    auxiliary = sigma2 if family.has_sigma else alpha if family.has_thresholds else None
    d = family.derivatives(design.y, eta, auxiliary)
    # Rows whose probability is all but 0 or 1 would leave nothing to factor.
    weights = np.array(design.weights) * np.maximum(d.d2, LEAST_CURVATURE * (family.hessian_bound or 0.0))
    X, zeta = predictors.X(), free_thresholds(alpha)
    rows = X * weights[:, None]
    hessian = rows.T @ X
    if family.has_thresholds:
        own = as_cumulative(family).threshold_terms(design.y, eta, np.array(design.weights), alpha)
        J = threshold_jacobian(zeta)
        K = own.K @ J
        across = X.T @ K
        hessian = np.block([[hessian, across], [across.T, J.T @ own.hessian() @ J]])
        rows = np.hstack([rows, K])
    theta = np.concatenate([beta, zeta])
    random = eta - predictors.offset - X @ beta
    absorbed = np.linalg.solve(hessian, rows.T @ random) if len(theta) else theta
    A = [level_products(term, predictors.z(term), weights) for term in predictors.terms]
    return Reference(
        sigma2=sigma2,
        theta=theta,
        fixed=theta + absorbed,
        fixed_rows=rows,
        fixed_hessian=hessian,
        Sigma=tuple(floored(S, own) for S, own in zip(Sigma, A, strict=True)),
        b=tuple(b[term.name] for term in predictors.terms),
        weights=weights,
        gradient=-np.array(design.weights) * d.d1,
    )


class _State:
    """Backfitting: beta, b and the covariances in turn."""

    def __init__(self, design: Design, family: Family, start: VarCorr | None) -> None:
        predictors = design.predictors
        self.design, self.family = design, family
        self.terms = predictors.terms
        self.X = predictors.X()
        self.Z = [predictors.z(term) for term in self.terms]
        eta = np.full(design.n_rows, family.start_eta(float(np.average(design.y, weights=design.weights))))
        self.alpha = np.zeros(0)
        if family.has_thresholds:
            counts = np.bincount(design.y.astype(np.int64), design.weights)
            self.alpha = as_cumulative(family).marginal_thresholds(counts)
        variance = 1.0
        if family.has_sigma:
            variance = float(np.average((design.y - eta) ** 2, weights=design.weights)) or 1.0
        self.sigma2 = variance / 2
        self.Sigma = [np.diag(variance / 4 / term.q / _mean_square(z)) for term, z in self._pairs()]
        if start is not None:
            self.Sigma = [block.matrix for block in start.align(self.terms).blocks]
            self.sigma2 = start.sigma2 or self.sigma2
        self.b = [np.zeros((term.grouping.n_levels, term.q)) for term in self.terms]
        self.beta = np.zeros(self.X.shape[1])
        self.eta = eta
        self._weigh()
        self._fit_fixed()

    def sweep(self, *, learn: bool) -> None:
        for k in range(len(self.terms)):
            self._fit_levels(k, learn=learn)
        self._fit_fixed()
        if learn and self.family.has_sigma:
            self._learn_sigma2()
        self._weigh()

    def reference(self) -> Reference:
        sigma2 = self.sigma2 if self.family.has_sigma else None
        b = {term.name: own for term, own in zip(self.terms, self.b, strict=True)}
        return _reference(self.design, self.family, self.Sigma, self.beta, self.alpha, b, sigma2)

    def _pairs(self) -> list[tuple[RandomTerm, Floats]]:
        return list(zip(self.terms, self.Z, strict=True))

    def _weigh(self) -> None:
        """Weights and working response (without offset) at the present eta."""
        auxiliary = float(self.sigma2) if self.family.has_sigma else self.alpha
        d = self.family.derivatives(self.design.y, self.eta, auxiliary)
        # Rows whose probability is all but 0 or 1 would get working responses without bound.
        curvature = np.maximum(d.d2, 0.05 * (self.family.hessian_bound or 0.0))
        self.W = self.design.weights * curvature
        self.z = self.eta - self.design.predictors.offset - d.d1 / curvature
        self.A = [level_products(term, z, self.W) for term, z in self._pairs()]

    def _random(self, without: int | None = None) -> Floats:
        parts = [
            np.einsum("rq,rq->r", z, b[term.grouping.codes])
            for k, (term, z, b) in enumerate(zip(self.terms, self.Z, self.b, strict=True))
            if k != without
        ]
        return np.sum(parts, axis=0) if parts else np.zeros(self.design.n_rows)

    def _score(self, k: int) -> Floats:
        residual = self.W * (self.z - self.X @ self.beta - self._random(without=k))
        return level_sums(self.terms[k], self.Z[k] * residual[:, None])

    def _fit_levels(self, k: int, *, learn: bool) -> None:
        covariance = self._conditional(k)
        self.b[k] = np.einsum("jab,jb->ja", covariance, self._score(k))
        if learn:
            moments = (covariance.sum(axis=0) + self.b[k].T @ self.b[k]) / len(self.b[k])
            self.Sigma[k] = np.where(self.terms[k].free, moments, 0.0)

    def _conditional(self, k: int) -> Floats:
        """(A_j + Sigma^-1)^-1 without inverting Sigma, which may be singular; shape (J, q, q)."""
        return np.linalg.solve(np.eye(self.terms[k].q) + self.Sigma[k] @ self.A[k], self.Sigma[k])

    def _fit_fixed(self) -> None:
        self.beta = self._least_squares(self.z - self._random())
        self.eta = self.design.predictors.offset + self.X @ self.beta + self._random()

    def _least_squares(self, response: Floats) -> Floats:
        if not self.X.shape[1]:
            return np.zeros(0)
        weighted = self.X * self.W[:, None]
        return np.linalg.solve(weighted.T @ self.X, weighted.T @ response)

    def _learn_sigma2(self) -> None:
        residual = self.design.y - self.eta
        used = self.X.shape[1] + sum(
            np.einsum("jab,jba->", self._conditional(k), self.A[k]) for k in range(len(self.terms))
        )
        freedom = max(self.design.n_rows - used, 1.0)
        self.sigma2 = max(float(residual @ (self.design.weights * residual)) / freedom, 1e-12 * self.sigma2)


def _resolution(A: Floats) -> Floats:
    """Standard deviations that the data can just tell from 0, shape (q,), from A_j, shape (J, q, q).

    The estimate of a variance that is 0 has standard error sqrt(2 / sum_j A_jj^2); this is its root.
    """
    information = (np.einsum("jaa->ja", A) ** 2).sum(axis=0)
    return (2 / np.where(information > 0, information, 2.0)) ** 0.25


def floored(Sigma: Floats, A: Floats) -> Floats:
    """Sigma, positive definite: standard deviations at least their resolution, correlations away from +-1."""
    sd = np.maximum(np.sqrt(np.diag(Sigma)), _resolution(A))
    correlation = np.clip(Sigma / np.outer(sd, sd), -0.9, 0.9)
    np.fill_diagonal(correlation, 1.0)
    smallest = float(np.linalg.eigvalsh(correlation)[0])
    if smallest < 0.05:
        correlation = (correlation + (0.05 - smallest) * np.eye(len(sd))) / (1.05 - smallest)
    return correlation * np.outer(sd, sd)


def _mean_square(z: Floats) -> Floats:
    size = (z**2).mean(axis=0)
    return np.where(size > 0, size, 1.0)


def level_sums(term: RandomTerm, rows: Floats) -> Floats:
    """Sums over each level's rows, shape (J, q)."""
    codes, J = term.grouping.codes, term.grouping.n_levels
    return np.stack([np.bincount(codes, column, minlength=J) for column in rows.T], axis=1)


def level_products(term: RandomTerm, z: Floats, W: Floats) -> Floats:
    """Z_j'WZ_j, shape (J, q, q)."""
    weighted = z * W[:, None]
    columns: Sequence[Floats] = [level_sums(term, weighted * column[:, None]) for column in z.T]
    return np.stack(columns, axis=2)

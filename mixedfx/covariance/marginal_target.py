"""Posterior densities with the random effects integrated out: of the covariances, for other families beta with them.

* gaussian: beta and b are integrated out exactly. With a flat prior on beta that is the restricted likelihood L_R, and
  beta given the covariances is N(beta^, V); normal priors, N(m, S) of A beta, multiply it by N(A beta^; m, A V A' +
  S). Priors of other kinds weigh each draw of beta, together with the covariances it was drawn at.
* other families: b is integrated out by Laplace's approximation at each (Sigma, beta, alpha), whose bias is the
  posterior's: where levels have few binary rows, variances come out too small.

Given the parameters, b is drawn from its normal distribution (for gaussian models together with beta; for the others
Laplace's) by perturbing the response and solving once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mixedfx.covariance.gaussian import GaussianPoint, GaussianProblem
from mixedfx.covariance.generalized import laplace_optimum, laplace_point
from mixedfx.covariance.information import linear_ranges
from mixedfx.covariance.laplace import LaplacePoint
from mixedfx.covariance.likelihood import gaussian_optimum
from mixedfx.covariance.parameters import Covariances, ParameterSpace
from mixedfx.covariance.prior_distributions import PriorDistribution
from mixedfx.covariance.priors import Priors, centring
from mixedfx.covariance.reference import floored, level_products
from mixedfx.covariance.signed_coordinates import SignedCoordinates
from mixedfx.covariance.thresholds import free_thresholds, rising_thresholds, threshold_jacobian
from mixedfx.design import Design
from mixedfx.errors import ConvergenceError
from mixedfx.families import Family
from mixedfx.linalg.operator import Parts
from mixedfx.varcorr import VarCorr

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class EffectDraw:
    """beta (p,), thresholds (m,), factor -> b (J, q) of one draw; `log_weight` is what its target has more than the
    distribution that it was drawn from."""

    beta: Floats
    alpha: Floats
    b: Mapping[str, NDArray[np.floating]]
    log_weight: float = 0.0


class MarginalPoint(Protocol):
    """The density at one point."""

    @property
    def log_density(self) -> float:
        """Of the posterior but for the weights of draws, up to a constant; minus infinity where it cannot be had."""
        ...

    def search(self) -> tuple[float, Floats]:
        """Log density to climb in search of the mode, and its gradient; not in several threads at a time."""
        ...

    def draw(self, rng: np.random.Generator) -> EffectDraw:
        """beta, thresholds and b given the parameters."""
        ...


class MarginalTarget(Protocol):
    """A posterior over free parameters, shape (d,)."""

    @property
    def coordinates(self) -> SignedCoordinates:
        """Of the covariances, which come first."""
        ...

    @property
    def start(self) -> Floats:
        """A point near the mode."""
        ...

    @property
    def start_information(self) -> Floats:
        """About minus the Hessian there, shape (d, d), not below 0."""
        ...

    def at(self, parameters: Floats) -> MarginalPoint: ...


def marginal_target(
    design: Design, family: Family, priors: Priors, start: VarCorr | None = None
) -> MarginalTarget:
    """The target of a model, after a likelihood fit."""
    if family.has_sigma:
        return GaussianTarget.of(design, priors, start)
    return LaplaceTarget.of(design, family, priors, start)


@dataclass(frozen=True, eq=False)
class GaussianTarget:
    """Of signed coordinates and log sigma."""

    problem: GaussianProblem
    coordinates: SignedCoordinates
    priors: Priors
    beta_map: Floats
    """A: its rows with normal priors, shape (normal ones, p)."""
    beta_loc: Floats
    beta_scale: Floats
    others: tuple[tuple[Floats, PriorDistribution], ...]
    """Rows of A (p,) with other priors."""
    start: Floats
    start_information: Floats

    @classmethod
    def of(cls, design: Design, priors: Priors, start: VarCorr | None) -> GaussianTarget:
        optimum = gaussian_optimum(design, reml=True, start=start)
        A, normal = centring(design), np.array([d.name == "normal" for d in priors.fixed], dtype=bool)
        given = np.array([d.arguments for d in priors.fixed if d.name == "normal"]).reshape(-1, 2)
        weights = np.array(design.weights) / optimum.at.point.sigma2
        coordinates, zeta = _coordinates(design, optimum.at.problem.space, optimum.at.point, weights, True)
        J = coordinates.jacobian(zeta)
        return cls(
            problem=optimum.at.problem,
            coordinates=coordinates,
            priors=priors,
            beta_map=A[normal],
            beta_loc=given[:, 0],
            beta_scale=given[:, 1],
            others=tuple((row, d) for row, d in zip(A, priors.fixed, strict=True) if d.name != "normal"),
            start=zeta,
            start_information=J.T @ optimum.information @ J,
        )

    def at(self, parameters: Floats) -> GaussianMarginal:
        return GaussianMarginal(self, parameters)


@dataclass(frozen=True, eq=False)
class GaussianMarginal:
    """The density at one point."""

    target: GaussianTarget
    zeta: Floats

    @cached_property
    def _likelihood(self) -> GaussianPoint:
        target = self.target
        return target.problem.at(target.coordinates.point(self.zeta))

    @property
    def log_density(self) -> float:
        target, likelihood = self.target, self._likelihood
        value = likelihood.loglik + target.coordinates.log_prior(self.zeta, target.priors)[0]
        if not len(target.beta_loc):
            return value
        A, V = target.beta_map, likelihood.beta_covariance()
        L = np.linalg.cholesky(A @ V @ A.T + np.diag(target.beta_scale**2))
        off = np.linalg.solve(L, A @ likelihood.beta - target.beta_loc)
        return value - 0.5 * float(off @ off) - float(np.log(np.diag(L)).sum())

    def search(self) -> tuple[float, Floats]:
        """With a flat prior on beta."""
        coordinates = self.target.coordinates
        prior, slope = coordinates.log_prior(self.zeta, self.target.priors)
        slope = slope + coordinates.jacobian(self.zeta).T @ self._likelihood.gradient()
        return self._likelihood.loglik + prior, slope

    def draw(self, rng: np.random.Generator) -> EffectDraw:
        """beta under its normal priors, then u given beta."""
        likelihood = self._likelihood
        beta = self._beta(likelihood.beta, likelihood.beta_covariance(), rng)
        system = likelihood.system
        deviation = system.lambdas.by_factor(system.lambdas.times(system.draw(beta - likelihood.beta, rng)))
        b = {name: likelihood.b[name] + off[:, :, 0] for name, off in deviation.items()}
        weight = sum(prior.log_density(float(row @ beta))[0] for row, prior in self.target.others)
        return EffectDraw(beta, np.zeros(0), b, weight)

    def _beta(self, mode: Floats, V: Floats, rng: np.random.Generator) -> Floats:
        """A draw of beta, N(mode, V) under a flat prior, under its normal ones."""
        target = self.target
        if not len(mode):
            return mode
        precision = np.linalg.inv(V)
        scaled = target.beta_map / target.beta_scale[:, None]
        Q = precision + scaled.T @ scaled
        mean = np.linalg.solve(Q, precision @ mode + scaled.T @ (target.beta_loc / target.beta_scale))
        return mean + np.linalg.solve(np.linalg.cholesky(Q).T, rng.standard_normal(len(mode)))


@dataclass(frozen=True, eq=False)
class LaplaceTarget:
    """Of signed coordinates, beta, and free coordinates of the thresholds."""

    near: LaplacePoint
    """Where inner iterations start."""
    coordinates: SignedCoordinates
    priors: Priors
    centring: Floats
    start: Floats
    start_information: Floats

    @classmethod
    def of(cls, design: Design, family: Family, priors: Priors, start: VarCorr | None) -> LaplaceTarget:
        near = laplace_point(laplace_optimum(design, family, start=start).at)
        weights = np.empty(design.n_rows)
        weights[near.problem.layout.order] = near.mode.response.d2
        coordinates, zeta = _coordinates(design, near.problem.space, near.point, weights, False)
        parameters = np.concatenate([zeta, near.beta, free_thresholds(near.alpha)])
        J = _jacobian(coordinates, len(near.beta), parameters)
        information = J.T @ near.average_information() @ J
        return cls(near, coordinates, priors, centring(design), parameters, information)

    def vector(self, parameters: Floats) -> Floats:
        """As `LaplacePoint.vector`."""
        d, p = self.coordinates.size, len(self.near.beta)
        phi = self.coordinates.space.vector(self.coordinates.point(parameters[:d]))
        return np.concatenate([phi, parameters[d : d + p], rising_thresholds(parameters[d + p :])])

    def at(self, parameters: Floats) -> LaplaceMarginal:
        return LaplaceMarginal(self, parameters)


@dataclass(frozen=True, eq=False)
class LaplaceMarginal:
    """The density at one point."""

    target: LaplaceTarget
    parameters: Floats

    @cached_property
    def _likelihood(self) -> LaplacePoint:
        return self.target.near.move(self.target.vector(self.parameters))

    @cached_property
    def _prior(self) -> tuple[float, Floats]:
        target, d = self.target, self.target.coordinates.size
        of_covariances, slope = target.coordinates.log_prior(self.parameters[:d], target.priors)
        of_fixed, own = _fixed_prior(target.priors, target.centring, self.parameters[d:])
        return of_covariances + of_fixed, np.concatenate([slope, own])

    @property
    def log_density(self) -> float:
        return self._likelihood.loglik + self._prior[0]

    def search(self) -> tuple[float, Floats]:
        """The density itself."""
        if self._likelihood.failed:
            return -np.inf, np.zeros_like(self.parameters)
        target = self.target
        J = _jacobian(target.coordinates, len(target.near.beta), self.parameters)
        slope = J.T @ self._likelihood.gradient()
        return self.log_density, slope + self._prior[1]

    def draw(self, rng: np.random.Generator) -> EffectDraw:
        likelihood = self._likelihood
        if likelihood.failed:
            raise ConvergenceError("there is no mode to draw random effects around")
        mode, problem = likelihood.mode, likelihood.problem
        hessian, random = mode.hessian, problem.rows.random
        noise = np.sqrt(hessian.omega) * rng.standard_normal(len(hessian.omega))
        r = hessian.lambdas.transpose_times(random.transpose_times(noise))
        r = Parts(r.e + rng.standard_normal(r.e.shape), r.rest + rng.standard_normal(r.rest.shape))
        deviation = problem.by_factor(hessian.lambdas.times(hessian.solve(r)))
        b = {name: likelihood.b[name] + off for name, off in deviation.items()}
        return EffectDraw(likelihood.beta, likelihood.alpha, b)


def _jacobian(coordinates: SignedCoordinates, p: int, parameters: Floats) -> Floats:
    """Of `LaplaceTarget.vector`, d vector / d parameters."""
    d = coordinates.size
    own, last = coordinates.jacobian(parameters[:d]), threshold_jacobian(parameters[d + p :])
    J = np.zeros((len(own) + p + len(last), len(parameters)))
    J[: len(own), :d] = own
    J[len(own) : len(own) + p, d : d + p] = np.eye(p)
    J[len(own) + p :, d + p :] = last
    return J


def _fixed_prior(priors: Priors, centring: Floats, theta: Floats) -> tuple[float, Floats]:
    """Log density of (beta, free coordinates of the thresholds) up to a constant, and its gradient."""
    p = len(priors.fixed)
    J = np.eye(len(theta))
    J[p:, p:] = threshold_jacobian(theta[p:])
    centred = centring @ np.concatenate([theta[:p], rising_thresholds(theta[p:])])
    each = [d.log_density(x) for d, x in zip((*priors.fixed, *priors.thresholds), centred, strict=True)]
    slope = J.T @ (centring.T @ np.array([derivative for _, derivative in each]))
    slope[p + 1 :] += 1.0
    return sum(value for value, _ in each) + float(theta[p + 1 :].sum()), slope


def _coordinates(
    design: Design, space: ParameterSpace, point: Covariances, weights: Floats, has_sigma: bool
) -> tuple[SignedCoordinates, Floats]:
    """The coordinates, and where in them a point lies that is moved off the boundary; `weights` are the rows'
    curvatures."""
    products = [level_products(term, design.predictors.z(term), weights) for term in space.terms]
    matrices = tuple(floored(S, A) for S, A in zip(point.matrices, products, strict=True))
    ranges = {term.name: linear_ranges(A) for term, A in zip(space.terms, products, strict=True)}
    coordinates = SignedCoordinates(space, ranges, has_sigma)
    return coordinates, coordinates.zeta(Covariances(matrices, point.sigma2))

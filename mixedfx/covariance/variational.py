"""Stage 1 by variational inference: the normal distribution nearest to the posterior of the covariances.

The guide is a multivariate normal of all covariance parameters in free coordinates (for families other than gaussian
with the fixed effects and thresholds), with all correlations between them; b, and beta of gaussian models, follow their
conditional normal distribution given these. So factor means and fixed effects keep their dependence. The evidence lower
bound is climbed by natural gradients (Opper & Archambeau 2009, Neural Computation 21): at the optimum of N(m, S)

    E[gradient] = 0,   S^-1 = -E[Hessian] = -E[S^-1 (x - m) gradient'],

with the expectations over a fixed set of points whose mean and covariance are exactly those of the guide.

It is biased where the posterior is skewed in the free coordinates. Against long NUTS runs (differences of means in
posterior standard deviations; ratios of standard deviations):

* gaussian, 300 rows, 11 levels with slopes and 7 levels: -0.03, -0.03, -0.12, -0.05, 0.01; 0.82, 1.27, 0.78, 0.65, 1.0
  (the variance over 7 levels has the 0.65); k = 0.67;
* VerbAgg, two answers: -0.04, -0.03; 1.06, 0.92; k = 1.0. Three answers: -0.10, -0.08; 0.92, 0.88; k = 0.84. Laplace's
  bias, which `mixedfx.covariance.marginal` has too, is -0.08 of this.

So means are good, tails are too light, and k says so: importance sampling from the same density costs little more.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from mixedfx.covariance.importance import FEWEST_EVALUATIONS, WeightedDraws, first_proposals, smoothed
from mixedfx.covariance.marginal import Evaluator, weighted_result
from mixedfx.covariance.marginal_target import MarginalTarget, marginal_target
from mixedfx.covariance.posterior_mode import NormalApproximation, inverse_root, normal_approximation
from mixedfx.covariance.priors import choose_priors
from mixedfx.covariance.result import CovarianceResult
from mixedfx.design import Design
from mixedfx.errors import SettingError
from mixedfx.families import Family
from mixedfx.posterior_diagnostics import FEWEST_DRAWS
from mixedfx.progress import reporter
from mixedfx.varcorr import VarCorr

if TYPE_CHECKING:
    from mixedfx.progress import Report

Floats = NDArray[np.float64]

ITERATIONS = 12
STEP = 0.7
"""Share of the way that each iteration goes: the expectations are over few points."""
SETTLED = 0.02
"""Change of the mean, in standard deviations of the guide, at which it has settled."""


def sample_variational(
    design: Design,
    family: Family,
    *,
    priors: Mapping[str, Any] | None = None,
    draws: int = 1000,
    warmup: int = 1000,  # noqa: ARG001
    chains: int = 4,  # noqa: ARG001
    start: VarCorr | None = None,
    force: bool = False,
    seed: int = 0,
    progress: bool | Report | None = None,
) -> CovarianceResult:
    """Fit the guide and draw from it.

    Parameters
    ----------
    design, family, priors, start, force, seed, progress
        As of `mixedfx.covariance.marginal.sample_marginal`.
    draws
        Draws from the guide; PSIS' k, in ``stats["pareto_k"]``, is of their importance weights.
    warmup, chains
        Not used: there is no chain.

    Returns
    -------
    CovarianceResult
        Moments of the guide. Freezable where k is at most 0.7; the bias stays (see the module).

    Raises
    ------
    SettingError
        A prior is unusable, or `draws` too small.
    """
    if draws < FEWEST_DRAWS:
        raise SettingError(f"draws is {draws}; it must be at least {FEWEST_DRAWS}")
    began = time.perf_counter()
    target = marginal_target(design, family, choose_priors(design, family, priors), start)
    rng = np.random.default_rng([seed, 1])
    with reporter(progress) as report:
        guide = fit_guide(target, normal_approximation(target), rng, report)
        n = max(draws, FEWEST_EVALUATIONS)
        evaluator = Evaluator(target, seed, report, n)
        normal = rng.standard_normal((n, len(guide.mode)))
        points = guide.mode + normal @ guide.root.T
        density = evaluator(points)
    flips = target.coordinates.flips(len(guide.mode))
    images = first_proposals(guide.mode, guide.root, flips)[0].mirrors
    off = [np.linalg.solve(guide.root, (signs * points - guide.mode).T) for signs in images]
    guide_density = np.asarray(logsumexp([-0.5 * (x**2).sum(axis=0) for x in off], axis=0))
    _, k = smoothed(density - guide_density)
    found = WeightedDraws(points, density, np.full(n, 1.0 / n), k, 1, False)
    stats = {"guide_evaluations": guide.evaluations, "fit_seconds": time.perf_counter() - began}
    return weighted_result(
        design, family, "vi", target, found, evaluator.effects, draws, force, seed, began, stats
    )


def fit_guide(
    target: MarginalTarget, first: NormalApproximation, rng: np.random.Generator, report: Report
) -> NormalApproximation:
    """The normal distribution with the largest evidence lower bound, from the one at the mode."""
    d = len(first.mode)
    unit = matched_points(max(16, 2 * d), d, rng)
    mean, root, precision = first.mode, first.root, np.linalg.inv(first.root @ first.root.T)
    evaluations = first.evaluations
    for iteration in range(ITERATIONS):
        report("variational", iteration, ITERATIONS)
        slopes = np.array([target.at(mean + root @ e).search()[1] for e in unit])
        evaluations += len(unit)
        slope = slopes.mean(axis=0)
        H = -np.linalg.solve(root.T, unit.T @ slopes) / len(unit)
        precision = (1 - STEP) * precision + STEP * 0.5 * (H + H.T)
        root = inverse_root(precision)
        precision = np.linalg.inv(root @ root.T)
        move = STEP * root @ (root.T @ slope)
        mean = mean + move
        if np.abs(np.linalg.solve(root, move)).max() < SETTLED:
            break
    report("variational", ITERATIONS, ITERATIONS)
    return NormalApproximation(mean, root, evaluations)


def matched_points(pairs: int, d: int, rng: np.random.Generator) -> Floats:
    """2 `pairs` points (., d) in opposite pairs with mean 0 and covariance I exactly."""
    half = rng.standard_normal((pairs, d))
    L = np.linalg.cholesky(half.T @ half / pairs)
    half = np.linalg.solve(L, half.T).T
    return np.concatenate([half, -half])

"""Quasi-Newton with one Hessian for all steps: the upper bound of the data's curvature, as diamond does.

``l''`` of a logistic model is at most 1/4 (Boehning & Lindsay 1988), so that H_0 = D' (w / 4) D + penalty bounds every
Hessian, is eliminated and preconditioned once, and a step -H_0^-1 g never overshoots; it is short, and convergence is
linear. diamond (Stitch Fix) lengthens the step by -g's / s'Hs with the curvature along it. Its penalty's part is s'Ps,
which diamond takes as |Ps|^2. This solver is there to be compared with: `newton_cg` is faster.
"""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from mixedfx.coefficients.newton_cg import SETTLED, Mode, NewtonStep
from mixedfx.coefficients.problem import Point, Problem
from mixedfx.coefficients.projection import project, scaled_maximum
from mixedfx.errors import SettingError
from mixedfx.families import Family
from mixedfx.linalg.deflation import coarse_directions
from mixedfx.linalg.elimination import Elimination, eliminate
from mixedfx.linalg.operator import Parts
from mixedfx.linalg.reduced import reduced_system
from mixedfx.progress import Report

Floats = NDArray[np.float64]

MOST_STEPS = 2000
SOLVE_TOL = 1e-2
"""Relative accuracy of a step: the Hessian it comes from is not the true one anyway."""


def fixed_hessian(problem: Problem, *, tol: float = 1e-8, start: Point | None = None, report: Report) -> Mode:
    """Minimise F(beta, u) (see `Problem`); stops as `newton_cg` does, in units of the bound's curvature.

    Raises
    ------
    SettingError
        The family's curvature has no bound (poisson), or its thresholds have none (cumulative).
    """
    began = time.perf_counter()
    weights = problem.weights if len(problem.weights) else np.ones(len(problem.y))
    elimination = eliminate(problem.operator, problem.lambdas, _bound(problem) * weights)
    system = reduced_system(elimination, coarse_directions(problem.layout))
    first = problem.start() if start is None else start
    x = Parts(first.e[:, :, None], first.rest[:, None])
    eta = problem.operator.matvec(problem.lambdas.times(x))[:, 0]
    if len(problem.offset):
        eta += problem.offset
    history: list[NewtonStep] = []
    passes = 2 + system.setup_passes  # the diagonal blocks, and eta
    while True:
        derivatives = problem.family.derivatives(problem.y, eta, problem.sigma2)
        loss = float(weights @ problem.family.loss(problem.y, eta, problem.sigma2))
        objective = loss + 0.5 * _dot(x, _penalty(problem, x))
        in_b = problem.operator.rmatvec((weights * derivatives.d1)[:, None])
        data_part, own = problem.lambdas.transpose_times(in_b), _penalty(problem, x)
        g = Parts(data_part.e + own.e, data_part.rest + own.rest)
        norm = _scaled_norm(elimination, g)
        rhs = Parts(-g.e, -g.rest)
        solution = system.solve(elimination.reduce(rhs), tol=SOLVE_TOL)
        step = elimination.recover(rhs, solution.x)
        promised = -_dot(g, step)
        rows = problem.operator.matvec(problem.lambdas.times(step))[:, 0]
        passes += 4 + solution.iterations  # gradient, right-hand side, the eliminated part, rows of the step
        settled = norm <= tol and 0.5 * promised <= tol
        if settled or len(history) == MOST_STEPS or not np.isfinite(objective):
            break
        curvature = float((weights * derivatives.d2) @ rows**2) + _dot(step, _penalty(problem, step))
        t = promised / curvature
        x = Parts(x.e + t * step.e, x.rest + t * step.rest)
        eta = eta + t * rows
        history.append(
            NewtonStep(objective, norm, float(np.sqrt(max(promised, 0.0))), solution.iterations, t)
        )
        report("Fixed Hessian", len(history), None, f"gradient {norm:.1e}")
    reason = SETTLED if settled else f"no convergence in {len(history)} steps; solver='newton-cg' needs fewer"
    here = project(problem, Point(x.e[:, :, 0], x.rest[:, 0]))
    seconds = time.perf_counter() - began
    return Mode(
        here, settled, reason, tuple(history), float(np.sqrt(max(promised, 0.0))), passes + 1, seconds
    )


def check_bounded(family: Family) -> None:
    """Raise `SettingError` where the family's curvature has no bound (poisson), or its thresholds have none."""
    if family.has_sigma or (family.hessian_bound is not None and not family.has_thresholds):
        return
    lacking = "thresholds have" if family.has_thresholds else f"family '{family.name}' has"
    raise SettingError(
        f"solver='fixed-hessian' needs a bound on the curvature, and {lacking} none; use solver='newton-cg'"
    )


def _bound(problem: Problem) -> float:
    """The largest l'' that any eta has."""
    family = problem.family
    check_bounded(family)
    if family.has_sigma:
        return 1.0 / problem.sigma2
    assert family.hessian_bound is not None
    return family.hessian_bound


def _penalty(problem: Problem, x: Parts) -> Parts:
    return Parts(x.e, problem.lambdas.penalty(x.rest))


def _dot(a: Parts, b: Parts) -> float:
    return float(np.vdot(a.e, b.e) + np.vdot(a.rest, b.rest))


def _scaled_norm(elimination: Elimination, g: Parts) -> float:
    """max_i |g_i| / sqrt(H_ii) with the bound's H."""
    layout, lambdas = elimination.operator.layout, elimination.lambdas
    factors = (lambdas.e, *lambdas.rest)
    parts = [g.e, *(g.rest[block.slice] for block in layout.rest)]
    norms = [0.0]
    for own, blocks, factor in zip(
        parts, (elimination.blocks.e, *elimination.blocks.rest), factors, strict=True
    ):
        norms.append(scaled_maximum(own, blocks, factor))
    for i, column in enumerate(layout.fixed_columns):
        values = layout.feature(int(column))
        curvature = max(float(elimination.omega @ values**2), np.finfo(float).tiny)
        norms.append(abs(float(g.rest[layout.beta_start + i, 0])) / np.sqrt(curvature))
    return max(norms)

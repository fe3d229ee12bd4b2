"""Newton's method with conjugate gradients on the reduced system: the joint mode of (beta, b) at fixed Sigma."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedfx.coefficients.problem import Point, Problem
from mixedfx.coefficients.projection import Projection, project
from mixedfx.errors import ConvergenceError
from mixedfx.linalg.deflation import coarse_directions
from mixedfx.linalg.reduced import ReducedSystem, reduced_system
from mixedfx.progress import Report

Floats = NDArray[np.float64]
logger = logging.getLogger(__name__)

MAX_NEWTON = 100
LOOSEST_FORCING = 0.1
NEAR = 3.0
"""Newton decrement of a step after which the preconditioner's blocks are kept."""
SAME = 0.1
"""The same of a step after which the old system will do to see that there is nothing left to gain."""
SETTLED = "scaled gradient and Newton decrement are below the tolerance"
SINGULAR = (
    "the equations of a step are singular in double precision: the curvatures of rows or coefficients differ by too "
    "many powers of ten; are there outliers, as in counts, or features, weights or variances on scales far apart?"
)


@dataclass(frozen=True)
class NewtonStep:
    """One line of the convergence history.

    Attributes
    ----------
    objective
        F before the step.
    grad_norm
        Largest |gradient| in units of the coefficient's own curvature: max_i |g_i| / sqrt(H_ii).
    decrement
        sqrt(g' H^-1 g): half its square is the gain that the step promises.
    cg_iterations
        Products with the reduced matrix.
    step_length
        What the line search took.
    """

    objective: float
    grad_norm: float
    decrement: float
    cg_iterations: int
    step_length: float


@dataclass(frozen=True, eq=False)
class Mode:
    """Where a solver ended.

    Attributes
    ----------
    projection
        Coefficients, F and its derivatives there.
    converged, reason
        Whether both tests hold, and why it stopped, in words.
    history
        One `NewtonStep` an iteration.
    decrement
        At the end; see `NewtonStep`.
    passes
        Traversals of all rows.
    seconds
        Wall time.
    """

    projection: Projection
    converged: bool
    reason: str
    history: tuple[NewtonStep, ...]
    decrement: float
    passes: int
    seconds: float


def newton_cg(problem: Problem, *, tol: float = 1e-8, start: Point | None = None, report: Report) -> Mode:
    """Minimise F(beta, u, alpha) (see `Problem`).

    The largest factor is solved level by level for every value of the other coefficients (`project`), so that Newton's
    method works on those alone. Each iteration solves the deflated reduced system by CG to the accuracy that the
    forcing sequence of Eisenstat & Walker (1996, choice 2) asks for; the trial of the full step, nearly always taken,
    is the next iteration's evaluation. It stops when the scaled gradient is at most `tol` and the promised gain, half
    the squared Newton decrement, is at most `tol` too. Relative change is no test: small steps in a flat direction
    would pass it.
    """
    began = time.perf_counter()
    here = project(problem, problem.start() if start is None else start)
    directions = coarse_directions(problem.layout)
    history: list[NewtonStep] = []
    forcing, previous_norm = LOOSEST_FORCING, np.inf
    system, previous_decrement = None, np.inf
    passes = 1

    def mode(converged: bool, reason: str) -> Mode:
        seconds = time.perf_counter() - began
        return Mode(here, converged, reason, tuple(history), decrement, passes, seconds)

    while True:
        decrement, norm = np.inf, here.scaled_norm
        if not (np.isfinite(norm) and np.isfinite(here.objective)):
            return mode(
                False,
                "the objective overflowed; are features or the offset on a scale above about 1e6 (1e2 for poisson)?",
            )
        rhs = -here.gradient[:, None]
        if norm <= tol and system is not None and previous_decrement < SAME:
            decrement = _decrement(system, rhs)
            if 0.5 * decrement**2 <= tol:
                return mode(True, SETTLED)
        # After a short step the weights are nearly the same, and so are the diagonal blocks.
        try:
            system = reduced_system(here.reduction, directions, system if previous_decrement < NEAR else None)
        except np.linalg.LinAlgError:
            return mode(False, SINGULAR)
        passes += system.setup_passes
        decrement = previous_decrement = _decrement(system, rhs)
        if norm <= tol and 0.5 * decrement**2 <= tol:
            return mode(True, SETTLED)
        report("Newton", len(history), None, f"gradient {norm:.1e}, gain {0.5 * decrement**2:.1e}")
        if len(history) == MAX_NEWTON:
            return mode(
                False,
                f"no convergence in {MAX_NEWTON} Newton steps (scaled gradient {norm:.1e}); check the scales of "
                "the features, or pass start= from an earlier fit",
            )
        forcing = _next_forcing(forcing, norm, previous_norm, tol, decrement)
        previous_norm = norm
        try:
            step = system.solve(rhs, tol=forcing)
        except (ConvergenceError, np.linalg.LinAlgError):
            return mode(False, SINGULAR)
        passes += step.iterations
        t, there, trials = _line_search(problem, here, step.x[:, 0], decrement)
        passes += trials
        history.append(NewtonStep(here.objective, norm, decrement, step.iterations, t))
        logger.debug("newton %d: F %.6f, gradient %.2e, cg %d, t %.3g", len(history), here.objective, norm,
                     step.iterations, t)  # fmt: skip
        if there is None:
            return mode(norm <= np.sqrt(tol), "the objective cannot be lowered further in double precision")
        here = there


def _decrement(system: ReducedSystem, gradient: Floats) -> float:
    """sqrt(g' H^-1 g)."""
    return float(np.sqrt(max(float(system.energy(gradient)[0]), 0.0)))


def _next_forcing(forcing: float, norm: float, previous: float, tol: float, decrement: float) -> float:
    """Relative accuracy of the next solve: loose while far, and no tighter than the stopping test needs."""
    chosen = LOOSEST_FORCING
    if np.isfinite(previous):
        chosen = 0.9 * (norm / previous) ** 2
        if 0.9 * forcing**2 > 0.1:
            chosen = max(chosen, 0.9 * forcing**2)
    needed = 0.05 * tol / max(decrement, tol)
    return float(np.clip(chosen, max(needed, 1e-14), LOOSEST_FORCING))


def _line_search(
    problem: Problem, here: Projection, step: Floats, decrement: float
) -> tuple[float, Projection | None, int]:
    """(t, F there, trials) for the largest t in 1, 1/2, ... that lowers F enough (Armijo); None where none does."""
    # Near the optimum the promised gain drowns in the rounding of F: there the full step is right.
    noise = 1e-12 * max(abs(here.objective), 1.0)
    promised = -float(here.gradient @ step)
    t, trials = 1.0, 0
    while t > 1e-10:
        rest = here.point.rest + t * step
        if (np.diff(problem.alpha(rest)) > 0).all():
            there = project(problem, Point(here.point.e, rest))
            trials += 1
            if there.objective <= here.objective - 1e-4 * t * promised + noise:
                return t, there, trials
            if 0.5 * decrement**2 < noise and np.isfinite(there.objective):
                return t, there, trials
        t *= 0.5
    return 0.0, None, trials

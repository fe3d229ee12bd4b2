"""Newton's method with conjugate gradients on the reduced system: the joint mode of (beta, b) at fixed Sigma."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedfx.coefficients.problem import Evaluation, Point, Problem
from mixedfx.linalg.bordered import BorderedSolution, bordered_system
from mixedfx.linalg.deflation import coarse_directions
from mixedfx.linalg.elimination import Elimination, eliminate
from mixedfx.linalg.operator import Parts
from mixedfx.linalg.reduced import ReducedSystem, reduced_system
from mixedfx.progress import Report

Floats = NDArray[np.float64]
logger = logging.getLogger(__name__)

MAX_NEWTON = 100
LOOSEST_FORCING = 0.1
SETTLED = "scaled gradient and Newton decrement are below the tolerance"


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
    """Where Newton's method ended.

    Attributes
    ----------
    point
        (u, beta) and thresholds.
    eta
        Linear predictor, shape (N,), sorted rows.
    converged, reason
        Whether both tests hold, and why it stopped, in words.
    history
        One `NewtonStep` an iteration.
    grad_norm, decrement, objective
        At the end; see `NewtonStep`.
    passes
        Traversals of all rows.
    seconds
        Wall time.
    """

    point: Point
    eta: Floats
    converged: bool
    reason: str
    history: tuple[NewtonStep, ...]
    grad_norm: float
    decrement: float
    objective: float
    passes: int
    seconds: float


def newton_cg(problem: Problem, *, tol: float = 1e-8, start: Point | None = None, report: Report) -> Mode:
    """Minimise F(beta, u, alpha) (see `Problem`).

    Each iteration eliminates the largest factor, solves the deflated reduced system by CG to the accuracy that the
    forcing sequence of Eisenstat & Walker (1996, choice 2) asks for, and searches along the step, whose rows D step
    are known, so that trials need no traversal. It stops when the scaled gradient is at most `tol` and the promised
    gain, half the squared Newton decrement, is at most `tol` too. Relative change is no test: small steps in a flat
    direction would pass it.
    """
    began = time.perf_counter()
    point = problem.start() if start is None else start
    eta = problem.eta(point.x)
    here = problem.evaluate(eta, point.alpha)
    objective = here.loss + problem.penalty(point.x)
    E = coarse_directions(problem.layout)
    history: list[NewtonStep] = []
    forcing, previous_norm = LOOSEST_FORCING, np.inf
    passes = 1

    def mode(converged: bool, reason: str) -> Mode:
        seconds = time.perf_counter() - began
        return Mode(
            point, eta, converged, reason, tuple(history), grad_norm, decrement, objective, passes, seconds
        )

    def settled() -> bool:
        return grad_norm <= tol and 0.5 * decrement**2 <= tol

    while True:
        elimination = eliminate(problem.operator, problem.lambdas, here.curvature)
        gradient = _gradient(problem, point.x, here.slope)
        grad_norm = max(scaled_norm(elimination, gradient), _alpha_norm(here))
        decrement = np.inf
        if not np.isfinite(grad_norm):
            return mode(False, "the gradient overflowed; are features on scales above about 1e6?")
        system = reduced_system(elimination, E)
        rhs = Parts(-gradient.e, -gradient.rest)
        reduced = elimination.reduce(rhs)
        passes += 3 + system.setup_passes  # gradient, diagonal blocks, right-hand side
        if not here.border.size:
            decrement = promised_decrement(system, rhs, reduced)
            if settled():
                return mode(True, SETTLED)
        forcing = _next_forcing(forcing, grad_norm, previous_norm, tol, decrement)
        previous_norm = grad_norm
        bordered = bordered_system(elimination, system, here.border, tol=forcing)
        step = bordered.solve(rhs, -here.alpha_slope[:, None], tol=forcing, reduced=reduced)
        iterations = bordered.setup_iterations + step.iterations
        passes += iterations + (
            4 if here.border.size else 1
        )  # rows of the solutions, the border's right-hand side
        if here.border.size:
            # The preconditioner says nothing of the border, so that the step itself has to promise.
            decrement = _decrement_along(step, rhs, here)
            if settled():
                return mode(True, SETTLED)
        report("Newton", len(history), None, f"gradient {grad_norm:.1e}, gain {0.5 * decrement**2:.1e}")
        if len(history) == MAX_NEWTON:
            return mode(
                False,
                f"no convergence in {MAX_NEWTON} Newton steps (scaled gradient {grad_norm:.1e}); check the scales of "
                "the features, or pass start= from an earlier fit",
            )
        t = _line_search(problem, point, step, eta, objective, decrement)
        history.append(NewtonStep(objective, grad_norm, decrement, iterations, t))
        logger.debug("newton %d: F %.6f, gradient %.2e, cg %d, t %.3g", len(history), objective, grad_norm,
                     iterations, t)  # fmt: skip
        if t == 0.0:
            return mode(
                grad_norm <= np.sqrt(tol), "the objective cannot be lowered further in double precision"
            )
        point = point.moved(step.x, step.t[:, 0], t)
        eta = eta + t * step.rows[:, 0]
        here = problem.evaluate(eta, point.alpha)
        objective = here.loss + problem.penalty(point.x)


def _gradient(problem: Problem, x: Parts, slope: Floats) -> Parts:
    """dF/d(u, beta): Lambda' D'(w l') + u."""
    in_u = problem.lambdas.transpose_times(problem.operator.rmatvec(slope[:, None]))
    return Parts(in_u.e + x.e, in_u.rest + problem.lambdas.penalty(x.rest))


def scaled_norm(elimination: Elimination, gradient: Parts) -> float:
    """max_i |g_i| / sqrt(H_ii)."""
    layout, lambdas, blocks = elimination.operator.layout, elimination.lambdas, elimination.blocks
    norms = [_block_norm(gradient.e[:, :, 0], blocks.e, lambdas.e)]
    for block, own, factor in zip(layout.rest, blocks.rest, lambdas.rest, strict=True):
        g = gradient.rest[block.slice, 0].reshape(block.n_levels, block.q)
        norms.append(_block_norm(g, own, factor))
    g = gradient.rest[layout.beta_start :, 0]
    curvature = _fixed_curvature(elimination)
    norms.append(float(np.max(np.abs(g) / np.sqrt(np.maximum(curvature, np.finfo(float).tiny)), initial=0.0)))
    return max(norms)


def _block_norm(g: Floats, blocks: Floats, factor: Floats) -> float:
    diagonal = np.einsum("ai,jab,bi->ji", factor, blocks, factor, optimize=True) + 1.0
    return float(np.max(np.abs(g) / np.sqrt(diagonal), initial=0.0))


def _fixed_curvature(elimination: Elimination) -> Floats:
    """Diagonal of X'WX, shape (p,)."""
    layout = elimination.operator.layout
    columns = layout.fixed_columns
    out = np.full(len(columns), elimination.omega.sum())
    stored = columns >= 0
    out[stored] = elimination.omega @ layout.features[:, columns[stored]] ** 2
    return out


def _alpha_norm(here: Evaluation) -> float:
    return float(np.max(np.abs(here.alpha_slope) / np.sqrt(np.diag(here.border.A)), initial=0.0))


def promised_decrement(system: ReducedSystem, rhs: Parts, reduced: Floats) -> float:
    """sqrt(g' H^-1 g): exact on the eliminated factor, by the preconditioner on the rest (`reduced`)."""
    elimination = system.elimination
    own = float(np.einsum("jim,jih,jhm->", rhs.e, elimination.A_inverse, rhs.e, optimize=True))
    return float(np.sqrt(max(own + float(system.energy(reduced)[0]), 0.0)))


def _decrement_along(step: BorderedSolution, rhs: Parts, here: Evaluation) -> float:
    """sqrt(-g'step), which is the Newton decrement where the step is Newton's."""
    along = np.vdot(rhs.e, step.x.e) + np.vdot(rhs.rest, step.x.rest) - here.alpha_slope @ step.t[:, 0]
    return float(np.sqrt(max(float(along), 0.0)))


def _next_forcing(forcing: float, grad_norm: float, previous: float, tol: float, decrement: float) -> float:
    """Relative accuracy of the next solve: loose while far, and no tighter than the stopping test needs."""
    chosen = LOOSEST_FORCING
    if np.isfinite(previous):
        chosen = 0.9 * (grad_norm / previous) ** 2
        if 0.9 * forcing**2 > 0.1:
            chosen = max(chosen, 0.9 * forcing**2)
    needed = 0.05 * tol / (max(decrement, tol) if np.isfinite(decrement) else 1.0)
    return float(np.clip(chosen, max(needed, 1e-14), LOOSEST_FORCING))


def _line_search(
    problem: Problem,
    point: Point,
    step: BorderedSolution,
    eta: Floats,
    objective: float,
    decrement: float,
) -> float:
    """Largest t in 1, 1/2, 1/4, ... that lowers F enough (Armijo); 0 where none does."""
    # Near the optimum the promised gain drowns in the rounding of F: there the full step is right.
    noise = 1e-12 * max(abs(objective), 1.0)
    if 0.5 * decrement**2 < noise:
        return 1.0
    t = 1.0
    while t > 1e-10:
        trial = point.moved(step.x, step.t[:, 0], t)
        reached = problem.loss_along(eta, step.rows[:, 0], t, trial.alpha) + problem.penalty(trial.x)
        if reached <= objective - 1e-4 * t * decrement**2 + noise:
            return t
        t *= 0.5
    return 0.0

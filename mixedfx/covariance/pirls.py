"""The inner mode of a generalized likelihood: penalised iteratively reweighted least squares, as Newton's method.

    minimise over u   sum_r w_r l(y_r, eta_r) + |u|^2 / 2,   eta = offset + X beta + Z Lambda u

given beta and thresholds (glmer's nAGQ >= 1), or over (u, beta, thresholds) together (nAGQ = 0). The links are
canonical (cumulative: l is convex in eta and alpha together), so that iteratively reweighted least squares, Fisher
scoring and Newton's method are the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mixedfx.covariance.inner_system import InnerSystem
from mixedfx.covariance.response import Evaluation, Response
from mixedfx.errors import ConvergenceError
from mixedfx.linalg.dense import dense_reduced
from mixedfx.linalg.elimination import eliminate
from mixedfx.linalg.lambdas import Lambdas
from mixedfx.linalg.operator import Parts, RowOperator
from mixedfx.linalg.random_rows import RandomHessian, RandomRows

Floats = NDArray[np.float64]

SETTLED = 1e-18
"""Squared Newton decrement at which the mode is found: log-determinants there are good to about 1e-9."""
CONTRACTION = 0.05
"""A factored Hessian is used again while the squared decrement falls to this share."""
MAX_STEPS = 100


@dataclass(frozen=True, eq=False)
class Unknowns:
    """(u, beta) as one vector of the linear algebra, and the thresholds alpha (m,)."""

    x: Parts
    alpha: Floats

    def moved(self, x: Parts, alpha: Floats, t: float) -> Unknowns:
        """This point plus t times a step."""
        return Unknowns(Parts(self.x.e + t * x.e, self.x.rest + t * x.rest), self.alpha + t * alpha)


@dataclass(frozen=True, eq=False)
class Rows:
    """What eta is made of: eta = offset + X beta + Z b, rows sorted.

    Attributes
    ----------
    operator
        Products with D = [Z X], several right-hand sides at once.
    random
        Products with Z.
    X
        Shape (N, p).
    offset
        Shape (N,).
    """

    operator: RowOperator
    random: RandomRows
    X: Floats
    offset: Floats


@dataclass(frozen=True, eq=False)
class Mode:
    """The mode, and the Hessian there.

    Attributes
    ----------
    rows
        What eta is made of.
    at
        The unknowns.
    eta
        Linear predictor, shape (N,).
    response
        The response's derivatives at eta.
    penalty
        |u|^2 / 2.
    hessian
        In u, given beta and thresholds.
    steps
        Newton steps taken.
    """

    rows: Rows
    at: Unknowns
    eta: Floats
    response: Evaluation
    penalty: float
    hessian: RandomHessian
    steps: int

    @cached_property
    def system(self) -> InnerSystem:
        """The Hessian in u, beta and thresholds."""
        elimination = eliminate(self.rows.operator, self.hessian.lambdas, self.hessian.omega)
        return InnerSystem(elimination, dense_reduced(elimination), self.response.border)


def find_joint_mode(rows: Rows, lambdas: Lambdas, response: Response, start: Unknowns) -> Mode:
    """Newton's method with step halving in (u, beta, alpha) together.

    Raises
    ------
    ConvergenceError
        The loss is infinite at the start, or no step lowers it: linear predictors are out of range.
    """
    operator, beta_start = rows.operator, rows.random.n
    here = start
    eta = rows.offset + operator.matvec(lambdas.times(here.x))[:, 0]
    previous = np.inf
    for step in range(MAX_STEPS):
        there = response.evaluate(eta, here.alpha)
        penalty = _penalty(here.x, beta_start)
        _check_finite(there.loss + penalty)
        elimination = eliminate(operator, lambdas, there.d2)
        system = InnerSystem(elimination, dense_reduced(elimination), there.border)
        r = lambdas.transpose_times(operator.rmatvec(there.d1[:, None]))
        r = Parts(-r.e - here.x.e, -r.rest - lambdas.penalty(here.x.rest))
        x, t, moved = system.solve_joint(r, -there.alpha_slope[:, None])
        decrement2 = float(np.vdot(r.e, x.e) + np.vdot(r.rest, x.rest) - there.alpha_slope @ t[:, 0])
        if _settled(decrement2, previous):
            hessian = RandomHessian.at(rows.random, lambdas, there.d2)
            return Mode(rows, here, eta, there, penalty, hessian, step)
        previous = decrement2
        value = there.loss + penalty
        length = 1.0
        while True:
            trial = here.moved(x, t[:, 0], length)
            trial_eta = eta + length * moved[:, 0]
            reached = response.loss(trial_eta, trial.alpha) + _penalty(trial.x, beta_start)
            if _lowered(value, reached, length * decrement2):
                break
            length = _halved(length)
        here, eta = trial, trial_eta
    raise ConvergenceError(f"the inner iterations did not settle in {MAX_STEPS} steps")


def find_mode(
    rows: Rows, lambdas: Lambdas, response: Response, start: Unknowns, near: RandomHessian | None = None
) -> Mode:
    """The mode of u at the beta and alpha of `start`.

    Newton's method that keeps a factored Hessian while the decrement falls to `CONTRACTION` a step with it, because a
    factorization costs several steps; the first is `near`, if one from a point nearby is known.

    Raises
    ------
    ConvergenceError
        The loss is infinite at the start, or no step lowers it: linear predictors are out of range.
    """
    n = rows.random.n
    base = rows.offset + rows.X @ start.x.rest[n:, 0]
    beta, alpha = start.x.rest[n:], start.alpha
    u = Parts(start.x.e, start.x.rest[:n])
    eta = rows.random.times(lambdas.times(u), base)
    there = response.evaluate(eta, alpha)
    value = there.loss + _penalty(u, n)
    _check_finite(value)
    hessian = RandomHessian.at(rows.random, lambdas, there.d2) if near is None else near
    factored_here = near is None
    previous = np.inf
    for step in range(MAX_STEPS):
        r = lambdas.transpose_times(rows.random.transpose_times(there.d1))
        r = Parts(-r.e - u.e, -r.rest - u.rest)
        x = hessian.solve(r)
        decrement2 = float(np.vdot(r.e, x.e) + np.vdot(r.rest, x.rest))
        settled = _settled(decrement2, previous)
        if not factored_here and (settled or decrement2 > CONTRACTION * previous):
            hessian, factored_here = RandomHessian.at(rows.random, lambdas, there.d2), True
            if not settled:
                x = hessian.solve(r)
                decrement2 = float(np.vdot(r.e, x.e) + np.vdot(r.rest, x.rest))
        if settled or _settled(decrement2, previous):
            at = Unknowns(Parts(u.e, np.concatenate([u.rest, beta])), alpha)
            return Mode(rows, at, eta, there, value - there.loss, hessian, step)
        previous = decrement2
        length = 1.0
        while True:
            trial = Parts(u.e + length * x.e, u.rest + length * x.rest)
            trial_eta = rows.random.times(lambdas.times(trial), base)
            reached = response.evaluate(trial_eta, alpha)
            trial_value = reached.loss + _penalty(trial, n)
            if _lowered(value, trial_value, length * decrement2):
                break
            length = _halved(length)
        u, eta, there, value, factored_here = trial, trial_eta, reached, trial_value, False
    raise ConvergenceError(f"the inner iterations did not settle in {MAX_STEPS} steps")


def _settled(decrement2: float, previous: float) -> bool:
    """Whether the mode is found; convergence ends in rounding, in which the decrement no longer shrinks."""
    return decrement2 <= SETTLED or (decrement2 < 1e-13 and decrement2 > 0.1 * previous)


def _lowered(value: float, reached: float, promised: float) -> bool:
    # Near the mode the gain drowns in the rounding of the loss: there the full step is right.
    if promised < 1e-12 * abs(value):
        return True
    return reached <= value - 1e-4 * promised + 1e-13 * abs(value)


def _halved(length: float) -> float:
    if length < 1e-10:
        raise ConvergenceError("no step of the inner iterations lowers the penalised deviance")
    return 0.5 * length


def _check_finite(value: float) -> None:
    if not np.isfinite(value):
        raise ConvergenceError("the likelihood is not finite: linear predictors are out of range")


def _penalty(x: Parts, beta_start: int) -> float:
    random = x.rest[:beta_start]
    return 0.5 * float(np.vdot(x.e, x.e) + np.vdot(random, random))

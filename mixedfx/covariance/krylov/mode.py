"""The inner mode of a generalized likelihood by Newton's method with conjugate gradients: any number of levels.

    minimise over u   sum_r w_r l(y_r, eta_r) + |u|^2 / 2,   eta = offset + X beta + Z Lambda u

given beta and thresholds. `mixedfx.covariance.pirls` does the same with a dense factor.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedfx.covariance.response import Border, Response
from mixedfx.errors import ConvergenceError
from mixedfx.linalg.deflation import CoarseDirections
from mixedfx.linalg.elimination import Elimination, eliminate
from mixedfx.linalg.lambdas import Lambdas
from mixedfx.linalg.operator import Parts, RowOperator
from mixedfx.linalg.random_parts import inner
from mixedfx.linalg.reduced import ReducedSystem, reduced_system

Floats = NDArray[np.float64]

NEAR = 0.01
"""Squared decrement below which the weights change too little to form the preconditioner's blocks again."""
MAX_STEPS = 100


@dataclass(frozen=True, eq=False)
class SortedRows:
    """What eta is made of: eta = offset + X beta + Z b, rows sorted.

    Attributes
    ----------
    operator, directions
        Products with Z, and what to deflate.
    X
        Shape (N, p).
    offset
        Shape (N,).
    """

    operator: RowOperator
    directions: CoarseDirections
    X: Floats
    offset: Floats


@dataclass(frozen=True, eq=False)
class Mode:
    """The mode of u at some beta and alpha, and the Hessian there.

    Attributes
    ----------
    u, beta, alpha
        Random coefficients (one column), fixed effects (p,) and thresholds (m,).
    eta
        Linear predictor, shape (N,).
    loss
        sum w l + |u|^2 / 2.
    slope
        Z'(w l'), one column.
    fixed_slope, alpha_slope
        X'(w l') and sum w dl/d alpha, shapes (p,) and (m,).
    border
        Second derivatives that involve thresholds.
    elimination, system
        C_bb in u, and w l'' in it.
    """

    u: Parts
    beta: Floats
    alpha: Floats
    eta: Floats
    loss: float
    slope: Parts
    fixed_slope: Floats
    alpha_slope: Floats
    border: Border
    elimination: Elimination
    system: ReducedSystem

    @property
    def omega(self) -> NDArray:
        """w l'', shape (N,)."""
        return self.elimination.omega

    def solve(self, rhs: Parts, *, tol: float) -> Parts:
        """C_bb^-1 rhs, both in b."""
        lambdas = self.elimination.lambdas
        in_u = lambdas.transpose_times(rhs)
        x = self.system.solve(self.elimination.reduce(in_u), tol=tol).x
        return lambdas.times(self.elimination.recover(in_u, x))


def find_mode(
    rows: SortedRows,
    lambdas: Lambdas,
    response: Response,
    u: Parts,
    beta: Floats,
    alpha: Floats,
    *,
    settled: float,
) -> Mode:
    """From `u`, with step halving, until the squared Newton decrement is `settled` or less.

    Raises
    ------
    ConvergenceError
        The loss is infinite at the start, or no step lowers it: linear predictors are out of range.
    """
    operator = rows.operator
    eta = operator.matvec(lambdas.times(u))[:, 0]
    eta += rows.X @ beta
    eta += rows.offset
    there, penalty = response.evaluate(eta, alpha), 0.5 * float(inner(u, u)[0, 0])
    if not np.isfinite(there.loss + penalty):
        raise ConvergenceError("the likelihood is not finite: linear predictors are out of range")
    system, decrement2 = None, np.inf
    for _ in range(MAX_STEPS):
        elimination = eliminate(operator, lambdas, there.d2)
        system = reduced_system(elimination, rows.directions, system if decrement2 < NEAR else None)
        slope = operator.rmatvec(there.d1[:, None])
        in_u = lambdas.transpose_times(slope)
        r = Parts(-in_u.e - u.e, -in_u.rest - u.rest)
        reduced = elimination.reduce(r)
        known = float(np.vdot(r.e, elimination.A_inverse @ r.e))
        decrement2 = known + float(system.energy(reduced)[0])
        if decrement2 <= settled:
            return Mode(
                u=u,
                beta=beta,
                alpha=alpha,
                eta=eta,
                loss=there.loss + penalty,
                slope=slope,
                fixed_slope=rows.X.T @ there.d1,
                alpha_slope=there.alpha_slope,
                border=there.border,
                elimination=elimination,
                system=system,
            )
        x = elimination.recover(r, system.solve(reduced, tol=min(0.1, np.sqrt(decrement2) * 0.01)).x)
        promised, value, length = float(inner(r, x)[0, 0]), there.loss + penalty, 1.0
        del there  # arrays as long as the data, which the next ones can have
        trial_eta = operator.matvec(lambdas.times(x))[:, 0]
        trial_eta += eta
        while True:
            trial = Parts(u.e + length * x.e, u.rest + length * x.rest)
            there, penalty = response.evaluate(trial_eta, alpha), 0.5 * float(inner(trial, trial)[0, 0])
            # Near the mode the gain drowns in the rounding of the loss: there the full step is right.
            if promised < 1e-11 * abs(value) or there.loss + penalty <= value - 1e-4 * length * promised:
                break
            length *= 0.5
            if length < 1e-10:
                raise ConvergenceError("no step of the inner iterations lowers the penalised deviance")
            trial_eta += eta
            trial_eta *= 0.5
        u, eta = trial, trial_eta
    raise ConvergenceError(f"the inner iterations did not settle in {MAX_STEPS} steps")

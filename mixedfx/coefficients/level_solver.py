"""The eliminated factor's levels solved at given other coefficients, and what the rows then say: one traversal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedfx.coefficients.problem import Point, Problem
from mixedfx.linalg.intercept_operator import InterceptOperator
from mixedfx.linalg.level_operator import block_starts, split_blocks
from mixedfx.linalg.operator import DiagonalBlocks, NumbaOperator, contiguous
from mixedfx.linalg.threads import over_levels
from mixedfx.predictors import CONSTANT

Floats = NDArray[np.float64]

SINGLE_PRECISION_ROWS = 100_000
"""Beyond so many rows curvatures are kept in single precision: they shape the steps, not where these end."""


@dataclass(frozen=True, eq=False)
class SolvedLevels:
    """The rows' and the eliminated factor's part of F and its derivatives.

    Attributes
    ----------
    u, M
        Coefficients (J_e, q) in u, and their covariance in b given the rest, (J_e, q, q).
    omega, upper
        See `mixedfx.linalg.curvature.Curvature`; shape (N,), sorted.
    objective
        sum w l without constants and distances between thresholds, plus |u_e|^2 / 2.
    gradient
        D_o' w l', shape (n_rest,), in b; 0 for thresholds.
    blocks
        Diagonal blocks Z_k'WZ_k.
    squares
        diag(X'WX), shape (p,).
    alpha_slope, alpha_bend
        The rows' first and second derivatives in the thresholds, shape (m,).
    unsolved
        Largest squared decrement left in a level; 0 as a rule.
    """

    u: Floats
    M: Floats
    omega: NDArray
    upper: NDArray
    objective: float
    gradient: Floats
    blocks: DiagonalBlocks
    squares: Floats
    alpha_slope: Floats
    alpha_bend: Floats
    unsolved: float


def solve_levels(problem: Problem, start: Point, alpha: Floats) -> SolvedLevels:
    """Minimise F over the eliminated coefficients at ``start.rest`` and thresholds `alpha`, from ``start.e``."""
    layout, operator = problem.layout, problem.operator
    general = operator.general if isinstance(operator, InterceptOperator) else operator
    if not isinstance(general, NumbaOperator):
        raise TypeError(f"no kernels for {type(operator).__name__}")
    zeros, buffers = general.accumulators, general.buffers
    n, q = layout.n_rows, layout.q
    kind = np.float64 if n <= SINGLE_PRECISION_ROWS else np.float32
    u, M, own_blocks = start.e.copy(), np.empty((layout.n_levels, q, q)), np.empty((layout.n_levels, q, q))
    omega, upper = np.empty(n, dtype=kind), np.empty(n if len(alpha) else 0, dtype=kind)
    starts = block_starts(layout)
    gradient, blocks = zeros(layout.n_rest), zeros(int(starts[-1]))
    slope, bend, totals = zeros(len(alpha) + 2), zeros(len(alpha) + 2), zeros(2)
    data = (
        problem.family.compiled_kind,
        problem.y,
        problem.weights if len(problem.weights) else None,
        problem.offset if len(problem.offset) else None,
        problem.sigma2,
        np.concatenate([[-np.inf], alpha, [np.inf]]) if len(alpha) else None,
    )
    v = problem.lambdas.rest_times(start.rest[:, None])[:, 0]
    level = [buffers(layout.longest) for _ in range(6)]
    from mixedfx.coefficients import projection_kernels as kernels

    if isinstance(operator, InterceptOperator):
        squares = zeros(1 + len(operator.rows.x_columns))
        scale = float(problem.lambdas.e[0, 0])
        shared = (
            operator.rows,
            *data,
            scale,
            v,
            u.reshape(-1),
            M.reshape(-1),
            own_blocks.reshape(-1),
            omega,
            upper,
        )
        sums = [gradient, blocks, squares, slope, bend, totals]
        over_levels(layout, kernels.project_intercepts, *shared, each=[*level, *sums])
        found = squares.sum(axis=0)
        is_constant = layout.fixed_columns == CONSTANT
        of_x = np.empty(layout.p)
        of_x[is_constant], of_x[~is_constant] = found[0], found[1:]
    else:
        squares = zeros(layout.p)
        Lambda = contiguous(problem.lambdas.e)
        shared = (general.by_level.rows, *data, Lambda, v, starts, u, M, own_blocks, omega, upper)
        small = [*(buffers(q) for _ in range(7)), *(buffers(q, q) for _ in range(3))]
        each = [general.by_level.columns(), *level, *small]
        sums = [gradient, blocks, squares, slope, bend, totals]
        over_levels(layout, kernels.project, *shared, each=[*each, *sums])
        of_x = squares.sum(axis=0)
    return SolvedLevels(
        u=u,
        M=M,
        omega=omega,
        upper=upper,
        objective=float(totals[:, 0].sum()),
        gradient=gradient.sum(axis=0),
        blocks=DiagonalBlocks(own_blocks, split_blocks(layout, blocks.sum(axis=0))),
        squares=of_x,
        alpha_slope=slope.sum(axis=0)[1:-1],
        alpha_bend=bend.sum(axis=0)[1:-1],
        unsolved=float(totals[:, 1].max(initial=0.0)),
    )

"""F with the eliminated factor's coefficients at their best: what Newton's method sees.

For given other coefficients v (the rest vector), u_e*(v) minimises F level by level (see `projection_kernels`), so that
F(v) = F(u_e*(v), v) is a function of v alone. Its gradient is the partial one, and its Hessian the Schur complement.
One traversal of the rows gives all of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mixedfx.coefficients.problem import Point, Problem
from mixedfx.families.cumulative import as_cumulative
from mixedfx.linalg.curvature import Curvature
from mixedfx.linalg.elimination import Reduction

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Projection:
    """F and its derivatives at one rest vector, the eliminated levels solved.

    Attributes
    ----------
    point
        u of the eliminated factor, solved, and the rest vector.
    objective
        F; NaN or infinite where it overflows.
    gradient
        dF/d rest, shape (n_rest,).
    squares
        diag(X'WX), shape (p,), and the thresholds' own curvatures (m,).
    reduction
        S at this point.
    unsolved
        Largest squared decrement left in a level; 0 as a rule.
    """

    point: Point
    objective: float
    gradient: Floats
    squares: Floats
    reduction: Reduction
    unsolved: float

    @cached_property
    def scaled_norm(self) -> float:
        """max_i |g_i| / sqrt(H_ii): the largest gradient in units of the coefficient's own curvature."""
        layout, tiny = self.reduction.operator.layout, np.finfo(float).tiny
        norms = [np.sqrt(self.unsolved)]
        for block, own, factor in zip(
            layout.rest, self.reduction.blocks.rest, self.reduction.lambdas.rest, strict=True
        ):
            norms.append(scaled_maximum(self.gradient[block.slice], own, factor))
        fixed = np.abs(self.gradient[layout.beta_start :]) / np.sqrt(np.maximum(self.squares, tiny))
        return float(np.max([*norms, np.max(fixed, initial=0.0)]))


def scaled_maximum(g: Floats, blocks: Floats, factor: Floats) -> float:
    """max |g_i| / sqrt(H_ii) over one factor's coefficients in u: H_jj = Lambda' Z_j'WZ_j Lambda + I.

    `g` holds J q numbers, `blocks` are Z_j'WZ_j (J, q, q), `factor` is Lambda.
    """
    if len(factor) == 1:
        diagonal = factor[0, 0] ** 2 * blocks[:, 0] + 1.0
    else:
        diagonal = np.einsum("ai,jab,bi->ji", factor, blocks, factor, optimize=True) + 1.0
    return float(np.max(np.abs(g.ravel()) / np.sqrt(diagonal.ravel()), initial=0.0))


def project(problem: Problem, start: Point) -> Projection:
    """Solve the eliminated levels at ``start.rest``, from ``start.e``.

    Thresholds must increase.
    """
    layout = problem.layout
    alpha = problem.alpha(start.rest)
    levels = problem.backend.solve_levels(problem, start, alpha)
    gradient = problem.lambdas.rest_transpose_times(levels.gradient[:, None])[:, 0]
    gradient[: layout.beta_start] += start.rest[: layout.beta_start]
    random = start.rest[: layout.beta_start]
    objective = levels.objective + 0.5 * float(random @ random) + problem.constant
    squares, curvature = levels.squares, Curvature.of(levels.omega)
    if len(alpha):
        gaps = as_cumulative(problem.family).gaps(problem.category_weights, alpha)
        objective += gaps.loss
        if layout.n_thresholds:
            gradient[layout.alpha_start :] = levels.alpha_slope + gaps.gradient
            squares = np.concatenate([squares, levels.alpha_bend + np.diag(gaps.hessian)])
            curvature = Curvature(levels.omega, levels.upper, problem.y, gaps.hessian)
    reduction = Reduction(problem.operator, problem.lambdas, curvature, levels.blocks, levels.M)
    point = Point(levels.u, start.rest)
    return Projection(point, objective, gradient, squares, reduction, levels.unsolved)

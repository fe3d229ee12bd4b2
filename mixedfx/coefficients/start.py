"""Start a solver from coefficients of an earlier fit."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mixedfx.coefficients.problem import Point, Problem

Floats = NDArray[np.float64]


def start_from(problem: Problem, beta: Floats, b: Mapping[str, Floats], alpha: Floats) -> Point:
    """(u, beta, alpha) with Lambda u = b, or as near to it as a singular Lambda allows.

    Thresholds of another number of categories are no start; the problem's own are taken then.
    """
    layout, lambdas = problem.layout, problem.lambdas
    rest = problem.start().rest
    for block, factor in zip(layout.rest, lambdas.rest, strict=True):
        rest[block.slice] = (b[block.name] @ np.linalg.pinv(factor).T).ravel()
    rest[layout.beta_start : layout.alpha_start] = beta
    if len(alpha) == layout.n_thresholds:
        rest[layout.alpha_start :] = alpha
    return Point(b[layout.eliminated.name] @ np.linalg.pinv(lambdas.e).T, rest)

"""Start a solver from coefficients of an earlier fit."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mixedfx.coefficients.problem import Point, Problem
from mixedfx.linalg.operator import Parts

Floats = NDArray[np.float64]


def start_from(problem: Problem, beta: Floats, b: Mapping[str, Floats], alpha: Floats) -> Point:
    """(u, beta, alpha) with Lambda u = b, or as near to it as a singular Lambda allows.

    Thresholds of another number of categories are no start; the problem's own are taken then.
    """
    layout, lambdas = problem.layout, problem.lambdas
    e = np.linalg.pinv(lambdas.e) @ b[layout.eliminated.name][:, :, None]
    rest = np.zeros((layout.n_rest, 1))
    for block, factor in zip(layout.rest, lambdas.rest, strict=True):
        rest[block.slice, 0] = (b[block.term.name] @ np.linalg.pinv(factor).T).ravel()
    rest[layout.beta_start :, 0] = beta
    own = problem.start_alpha()
    return Point(Parts(e, rest), alpha if len(alpha) == len(own) else own)

"""How the mode follows the parameters, and average information with it: nothing of it has a number for each row.

With f = Z a for the columns a = E g_k of `entry_columns`, and K = w d l'/d alpha,

    d b = [a, 0, 0] - C_bb^-1 Z' [W f, W X, K],   d eta = Z d b + [0, X, 0]

and average information is [W f, W X, K]' d eta, with half of what involves covariances.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedfx.covariance.krylov.mode import Mode, SortedRows
from mixedfx.covariance.krylov.random_parts import gram, inner, joined
from mixedfx.linalg.operator import Parts

Floats = NDArray[np.float64]

GROUP = 4
"""Columns of fixed effects and thresholds that are weighted at a time: each is as long as the data."""


@dataclass(frozen=True, eq=False)
class Derivatives:
    """By covariances (without sigma^2), fixed effects and thresholds, one column each.

    Attributes
    ----------
    b
        The mode's.
    information
        Average information, shape (parameters, parameters).
    """

    b: Parts
    information: Floats

    @classmethod
    def of(cls, rows: SortedRows, mode: Mode, a: Parts, *, tol: float) -> Derivatives:
        """At a mode, for the columns `a` (in b), to relative accuracy `tol`."""
        lambdas, border = mode.elimination.lambdas, mode.border
        n, p, m = a.rest.shape[1], rows.X.shape[1], border.size
        weighted, known = _weighted(rows, mode, a)
        rhs = lambdas.transpose_times(weighted)
        x = mode.system.solve(mode.elimination.reduce(rhs), tol=tol).x
        taken = lambdas.times(mode.elimination.recover(rhs, x))
        joint = known - inner(weighted, taken)
        if m:
            joint[n + p :, n + p :] += border.hessian()
        joint = np.tril(joint)
        joint = joint + np.tril(joint, -1).T
        joint[:n] *= 0.5
        joint[n:, :n] *= 0.5
        b = Parts(-taken.e, -taken.rest)
        b.e[:, :, :n] += a.e
        b.rest[:, :n] += a.rest
        return cls(b, joint)


def _weighted(rows: SortedRows, mode: Mode, a: Parts) -> tuple[Parts, Floats]:
    """Z'[W f, W X, K], and the lower triangle of [W f, W X, K]' [f, X, 0]."""
    operator, border, X = rows.operator, mode.border, rows.X
    n, p, m = a.rest.shape[1], X.shape[1], border.size
    known = np.zeros((n + p + m, n + p + m))
    parts = [gram(mode.elimination, a)]
    for first in range(0, p, GROUP):
        own = slice(first, first + GROUP)
        WX = mode.omega[:, None] * X[:, own]
        parts.append(operator.rmatvec(WX))
        known[n : n + p, n : n + p][:, own] = X.T @ WX
    groups = ((first, min(first + GROUP, m)) for first in range(0, m, GROUP))
    parts.extend(operator.rmatvec(border.dense(*group)) for group in groups)
    weighted = joined(parts)
    known[:, :n] = inner(weighted, a)
    known[n + p :, n : n + p] = border.transpose_times(X)
    return weighted, known

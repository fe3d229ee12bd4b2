"""How the mode of a generalized likelihood follows the parameters, and average information with it.

With f = Z a for the columns a = E g_k of `entry_columns`, and K = w d l'/d alpha,

    d b = [a, 0, 0] - C_bb^-1 Z' [W f, W X, K],   d eta = Z d b + [0, X, 0]

and average information is [W f, W X, K]' d eta, with half of what involves covariances: nothing of it has a number for
each row and parameter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedfx.covariance.response import Border
from mixedfx.linalg.lambdas import Lambdas
from mixedfx.linalg.operator import Parts, RowOperator
from mixedfx.linalg.random_parts import inner, joined

Floats = NDArray[np.float64]

GROUP = 4
"""Columns of fixed effects and thresholds that are weighted at a time: each is as long as the data."""


@dataclass(frozen=True, eq=False)
class Derivatives:
    """By the parameters in the order of a point's `vector`, one column each; 0 for sigma^2, which is none.

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
    def of(
        cls,
        operator: RowOperator,
        X: Floats,
        omega: NDArray,
        border: Border,
        a: Parts,
        *,
        gram: Callable[[Parts], Parts],
        solve: Callable[[Parts], Parts],
    ) -> Derivatives:
        """At a mode.

        Parameters
        ----------
        operator
            Products with Z.
        X
            Shape (N, p).
        omega, border
            w l'' (N,), and second derivatives that involve thresholds.
        a
            The columns E g_k.
        gram, solve
            Z'WZ b and C_bb^-1 r, all in b.
        """
        n, p, m = a.rest.shape[1], X.shape[1], border.size
        known = np.zeros((n + p + m, n + p + m))
        parts = [gram(a)]
        for first in range(0, p, GROUP):
            own = slice(first, first + GROUP)
            WX = omega[:, None] * X[:, own]
            parts.append(operator.rmatvec(WX))
            known[n : n + p, n : n + p][:, own] = X.T @ WX
        groups = ((first, min(first + GROUP, m)) for first in range(0, m, GROUP))
        parts.extend(operator.rmatvec(border.dense(*group)) for group in groups)
        weighted = joined(parts)
        known[:, :n] = inner(weighted, a)
        known[n + p :, n : n + p] = border.transpose_times(X)
        taken = solve(weighted)
        joint = known - inner(weighted, taken)
        joint[n + p :, n + p :] += border.hessian()
        joint = np.tril(joint)
        joint = joint + np.tril(joint, -1).T
        joint[:n] *= 0.5
        joint[n:, :n] *= 0.5
        b = Parts(-taken.e, -taken.rest)
        b.e[:, :, :n] += a.e
        b.rest[:, :n] += a.rest
        # sigma^2 stands behind the covariances.
        b = Parts(np.insert(b.e, n, 0.0, axis=2), np.insert(b.rest, n, 0.0, axis=1))
        return cls(b, np.insert(np.insert(joint, n, 0.0, axis=0), n, 0.0, axis=1))

    def followed(self, b: Parts, moved: Floats, lambdas: Lambdas) -> Parts | None:
        """u where the parameters have `moved`, to first order, from b here; None if a covariance there is singular."""
        return lambdas.solved(self.moved(b, moved))

    def moved(self, b: Parts, by: Floats) -> Parts:
        """The mode `b` where the parameters have moved by so much, to first order."""
        return Parts(b.e + (self.b.e @ by)[:, :, None], b.rest + (self.b.rest @ by)[:, None])


def mode_starts(
    known: Derivatives | None, u: Parts, here: Lambdas, moved: Floats, there: Lambdas
) -> Iterator[Parts]:
    """u to look for the mode from where the parameters have `moved`: to first order, where it is known, then as it is.

    `u` is the mode here, `here` and `there` are the covariances' factors.
    """
    followed = None if known is None else known.followed(here.times(u), moved, there)
    if followed is not None:
        yield followed
    yield u

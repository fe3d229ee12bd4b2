"""Henderson's matrix with a border: unknowns that are not coefficients of D, such as thresholds.

    [ H      L'D'K ] [x]   [r]
    [ K'D L   A    ] [t] = [s]          (L = Lambda)

A row of D'K is no weighted row of D, so that the border cannot join the eliminated system. It is narrow: with
X = H^-1 L'D'K, one solve per border unknown, the rest is a small dense system in T = A - K'D L X.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedfx.linalg.elimination import Elimination
from mixedfx.linalg.operator import Parts
from mixedfx.linalg.reduced import ReducedSystem

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Border:
    """K, shape (N, m) in sorted order, and A, shape (m, m), of m border unknowns; m may be 0.

    Draws from the inverse also want K <= 0 with row sums -omega, and A + diag(column sums of K) positive
    semidefinite: a row is then a sum of independent contrasts of border unknowns and D.
    """

    K: Floats
    A: Floats

    @property
    def size(self) -> int:
        return len(self.A)


@dataclass(frozen=True, eq=False)
class BorderedSolution:
    """(x, t), the rows D L x (N, c), and products with the reduced matrix."""

    x: Parts
    t: Floats
    rows: Floats
    iterations: int


@dataclass(frozen=True, eq=False)
class BorderedSystem:
    """The bordered matrix, set up: X (m columns), its rows D L X (N, m), and T^-1 (m, m)."""

    elimination: Elimination
    system: ReducedSystem
    border: Border
    X: Parts
    rows_X: Floats
    T_inverse: Floats
    setup_iterations: int

    def solve(self, r: Parts, s: Floats, *, tol: float, reduced: Floats | None = None) -> BorderedSolution:
        """Solve for right-hand sides r (c columns) and s (m, c); `reduced` is ``elimination.reduce(r)``, if known."""
        if reduced is None:
            reduced = self.elimination.reduce(r)
        solution = self.system.solve(reduced, tol=tol)
        x, rows = self.elimination.recover(r, solution.x)
        if not self.border.size:
            return BorderedSolution(x, s, rows, solution.iterations)
        t = self.T_inverse @ (s - self.border.K.T @ rows)
        x = Parts(x.e - self.X.e @ t, x.rest - self.X.rest @ t)
        return BorderedSolution(x, t, rows - self.rows_X @ t, solution.iterations)


def bordered_system(
    elimination: Elimination, system: ReducedSystem, border: Border, *, tol: float
) -> BorderedSystem:
    """Solve for X to relative accuracy `tol` and invert T."""
    if not border.size:
        layout = elimination.operator.layout
        nothing = Parts(np.zeros((layout.n_levels, layout.q, 0)), np.zeros((layout.n_rest, 0)))
        return BorderedSystem(elimination, system, border, nothing, border.K, border.A, 0)
    r = elimination.lambdas.transpose_times(elimination.operator.rmatvec(border.K))
    solution = system.solve(elimination.reduce(r), tol=tol)
    X, rows = elimination.recover(r, solution.x)
    T = border.A - border.K.T @ rows
    return BorderedSystem(
        elimination, system, border, X, rows, np.linalg.inv(0.5 * (T + T.T)), solution.iterations
    )


def no_border(n_rows: int) -> Border:
    """The border of a model without any."""
    return Border(np.zeros((n_rows, 0)), np.zeros((0, 0)))

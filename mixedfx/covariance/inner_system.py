"""Linear systems at an inner mode: given beta (C_bb), or in (b, beta, thresholds) together."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from mixedfx.covariance.response import Border
from mixedfx.linalg.dense import DenseReduced
from mixedfx.linalg.elimination import Elimination
from mixedfx.linalg.operator import Parts

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class InnerSystem:
    """The Hessian of the penalised loss in u, in (u, beta), and with the thresholds as its border.

    Right-hand sides and solutions are in u; several are columns.
    """

    elimination: Elimination
    dense: DenseReduced
    border: Border

    def solve_random(self, r: Parts) -> tuple[Parts, Floats]:
        """x with C_bb x = r (beta's part of r is ignored, that of x is 0), and its rows Z Lambda x, (N, c)."""
        n = self.dense.n_random
        reduced = self.elimination.reduce(r)
        x = np.zeros_like(reduced)
        if n:
            x[:n] = scipy.linalg.cho_solve((self._random_factor, False), reduced[:n], check_finite=False)
        return self._with_rows(self.elimination.recover(r, x))

    def solve_joint(self, r: Parts, s: Floats) -> tuple[Parts, Floats, Floats]:
        """(x over (u, beta), t over the thresholds (m, c), rows D Lambda x) for right-hand sides r and s (m, c)."""
        x, rows = self._solve(r)
        if not self.border.size:
            return x, s, rows
        X, rows_X, T = self._border_solution
        t = scipy.linalg.cho_solve(T, s - self.border.transpose_times(rows))
        return Parts(x.e - X.e @ t, x.rest - X.rest @ t), t, rows - rows_X @ t

    def _solve(self, r: Parts) -> tuple[Parts, Floats]:
        return self._with_rows(self.elimination.recover(r, self.dense.solve(self.elimination.reduce(r))))

    def _with_rows(self, x: Parts) -> tuple[Parts, Floats]:
        return x, self.elimination.operator.matvec(self.elimination.lambdas.times(x))

    @cached_property
    def _random_factor(self) -> Floats:
        n = self.dense.n_random
        return np.asfortranarray(self.dense.U[:n, :n])

    @cached_property
    def _border_solution(self) -> tuple[Parts, Floats, Any]:
        """C^-1 D'K, its rows, and the factored Schur complement A - K'D C^-1 D'K."""
        operator, lambdas = self.elimination.operator, self.elimination.lambdas
        X, rows = self._solve(lambdas.transpose_times(operator.rmatvec(self.border.dense())))
        T = self.border.hessian() - self.border.transpose_times(rows)
        return X, rows, scipy.linalg.cho_factor(0.5 * (T + T.T))

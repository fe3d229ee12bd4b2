"""Second derivatives of the rows' losses: in the linear predictor, and in thresholds where there are any."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Curvature:
    """The weights W of D'WD, and how thresholds enter the rows.

    A row of category y depends on ``alpha_y - eta`` and ``alpha_(y-1) - eta``, one by one: it is two weighted rows, one
    with weight `upper` and one with ``omega - upper``.

    Attributes
    ----------
    omega
        Weight of each sorted row, shape (N,), float64 or float32.
    upper
        Its part due to the threshold above, like `omega`; empty without thresholds.
    category
        int8 or int16, shape (N,): y; empty without thresholds.
    gap
        Shape (m, m): curvature of the distances between the m thresholds, which no row's eta enters.
    """

    omega: NDArray
    upper: NDArray
    category: NDArray
    gap: Floats

    @classmethod
    def of(cls, omega: NDArray) -> Curvature:
        """Without thresholds."""
        omega = np.ascontiguousarray(omega)
        return cls(omega, omega[:0], np.zeros(0, dtype=np.int8), np.zeros((0, 0)))

    @property
    def has_thresholds(self) -> bool:
        return len(self.gap) > 0

    def take(self, rows: NDArray[np.int64]) -> Curvature:
        """Of some rows; of the curvature between thresholds, known in sum only, they get their share."""
        if not self.has_thresholds:
            return Curvature.of(self.omega[rows])
        share = len(rows) / max(len(self.omega), 1)
        return Curvature(self.omega[rows], self.upper[rows], self.category[rows], self.gap * share)

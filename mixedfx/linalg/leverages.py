"""What is summed over all rows' leverages h_r = z_r' C_bb^-1 z_r: weights going in, sums coming out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class LeverageWeights(NamedTuple):
    """What leverages are multiplied with: t_r for linear predictors, and weights for thresholds.

    Attributes
    ----------
    eta
        t, shape (N,).
    X
        Fixed effects' columns, shape (N, p).
    upper, lower, category
        Weights (N,) for the threshold above and below a row's category (N,); empty without thresholds.
    thresholds
        How many there are.
    """

    eta: Floats
    X: Floats
    upper: Floats
    lower: Floats
    category: NDArray[np.int64]
    thresholds: int

    @property
    def arrays(self) -> tuple[NDArray, ...]:
        """As the kernels take them."""
        return self.eta, self.X, self.upper, self.lower, self.category


class LeverageSums(NamedTuple):
    """Sums over the rows, one column an estimate of h.

    Attributes
    ----------
    e, rest
        Z'(h t), shapes (J_e, q_e, m) and (n_rest, m).
    beta
        X'(h t), shape (p, m).
    alpha
        sum of h and the thresholds' weights, shape (thresholds, m).
    """

    e: Floats
    rest: Floats
    beta: Floats
    alpha: Floats

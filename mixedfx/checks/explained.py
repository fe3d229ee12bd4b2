"""What the rows of a level tell of its coefficients: T_jj = Z_j' P Z_j = Sigma^-1 (Sigma - V_jj) Sigma^-1."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixedfx.covariance.parameters import ParameterSpace

Floats = NDArray[np.float64]


class Explained(NamedTuple):
    """T_jj of a factor's levels.

    Attributes
    ----------
    T
        Shape (J, q, q); in a large model an approximation that is right on average.
    total
        Their sum, shape (q, q), as exactly as it is known.
    """

    T: Floats
    total: Floats

    def at(self, change: Floats) -> Explained:
        """Where Sigma is another by `change` (q, q): T^-1 is Sigma plus what the rows leave unknown, which stays."""
        T = changed(self.T, change)
        return Explained(T, T.sum(axis=0))

    def information(self, space: ParameterSpace) -> Floats:
        """1/2 sum_j tr(T_jj E_a T_jj E_b) of the factor's free entries, in the order of `space`."""
        basis = np.array([space.basis(entry) for entry in space.entries])
        products = np.einsum("jab,ebc->jeac", self.T, basis, optimize=True)
        return 0.5 * np.einsum("jeab,jfba->ef", products, products, optimize=True)


def changed(T: Floats, change: Floats) -> Floats:
    """(T^-1 + change)^-1, for singular T too."""
    return np.linalg.solve(np.eye(len(change)) + T @ change, T)

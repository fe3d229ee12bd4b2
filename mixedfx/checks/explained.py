"""What the rows of a level tell of its coefficients: T_jj = Z_j' P Z_j = Sigma^-1 (Sigma - V_jj) Sigma^-1."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixedfx.covariance.parameters import ParameterSpace

Floats = NDArray[np.float64]


class Explained(NamedTuple):
    """T_jj of a factor's levels, shape (J, q, q)."""

    T: Floats

    @property
    def total(self) -> Floats:
        """Their sum, shape (q, q)."""
        return self.T.sum(axis=0)

    def at(self, change: Floats) -> Explained:
        """Where Sigma is another by `change` (q, q): T^-1 is Sigma plus what the rows leave unknown, which stays."""
        if len(change) == 1:
            return Explained(self.T / (1 + self.T * change))
        return Explained(np.linalg.solve(np.eye(len(change)) + self.T @ change, self.T))

    def information(self, space: ParameterSpace) -> Floats:
        """1/2 sum_j tr(T_jj E_a T_jj E_b) of the factor's free entries, in the order of `space`."""
        q = self.T.shape[1]
        flat = self.T.reshape(len(self.T), q * q)
        squares = (flat.T @ flat).reshape(q, q, q, q)  # sum_j of T_jj times T_jj, entry by entry
        basis = np.array([space.basis(entry) for entry in space.entries])
        return 0.5 * np.einsum("xyzw,ayz,bwx->ab", squares, basis, basis, optimize=True)

"""Covariance of each level's coefficients given the fixed effects: diagonal blocks of C_bb^-1, lme4's condVar.

With H the inverse of the Schur complement on the remaining factors, and for an eliminated level j its weighted products
B_j = Z_ej' W Z_o with them, A_j = Z_ej' W Z_ej, M_j its covariance given the rest, and F_j = I - A_j M_j:

    remaining factor:   V_jj = H_jj
    eliminated factor:  V_jj = M_j + M_j B_j H B_j' M_j = M_j + Sigma_e (F_j B_j H B_j' F_j') Sigma_e

The second form, in which M_j = Sigma_e F_j, has in its middle what the score subtracts (`mixedfx.covariance.traces`):
the last evaluation of a likelihood gives these covariances away. Singular covariances are no special case.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedfx.linalg.dense import level_blocks
from mixedfx.linalg.exact_system import ExactSystem
from mixedfx.linalg.lambdas import Lambdas

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LevelInverses:
    """What the inverse of an `ExactSystem` says of each level, beta held fixed.

    Attributes
    ----------
    system
        The system.
    F
        I - A_j M_j of the eliminated levels, shape (J_e, q_e, q_e).
    explained
        F_j B_j H B_j' F_j', shape (J_e, q_e, q_e).
    rest
        H_jj in u of each remaining factor, shape (J_k, q_k, q_k).
    """

    system: ExactSystem
    F: Floats
    explained: Floats
    rest: tuple[Floats, ...]

    @classmethod
    def of(cls, system: ExactSystem) -> LevelInverses:
        """Invert; the inverse itself is not kept, nor is the factor in whose place it is made."""
        cross, layout = system.cross, system.cross.layout
        H = system.random_inverse()
        F = np.eye(layout.q) - system.scale * cross.e @ _squared(system.root)
        weighted = cross.transformed(system.scale * np.swapaxes(F, 1, 2), system.lambdas)
        rest = tuple(cross.components.level_blocks(H, block) for block in layout.rest)
        return cls(system, F, cross.quadratics(weighted, H), rest)

    def covariances(self) -> dict[str, Floats]:
        """Factor -> (J, q, q)."""
        lambdas, layout = self.system.lambdas, self.system.cross.layout
        Sigma = lambdas.e @ lambdas.e.T
        out = {layout.eliminated.name: _squared(self.system.root) + Sigma @ self.explained @ Sigma}
        for block, factor, own in zip(layout.rest, lambdas.rest, self.rest, strict=True):
            out[block.name] = factor @ own @ factor.T
        return out


def dense_level_covariances(lambdas: Lambdas, M: Floats, H: Floats, explained: Floats) -> dict[str, Floats]:
    """Factor -> (J, q, q) from a full inverse.

    Parameters
    ----------
    lambdas
        The covariance factors.
    M
        Covariance of the eliminated coefficients given the rest, shape (J_e, q_e, q_e).
    H
        Covariance of the remaining coefficients in b, shape (n, n).
    explained
        B_j H B_j', shape (J_e, q_e, q_e).
    """
    out = {lambdas.layout.eliminated.name: M + M @ explained @ M}
    return out | {block.name: level_blocks(H, block) for block in lambdas.layout.rest}


def _squared(root: Floats) -> Floats:
    """root_j root_j'."""
    return root @ np.swapaxes(root, 1, 2)

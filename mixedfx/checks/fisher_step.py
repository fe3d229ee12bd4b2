"""The full-data estimate of Sigma in one Fisher-scoring step, from stage 2 alone.

At stage 2's solution g_kj = Z_kj' P y is Sigma_k^-1 b_kj, so that the score of Sigma_k, with the data of all rows in
it, needs neither the response nor any matrix but the levels' covariances:

    S_k = 1/2 sum_j (g_kj g_kj' - T_jj),   I_ab = 1/2 sum_j tr(T_jj E_a T_jj E_b)
    T_jj = Z_kj' P Z_kj = Sigma_k^-1 (Sigma_k - V_jj) Sigma_k^-1

The information is that of each factor by itself. sigma^2 cannot be had in this way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mixedfx.covariance.parameters import ParameterSpace

if TYPE_CHECKING:
    from mixedfx.checks.stage_normal import StageNormal

Floats = NDArray[np.float64]


def fisher_step(stage: StageNormal, factor: str, b: Floats) -> tuple[Floats, Floats] | None:
    """One step from the frozen Sigma of a factor.

    Parameters
    ----------
    stage
        Stage 2 at the frozen covariances; gaussian.
    factor
        Its name.
    b
        Conditional modes of all levels, shape (J, q).

    Returns
    -------
    (Sigma, standard errors) or None
        Of shapes (q, q), nearest positive semidefinite matrix, and (entries,) in the order of `ParameterSpace`. None
        where the frozen Sigma is singular: the score then says nothing about the direction it leaves out.
    """
    blocks = stage.explained[factor]
    if blocks is None:
        return None
    term, L = stage.terms[factor], stage.factor_matrix(factor)
    space = ParameterSpace.of((term,))
    g = np.linalg.solve(L.T, np.linalg.solve(L, b.T)).T
    S = 0.5 * (g.T @ g - blocks.total)
    score = space.gradient((S,), 0.0)[:-1]
    covariance = np.linalg.pinv(blocks.information(space), hermitian=True)
    step = space.point(np.append(covariance @ score, 0.0)).matrices[0]
    return _nearest_semidefinite(L @ L.T + step), np.sqrt(np.diag(covariance))


def _nearest_semidefinite(matrix: Floats) -> Floats:
    """Negative eigenvalues, on the scale of the diagonal, set to 0."""
    scale = np.sqrt(np.maximum(np.diag(matrix), 0.0))
    scale = np.where(scale > 0, scale, 1.0)
    values, vectors = np.linalg.eigh(matrix / np.outer(scale, scale))
    return (vectors * np.maximum(values, 0.0)) @ vectors.T * np.outer(scale, scale)

"""sum_j Z_kj' T Z_kj of every factor: what scores of covariances subtract (T = W - W Z (C^-1)_bb Z' W)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mixedfx.linalg.dense import level_blocks
from mixedfx.linalg.lambdas import Lambdas

Floats = NDArray[np.float64]


def level_traces(
    lambdas: Lambdas, A: Floats, M: Floats, H: Floats, explained: Floats, reduced: Callable[[], Floats]
) -> dict[str, Floats]:
    """Factor -> (q, q), right for singular covariances too.

    Parameters
    ----------
    lambdas
        The covariance factors.
    A
        Z_j' W Z_j of the eliminated levels, shape (J_e, q_e, q_e).
    M
        Covariance of the eliminated coefficients given the rest, shape (J_e, q_e, q_e).
    H
        The rest's part of Henderson's inverse in b, shape (n, n); without beta, or with its rows 0, where beta is held
        fixed.
    explained
        B_j H B_j', B_j = Z_ej' W D_o, shape (J_e, q_e, q_e).
    reduced
        Gives D_o' (W - W Z_e M Z_e' W) D_o as a full matrix (n, n): needed only where some Sigma_k is singular.
    """
    layout = lambdas.layout
    F = np.eye(layout.q) - A @ M
    of_e = (F @ (A - explained @ np.swapaxes(F, 1, 2))).sum(axis=0)
    traces = {layout.eliminated.name: 0.5 * (of_e + of_e.T)}
    singular = []
    for block, factor in zip(layout.rest, lambdas.rest, strict=True):
        trace = _trace_from_covariance(factor, level_blocks(H, block))
        if trace is None:
            singular.append(block)
        else:
            traces[block.name] = trace
    if singular:
        G = reduced()
        for block in singular:
            columns = G[:, block.slice]
            own = level_blocks(G, block).sum(axis=0)
            taken = (H @ columns).reshape(len(G), block.n_levels, block.q)
            columns = columns.reshape(len(G), block.n_levels, block.q)
            traces[block.name] = own - np.einsum("rja,rjb->ab", columns, taken)
    return traces


def _trace_from_covariance(factor: Floats, V: Floats) -> Floats | None:
    """sum_j Sigma^-1 (Sigma - V_jj) Sigma^-1, or None where that would lose over half the digits to cancellation.

    The loss is 1 over the share of the prior covariance that the data take away, in the direction they say least of.
    """
    diagonal = np.abs(np.diag(factor))
    if diagonal.min() <= 1e-6 * np.sqrt((factor**2).sum(axis=1)).max():
        return None
    inverse = np.linalg.inv(factor)
    learned = len(V) * np.eye(len(factor)) - inverse @ V.sum(axis=0) @ inverse.T
    if np.linalg.eigvalsh(learned)[0] < 1e-7 * len(V):
        return None
    return inverse.T @ learned @ inverse

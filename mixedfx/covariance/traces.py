"""sum_j Z_kj' T Z_kj of every factor: what scores of covariances subtract (T = W - W Z (C^-1)_bb Z' W)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mixedfx.linalg.dense import level_blocks
from mixedfx.linalg.exact_system import ExactSystem
from mixedfx.linalg.lambdas import Lambdas
from mixedfx.linalg.layout import Block

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
        V = level_blocks(H, block).sum(axis=0)
        trace = _from_covariance(factor, lambda i, V=V: i @ V @ i.T, block.n_levels)
        if trace is None:
            singular.append(block)
        else:
            traces[block.name] = trace
    if singular:
        G = reduced()
        traces |= {block.name: _from_reduced(G, block, lambda columns: H @ columns) for block in singular}
    return traces


def exact_traces(system: ExactSystem, *, with_fixed: bool) -> dict[str, Floats]:
    """The same for an `ExactSystem`; `with_fixed`: beta is integrated out (T = P), else held fixed (T = V^-1)."""
    lambdas, cross = system.lambdas, system.cross
    layout = cross.layout
    H = system.dense.inverse_triangle(with_fixed=with_fixed)
    A = system.scale * cross.e
    F = np.eye(layout.q) - A @ (system.root @ np.swapaxes(system.root, 1, 2))
    weighted = cross.transformed(system.scale * np.swapaxes(F, 1, 2), lambdas)
    of_e = (F @ A).sum(axis=0) - cross.quadratic(weighted, H)
    traces = {layout.eliminated.name: 0.5 * (of_e + of_e.T)}
    singular = []
    for block, factor in zip(layout.rest, lambdas.rest, strict=True):
        V = level_blocks(H, block).sum(axis=0)
        V = np.tril(V) + np.tril(V, -1).T
        trace = _from_covariance(factor, lambda _, V=V: V, block.n_levels)
        if trace is None:
            singular.append(block)
        else:
            traces[block.name] = trace
    if singular:
        whole = H + np.tril(H, -1).T
        G = system.schur_in_b()
        n = len(H)

        def covariance_times(columns: Floats) -> Floats:
            in_u = lambdas.rest_transpose_times(columns)
            in_u[:n], in_u[n:] = whole @ in_u[:n], 0.0
            return lambdas.rest_times(in_u)

        traces |= {block.name: _from_reduced(G, block, covariance_times) for block in singular}
    return traces


def _from_reduced(G: Floats, block: Block, covariance_times: Callable[[Floats], Floats]) -> Floats:
    """sum_j (G - G H G)_jj of one factor, G = D_o' T_e D_o in b and full."""
    columns = G[:, block.slice]
    own = level_blocks(G, block).sum(axis=0)
    taken = covariance_times(columns).reshape(len(G), block.n_levels, block.q)
    return own - np.einsum("rja,rjb->ab", columns.reshape(taken.shape), taken)


def _from_covariance(factor: Floats, in_u: Callable[[Floats], Floats], n_levels: int) -> Floats | None:
    """sum_j Sigma^-1 (Sigma - V_jj) Sigma^-1, or None where that would lose over half the digits to cancellation.

    `in_u` gives sum_j Lambda^-1 V_jj Lambda^-T from Lambda^-1. The loss is 1 over the share of the prior covariance
    that the data take away, in the direction they say least of.
    """
    diagonal = np.abs(np.diag(factor))
    if diagonal.min() <= 1e-6 * np.sqrt((factor**2).sum(axis=1)).max():
        return None
    inverse = np.linalg.inv(factor)
    learned = n_levels * np.eye(len(factor)) - in_u(inverse)
    if np.linalg.eigvalsh(learned)[0] < 1e-7 * n_levels:
        return None
    return inverse.T @ learned @ inverse

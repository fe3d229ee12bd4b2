"""sum_j Z_kj' T Z_kj of every factor: what scores of covariances subtract (T = W - W Z (C^-1)_bb Z' W)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mixedfx.covariance.conditional import LevelInverses
from mixedfx.linalg.dense import level_blocks
from mixedfx.linalg.lambdas import Lambdas, inverse_factor
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

    def in_u(block: Block, inverse: Floats) -> Floats:
        return inverse @ level_blocks(H, block).sum(axis=0) @ inverse.T

    def from_reduced(singular: list[Block]) -> dict[str, Floats]:
        G, out = reduced(), {}
        for block in singular:
            columns = G[:, block.slice]
            taken = (H @ columns).reshape(len(G), block.n_levels, block.q)
            both = np.einsum("rja,rjb->ab", columns.reshape(taken.shape), taken)
            out[block.name] = level_blocks(G, block).sum(axis=0) - both
        return out

    return _traces(lambdas, of_e, in_u, from_reduced)


def exact_traces(levels: LevelInverses, *, with_fixed: bool) -> dict[str, Floats]:
    """The same for an `ExactSystem`; `with_fixed`: beta is integrated out (T = P), else held fixed (T = V^-1)."""
    system = levels.system
    lambdas, cross, layout = system.lambdas, system.cross, system.cross.layout
    of_e = (levels.F @ (system.scale * cross.e)).sum(axis=0) - levels.explained.sum(axis=0)
    sums = [blocks.sum(axis=0) for blocks in levels.rest]
    if with_fixed:
        root = system.rest.fixed_root()
        in_levels = levels.F @ (system.scale * cross.level_sums(lambdas.rest_times(root)))
        of_e -= np.einsum("jar,jbr->ab", in_levels, in_levels)
        for total, block in zip(sums, layout.rest, strict=True):
            own = root[block.slice].reshape(block.n_levels, block.q, -1)
            total += np.einsum("jar,jbr->ab", own, own)
    of_rest = {block.name: total for block, total in zip(layout.rest, sums, strict=True)}

    def from_unexplained(singular: list[Block]) -> dict[str, Floats]:
        return system.unexplained_in_b(singular, with_fixed=with_fixed)

    return _traces(lambdas, of_e, lambda block, _: of_rest[block.name], from_unexplained)


def _traces(
    lambdas: Lambdas,
    of_e: Floats,
    in_u: Callable[[Block, Floats], Floats],
    of_singular: Callable[[list[Block]], dict[str, Floats]],
) -> dict[str, Floats]:
    """Factor -> (q, q).

    `of_e` is the eliminated factor's, `in_u` gives sum_j V_jj in u of a remaining factor and its Lambda^-1, and
    `of_singular`, called only where there are any, the traces of factors whose covariances cannot tell.
    """
    layout = lambdas.layout
    traces, singular = {layout.eliminated.name: 0.5 * (of_e + of_e.T)}, []
    for block, factor in zip(layout.rest, lambdas.rest, strict=True):
        inverse, trace = inverse_factor(factor), None
        if inverse is not None:
            trace = _from_covariance(inverse, in_u(block, inverse), block.n_levels)
        if trace is None:
            singular.append(block)
        else:
            traces[block.name] = trace
    return traces | of_singular(singular) if singular else traces


def _from_covariance(inverse: Floats, V: Floats, n_levels: int) -> Floats | None:
    """sum_j Sigma^-1 (Sigma - V_jj) Sigma^-1, or None where that would lose over half the digits to cancellation.

    `inverse` is Lambda^-1, V the sum of V_jj in u, Lambda^-1 V_jj Lambda^-T. The loss is 1 over the share of the prior
    covariance that the data take away, in the direction they say least of.
    """
    learned = n_levels * np.eye(len(V)) - V
    if np.linalg.eigvalsh(learned)[0] < 1e-7 * n_levels:
        return None
    return inverse.T @ learned @ inverse

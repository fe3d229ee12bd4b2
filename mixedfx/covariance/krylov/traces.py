"""sum_j Z_kj' T Z_kj of every factor from probes, T = W - W Z C_bb^-1 Z' W, one sample a probe.

With S^-1 = B B' + E[x y'] of the reduced system in u, M_j the covariance of eliminated level j given the rest, and
F_j = I - A_j M_j, A_j = Z_j' W Z_j:

    eliminated factor   sum_j F_j A_j - F_j B_j S^-1 B_j' F_j',   B_j = Z_ej' W Z_o Lambda_o
    remaining factor    Lambda^+' ( J I - sum_j (S^-1)_jj ) Lambda^+   on the range of Lambda, and outside it
                        sum_j (Z_o' T_e Z_o)_jj - t S^-1 t',   t = Z_o' T_e Z_o Lambda_o

The second form of a remaining factor is right everywhere, but a difference of large numbers and so much noisier.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mixedfx.linalg.elimination import Elimination
from mixedfx.linalg.lambdas import WELL_CONDITIONED, inverse_factor

Floats = NDArray[np.float64]


def sampled_traces(
    elimination: Elimination, in_b: Floats, sums: Floats, inverse_sums: dict[str, Floats], m: int
) -> dict[str, Floats]:
    """Factor -> (q, q, m): each probe's own estimate, symmetric.

    Parameters
    ----------
    elimination
        H at the point.
    in_b, sums
        Lambda_o [x y B] (n_rest, columns), S^-1 = B B' + E[x y'] (see `mixedfx.linalg.probes`), and Z_e' W Z_o times
        it (J_e, q_e, columns).
    inverse_sums
        sum_j (S^-1)_jj as each probe has it, (q, q, m), of the remaining factors that are wanted.
    m
        Probes.
    """
    lambdas, layout = elimination.lambdas, elimination.operator.layout
    F = np.eye(layout.q) - elimination.blocks.e @ elimination.M
    sums = F @ sums
    own = np.einsum("jab,jbc->ac", F, elimination.blocks.e)
    own = own - np.einsum("jac,jbc->ab", sums[:, :, 2 * m :], sums[:, :, 2 * m :])
    out = {
        layout.eliminated.name: _symmetric(own[:, :, None] - _products(sums[:, :, :m], sums[:, :, m : 2 * m]))
    }
    singular = []
    for k, (block, factor) in enumerate(zip(layout.rest, lambdas.rest, strict=True)):
        if block.name not in inverse_sums:
            continue
        inverse = inverse_factor(factor)
        if inverse is None:
            singular.append(k)
            inverse = np.linalg.pinv(factor, rcond=WELL_CONDITIONED)
        left = _symmetric((np.eye(block.q) * block.n_levels)[:, :, None] - inverse_sums[block.name])
        out[block.name] = np.einsum("ca,cdm,db->abm", inverse, left, inverse)
    if singular:
        operator, curvature, known = elimination.operator, elimination.curvature, elimination.blocks
        t = operator.reduced_product(curvature, known.e, elimination.M, in_b)
        blocks = operator.reduced_blocks(curvature, elimination.M, known.rest)
        for k in singular:
            block, factor = layout.rest[k], lambdas.rest[k]
            ts = t[block.slice].reshape(block.n_levels, block.q, -1)
            known = blocks[k].sum(axis=0) - np.einsum("jac,jbc->ab", ts[:, :, 2 * m :], ts[:, :, 2 * m :])
            whole = _symmetric(known[:, :, None] - _products(ts[:, :, :m], ts[:, :, m : 2 * m]))
            inside = factor @ np.linalg.pinv(factor, rcond=WELL_CONDITIONED)
            out[block.name] += whole - np.einsum("ca,cdm,db->abm", inside, whole, inside)
    return out


def _products(x: Floats, y: Floats) -> Floats:
    """sum_j x_j y_j' of every column, shape (q, q, m)."""
    return np.einsum("jam,jbm->abm", x, y)


def _symmetric(A: Floats) -> Floats:
    return 0.5 * (A + np.swapaxes(A, 0, 1))

"""Blocks of C_bb^-1 from few draws: what is known exactly of each level is not left to chance.

A draw x solves H x = n for noise n of covariance H. Given what it is solved for besides, a level's own part is known in
closed form, and only the rest is estimated (Rao and Blackwell; Siden, Lindgren, Bolin & Villani 2018, Journal of
Computational and Graphical Statistics 27, call it simple RBMC):

    Cov(u_j) = B_j^-1 + Cov(u_j - B_j^-1 n_j)

For a level of the eliminated factor B_j is its block of H, and n_j its part of n; for one of the others both are those
of the reduced system, in which the eliminated factor is integrated out: the second term is small for either.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from mixedfx.linalg.elimination import Elimination
from mixedfx.linalg.lambdas import level_products
from mixedfx.linalg.operator import Parts
from mixedfx.linalg.reduced import ReducedSystem

Floats = NDArray[np.float64]

ACCURACY = 0.03
"""Monte Carlo error of a standard deviation, root mean square over the levels of each factor."""
SOLVE_TOL = 1e-4
"""Relative error of a draw: far below what chance does to it."""


def sampled_covariances(
    system: ReducedSystem, elimination: Elimination, sensitivity: Mapping[str, Floats], noise: Iterable[Parts]
) -> dict[str, Floats]:
    """Covariance of each level's coefficients given beta and thresholds, to `ACCURACY`.

    Parameters
    ----------
    system, elimination
        H, and what remains of it without the eliminated factor.
    sensitivity
        Factor -> d b/d(beta, thresholds), (J, q, p + m).
    noise
        Columns from N(0, H), a batch at a time: as many batches as it takes, or all.

    Returns
    -------
    dict
        Factor -> (J, q, q), positive semidefinite.
    """
    known = dict(_known(system, elimination))
    sums = {name: np.zeros_like(block) for name, block in known.items()}
    draws = 0
    for batch in noise:
        draws += batch.rest.shape[1]
        for name, b in _left_to_chance(system, elimination, sensitivity, batch):
            sums[name] += np.einsum("jam,jbm->jab", b, b)
        if all(_error(known[name], sums[name] / draws, draws) <= ACCURACY for name in known):
            break
    return {name: block + sums[name] / draws for name, block in known.items()}


def _known(system: ReducedSystem, elimination: Elimination) -> Iterator[tuple[str, Floats]]:
    """Factor -> B_j^-1 in b coordinates."""
    layout = elimination.operator.layout
    yield layout.eliminated.name, elimination.M
    for block, inverse, L in zip(layout.rest, system.inverses, elimination.lambdas.rest, strict=True):
        yield block.name, L @ inverse @ L.T


def _left_to_chance(
    system: ReducedSystem, elimination: Elimination, sensitivity: Mapping[str, Floats], noise: Parts
) -> Iterator[tuple[str, Floats]]:
    """Factor -> expectation of each level's coefficients given all that its own part is independent of, (J, q, m)."""
    layout, lambdas = elimination.operator.layout, elimination.lambdas
    rhs = elimination.reduce(noise)
    x = system.solve(rhs, tol=SOLVE_TOL).x
    fixed = x[layout.beta_start :]
    # The eliminated coefficients without noise of their own.
    e = elimination.recover(Parts(np.zeros((1, 1, 1)), x), x).e
    yield layout.eliminated.name, _given(lambdas.e_times(e), sensitivity[layout.eliminated.name], fixed)
    for block, inverse, L in zip(layout.rest, system.inverses, lambdas.rest, strict=True):
        own, n = (v[block.slice].reshape(block.n_levels, block.q, -1) for v in (x, rhs))
        own = level_products(L, own - level_products(inverse, n))
        yield block.name, _given(own, sensitivity[block.name], fixed)


def _given(b: Floats, sensitivity: Floats, fixed: Floats) -> Floats:
    """Draws of b, less what is due to beta and thresholds: draws given them."""
    for k in range(len(fixed)):
        b -= sensitivity[:, :, k, None] * fixed[k]
    return b


def _error(known: Floats, sampled: Floats, draws: int) -> float:
    """Relative standard error of standard deviations, root mean square over levels and coefficients."""
    chance, exact = (np.diagonal(v, axis1=1, axis2=2) for v in (sampled, known))
    total = chance + exact
    share = np.divide(chance, total, out=np.zeros_like(total), where=total > 0)
    return float(0.5 * np.sqrt(2 / draws) * np.sqrt(np.mean(share**2)))

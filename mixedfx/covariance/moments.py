"""Where the search for a gaussian model's covariances begins: variances by the method of moments."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from mixedfx.covariance.gaussian import GaussianProblem
from mixedfx.covariance.parameters import Covariances

Floats = NDArray[np.float64]

LEAST_SHARE = 0.01
"""Of the variance of the residuals that each coefficient is given at the start, so that it can be seen to matter."""


def moment_start(problem: GaussianProblem) -> Covariances:
    """Diagonal covariances from the sums of squares of Z_i' W r, r the residuals of least squares on X.

    With coefficients independent of each other, tau_l^2 the variance of coefficient l (one of a factor) and Z_l its
    columns for all levels,

        E |Z_i' W r|^2 = sum_l tau_l^2 |Z_i' W Z_l|_F^2 + sigma^2 tr(Z_i' W Z_i),
        E r'Wr         = sum_l tau_l^2 tr(Z_l' W Z_l)   + sigma^2 N

    when what X takes is neglected: MINQUE with prior variances of zero (Rao 1971, J. Multivariate Analysis 1). The
    equations are solved by non-negative least squares, each in units in which its sigma^2 counts N.
    """
    cross, layout, w = problem.cross, problem.layout, problem.weights
    n, total = len(problem.y), float(w @ problem.y**2)
    sizes, observed = [], []
    for block, own, Wr in zip(layout.blocks, *_by_block(problem), strict=True):
        sizes.append(own)
        observed.append((Wr.reshape(block.n_levels, block.q) ** 2).sum(axis=0))
    size = np.maximum(np.concatenate(sizes), np.finfo(float).tiny)
    system = np.block([[cross.squared_norms(), size[:, None]], [size[None, :], np.array([[float(n)]])]])
    units = n / np.append(size, n)
    found, _ = nnls(system * units[:, None], np.concatenate([*observed, [total]]) * units)
    largest = total / size
    variances = np.clip(found[:-1], LEAST_SHARE * largest, largest)
    ends = np.cumsum([block.q for block in layout.blocks])[:-1]
    by_name = dict(zip((b.name for b in layout.blocks), np.split(variances, ends), strict=True))
    matrices = tuple(np.diag(by_name[term.name]) for term in problem.space.terms)
    return Covariances(matrices, max(float(found[-1]), 0.1 * total / n))


def _by_block(problem: GaussianProblem) -> tuple[list[Floats], list[Floats]]:
    """tr(Z_i' W Z_i) of each coefficient, and Z' W r, by factor in the order of the layout."""
    cross, layout, products = problem.cross, problem.layout, problem.response_products
    diagonal = cross.rest.diagonal()
    sizes = [np.einsum("jaa->a", cross.e)]
    sizes += [diagonal[b.slice].reshape(b.n_levels, b.q).sum(axis=0) for b in layout.rest]
    return sizes, [products.e, *(products.rest[b.slice] for b in layout.rest)]

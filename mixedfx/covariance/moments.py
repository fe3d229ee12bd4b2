"""Where the search for a gaussian model's covariances begins: moments, then each factor alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from mixedfx.covariance.average_information import maximise
from mixedfx.covariance.gaussian import GaussianProblem
from mixedfx.covariance.one_factor import OneFactor
from mixedfx.covariance.parameters import Covariances, ParameterSpace
from mixedfx.linalg.layout import Block

Floats = NDArray[np.float64]

LEAST_SHARE = 0.01
"""Of the variance of the residuals that each coefficient is given at the start, so that it can be seen to matter."""
ENOUGH, MOST_STEPS = 0.01, 10
"""Gain in log-likelihood with which a factor alone is near enough, and steps it may take."""


def rough_estimates(problem: GaussianProblem, *, related: bool = False) -> Covariances:
    """Covariances near enough to begin with: of each factor by the likelihood of a model that has it alone.

    There the other factors are noise, which costs little where each level meets many of theirs. Every coefficient is
    left some variance, so that it can be seen to matter. `related`: variances of models in which all coefficients of a
    factor have covariances, whatever the formula says.
    """
    square, n = float(problem.weights @ problem.y**2), len(problem.y)
    matrices, explained, left = [], [], []
    sums = {block.name: (A, c) for block, A, c in _level_sums(problem)}
    for term, start in zip(problem.space.terms, _moments(problem), strict=True):
        own = replace(term, free=np.ones_like(term.free)) if related else term
        space = ParameterSpace.of((own,))
        alone = OneFactor(space, *sums[term.name], square, n)
        size = alone.A.sum(axis=0) / n
        sigma2 = max(square / n - float(np.sum(size * start)), 0.1 * square / n)
        found = maximise(
            alone.at(Covariances((start,), sigma2)), space, tol=ENOUGH, max_iterations=MOST_STEPS
        )
        least = LEAST_SHARE * square / n / np.maximum(np.diag(size), np.finfo(float).tiny)
        matrices.append(_inside(np.where(term.free, found.at.point.matrices[0], 0.0), least))
        explained.append(float(np.sum(size * matrices[-1])))
        left.append(found.at.point.sigma2)
    # What a factor alone leaves holds the others' share too.
    sigma2 = min(own - (sum(explained) - e) for own, e in zip(left, explained, strict=True))
    return Covariances(tuple(matrices), max(sigma2, 0.1 * square / n))


def equal_shares(problem: GaussianProblem) -> Covariances:
    """Each coefficient, and the residual, with an equal share of the variance: another place to begin."""
    square = float(problem.weights @ problem.y**2) / len(problem.y)
    sizes = {block.name: np.einsum("jaa->a", A) / len(problem.y) for block, A, _ in _level_sums(problem)}
    share = square / (1 + sum(len(size) for size in sizes.values()))
    by_name = {name: np.diag(share / size) for name, size in sizes.items()}
    return Covariances(tuple(by_name[term.name] for term in problem.space.terms), share)


def _inside(S: Floats, least: Floats) -> Floats:
    """Variances raised to `least` (q,), and correlations drawn in where they are all but perfect."""
    raised = S + np.diag(np.maximum(least - np.diag(S), 0.0))
    scale = np.sqrt(np.diag(raised))
    if np.linalg.eigvalsh(raised / np.outer(scale, scale))[0] < LEAST_SHARE:
        raised = 0.9 * raised + 0.1 * np.diag(np.diag(raised))
    return raised


def _moments(problem: GaussianProblem) -> tuple[Floats, ...]:
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
    sums = _level_sums(problem)
    sizes = [np.einsum("jaa->a", A) for _, A, _ in sums]
    observed = [(c**2).sum(axis=0) for _, _, c in sums]
    size = np.maximum(np.concatenate(sizes), np.finfo(float).tiny)
    system = np.block([[cross.squared_norms(), size[:, None]], [size[None, :], np.array([[float(n)]])]])
    units = n / np.append(size, n)
    found, _ = nnls(system * units[:, None], np.concatenate([*observed, [total]]) * units)
    largest = total / size
    variances = np.clip(found[:-1], LEAST_SHARE * largest, largest)
    ends = np.cumsum([block.q for block in layout.blocks])[:-1]
    by_name = dict(zip((b.name for b in layout.blocks), np.split(variances, ends), strict=True))
    return tuple(np.diag(by_name[term.name]) for term in problem.space.terms)


def _level_sums(problem: GaussianProblem) -> list[tuple[Block, Floats, Floats]]:
    """Every factor, in the order of the layout, with Z_j' W Z_j (J, q, q) and Z_j' W r (J, q) of its levels."""
    layout, products = problem.layout, problem.response_products
    of_rest = [products.rest[b.slice].reshape(b.n_levels, b.q) for b in layout.rest]
    blocks = problem.cross.blocks
    squares, sums = [blocks.e, *blocks.rest], [products.e[:, :, 0], *of_rest]
    return list(zip(layout.blocks, squares, sums, strict=True))

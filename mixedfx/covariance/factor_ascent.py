"""Where steps in the covariances crawl: quasi-Newton steps in factors Sigma_k = L_k L_k' of the rank that they have.

At a singular optimum the likelihood falls away from the boundary at first order, so that moving along the boundary,
which is curved, costs what its curvature takes: with d loglik = tr(S dSigma) and Sigma = L L',

    -d2 loglik = dphi' Q dphi - 2 tr(S dL dL'),    dphi the entries of L dL' + dL L'

The second term is known from the score. Average information stands for Q as elsewhere; how the gradient changed over
the steps corrects both (BFGS), which in these coordinates, without a boundary in reach, ends superlinearly. Whether a
further direction should vary is not asked here: the steps in the covariances that follow do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedfx.covariance.likelihood_point import LikelihoodPoint, moved
from mixedfx.covariance.parameters import Covariances, ParameterSpace
from mixedfx.covariance.semidefinite import SIGMA2_SHRINK

Floats = NDArray[np.float64]

LEAST_PIVOT = 1e-12
"""Of a coefficient's variance that its factor's earlier columns leave: less is rounding."""
FLAT = 1e-8
"""Curvature, beside that of the average information, below which a direction counts as having so much."""
SHORTEST = 1e-6
"""Part of a step that is tried last."""


@dataclass(frozen=True, eq=False)
class Ascent[P: LikelihoodPoint]:
    """Where the steps ended, how many there were, and the likelihoods they took."""

    at: P
    steps: int
    evaluations: int


@dataclass(frozen=True, eq=False)
class RankCoordinates:
    """Coordinates of vectors whose Sigma_k have the present rank: entries of L_k, then what is no covariance.

    Attributes
    ----------
    start
        Factors at the point of departure, (q, r) each, echelon in the order of their pivots.
    entries
        (term, row, column) of each coordinate.
    others
        Positions in the vector of the further coordinates.
    """

    space: ParameterSpace
    start: tuple[Floats, ...]
    entries: tuple[tuple[int, int, int], ...]
    others: NDArray[np.int64]

    @classmethod
    def at(cls, space: ParameterSpace, vector: Floats, *, with_sigma: bool) -> RankCoordinates:
        point = space.point(vector[: space.size])
        factors, entries = [], []
        for k, (term, S) in enumerate(zip(space.terms, point.matrices, strict=True)):
            L, order = pivoted_factor(S)
            factors.append(L)
            for j in range(L.shape[1]):
                entries += [(k, int(i), j) for i in order[j:] if term.free[i, order[j]]]
        others = np.arange(space.size - with_sigma, len(vector))
        return cls(space, tuple(factors), tuple(entries), others)

    def of(self, vector: Floats) -> Floats:
        """The start in these coordinates; `vector` is the point it was made at."""
        own = [self.start[k][i, j] for k, i, j in self.entries]
        return np.concatenate([own, vector[self.others]])

    def factors(self, theta: Floats) -> tuple[Floats, ...]:
        """L_k at some coordinates."""
        factors = tuple(np.zeros_like(L) for L in self.start)
        for value, (k, i, j) in zip(theta, self.entries, strict=False):
            factors[k][i, j] = value
        return factors

    def vector(self, theta: Floats, like: Floats) -> Floats:
        """The vector at some coordinates; what they do not say is as in `like`."""
        vector = like.copy()
        vector[self.others] = theta[len(self.entries) :]
        matrices = tuple(L @ L.T for L in self.factors(theta))
        n = self.space.size
        vector[: n - 1] = self.space.vector(Covariances(matrices, 1.0))[:-1]
        return vector

    def jacobian(self, theta: Floats, size: int) -> Floats:
        """d vector / d theta, shape (size, n)."""
        factors, n = self.factors(theta), len(self.entries)
        J = np.zeros((size, len(theta)))
        for a, (k, i, j) in enumerate(self.entries):
            change = [np.zeros((len(L), len(L))) for L in factors]
            change[k][i] += factors[k][:, j]
            change[k][:, i] += factors[k][:, j]
            J[: self.space.size - 1, a] = self.space.vector(Covariances(tuple(change), 0.0))[:-1]
        J[self.others, n + np.arange(len(self.others))] = 1.0
        return J

    def bend(self, gradient: Floats) -> Floats:
        """tr(S dL dL') as a quadratic form in the coordinates, times 2, shape (n, n)."""
        scores = self.space.point(gradient[: self.space.size]).matrices
        out = np.zeros((len(self.entries) + len(self.others),) * 2)
        for a, (k, i, j) in enumerate(self.entries):
            for b, (other, m, column) in enumerate(self.entries):
                if (k, j) == (other, column):
                    # A covariance's score counts both of its entries.
                    out[a, b] = scores[k][i, m] * (2.0 if i == m else 1.0)
        return out


def pivoted_factor(S: Floats) -> tuple[Floats, list[int]]:
    """L, shape (q, r), with L L' = S of rank r, largest pivots first, and the order of the rows as pivots."""
    rest, size = S.copy(), np.maximum(np.diag(S), np.finfo(float).tiny)
    order, columns = list(range(len(S))), []
    for j in range(len(S)):
        best = max(range(j, len(S)), key=lambda m: rest[order[m], order[m]] / size[order[m]])
        order[j], order[best] = order[best], order[j]
        pivot = rest[order[j], order[j]]
        if pivot <= LEAST_PIVOT * size[order[j]]:
            break
        column = rest[:, order[j]] / np.sqrt(pivot)
        column[order[:j]] = 0.0
        columns.append(column)
        rest = rest - np.outer(column, column)
    return np.array(columns).reshape(len(columns), len(S)).T, order


def ascend[P: LikelihoodPoint](
    start: P,
    space: ParameterSpace,
    *,
    with_sigma: bool,
    refuse: Callable[[Floats], None] | None,
    tol: float,
    max_steps: int,
) -> Ascent[P]:
    """Climb with the ranks as they are, until a further step promises less than `tol` in log-likelihood.

    Arguments as those of `mixedfx.covariance.average_information.maximise`.
    """
    here, vector, evaluations = start, start.vector, 0
    coordinates = RankCoordinates.at(space, vector, with_sigma=with_sigma)
    theta = coordinates.of(vector)
    changes: list[tuple[Floats, Floats]] = []
    before: tuple[Floats, Floats] | None = None
    for steps in range(max_steps):
        score = here.gradient()
        J = coordinates.jacobian(theta, len(vector))
        gradient = J.T @ score
        if before is not None:
            changes.append((theta - before[0], before[1] - gradient))
        before = theta, gradient
        known = J.T @ here.average_information() @ J
        step, gain = _step(gradient, known, known - coordinates.bend(score), changes)
        if gain <= tol:
            return Ascent(here, steps, evaluations)
        noise, t = 1e-12 * abs(here.loglik), 1.0
        while True:
            trial = theta + t * step
            target = coordinates.vector(trial, vector)
            there = None
            if not with_sigma or target[space.size - 1] > SIGMA2_SHRINK * vector[space.size - 1]:
                if refuse is not None:
                    refuse(target)
                there, evaluations = moved(here, target), evaluations + 1
            if there is not None and there.loglik >= here.loglik + 2e-4 * t * gain - noise:
                break
            if t < SHORTEST:
                return Ascent(here, steps, evaluations)
            t *= 0.5 if t == 1.0 else 0.25
        theta, vector, here = trial, target, there
    return Ascent(here, max_steps, evaluations)


def _step(
    gradient: Floats, known: Floats, model: Floats, changes: list[tuple[Floats, Floats]]
) -> tuple[Floats, float]:
    """Newton's step and half its squared decrement, curvature that is not positive made so."""
    size = np.maximum(np.diag(known), np.abs(np.diag(model)))
    unit = 1.0 / np.sqrt(np.where(size > 0, size, 1.0))  # 0: the data say nothing of it
    values, vectors = np.linalg.eigh(model * np.outer(unit, unit))
    M = (vectors * np.maximum(np.abs(values), FLAT)) @ vectors.T
    for way, change in changes:
        s, y = way / unit, change * unit
        image = M @ s
        expected, observed = float(s @ image), float(s @ y)
        if observed > 1e-10 * np.linalg.norm(s) * np.linalg.norm(y):
            M = M - np.outer(image, image) / expected + np.outer(y, y) / observed
    step = np.linalg.solve(M, gradient * unit)
    return unit * step, 0.5 * float(gradient @ (unit * step))

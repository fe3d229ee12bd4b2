"""Adaptive importance sampling of a low-dimensional posterior, from multivariate t distributions.

The first proposal is a t around the mode. After each round its location and scale are moved to the weighted moments
of all draws so far. A scale that may be 0, though the mode has it above, can have a second rise of the density there,
which one t misses: a share of each round comes from a t around 0. In the end every draw is weighted against the
mixture of all proposals it could have come from (deterministic mixture weights; Owen & Zhou 2000; Cornuet et al.
2012), smoothed by PSIS (Vehtari et al. 2024, JMLR 25).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, logsumexp

Floats = NDArray[np.float64]

DF = 6.0
"""Degrees of freedom of the proposals: tails heavy enough for posteriors of logarithms of standard deviations."""
FEWEST_EVALUATIONS = 100
"""Below that the tail of the weights cannot be judged."""
REACH = 5.0
"""Distance from 0, in posterior standard deviations, from which a scale's other sign is out of reach."""
MOST_FOLDS = 6
"""Scales whose other sign is taken into account, the nearest to 0 first."""
COVERED = 1.5
"""Distance from 0 up to which the t around the mode covers 0 too."""
AROUND_ZERO = 0.2
"""Share of the draws from proposals around 0, where there are any."""
CORRELATION_SPREAD = 0.8
"""Of partial correlations (atanh) of which the data say nothing: somewhat more than under LKJ(2)."""
WIDER = 1.25
"""Factor on the scale of adapted proposals."""


@dataclass(frozen=True, eq=False)
class Proposal:
    """A multivariate t, folded: each draw stands for all its mirror images, among which the target cannot tell.

    Attributes
    ----------
    location, root
        Of the t, shape (d,) and (d, d).
    mirrors
        Signs of the images, shape (m, d), the first all 1.
    """

    location: Floats
    root: Floats
    mirrors: Floats

    def draw(self, n: int, rng: np.random.Generator) -> Floats:
        """Shape (n, d)."""
        d = len(self.location)
        normal = rng.standard_normal((n, d))
        return self.location + normal @ self.root.T * np.sqrt(DF / rng.chisquare(DF, n))[:, None]

    def log_density(self, x: Floats) -> Floats:
        """Shape (n,)."""
        return np.asarray(logsumexp([self._plain(signs * x) for signs in self.mirrors], axis=0))

    def _plain(self, x: Floats) -> Floats:
        d = len(self.location)
        z = np.linalg.solve(self.root, (x - self.location).T)
        constant = gammaln((DF + d) / 2) - gammaln(DF / 2) - 0.5 * d * np.log(DF * np.pi)
        constant -= np.linalg.slogdet(self.root)[1]
        return constant - 0.5 * (DF + d) * np.log1p((z**2).sum(axis=0) / DF)


@dataclass(frozen=True, eq=False)
class WeightedDraws:
    """What importance sampling gives.

    Attributes
    ----------
    draws
        Shape (n, d).
    log_density
        Of the target, shape (n,).
    weights
        Smoothed, with sum 1, shape (n,).
    pareto_k
        Shape of the weights' tail: above 0.7 they are not to be trusted.
    rounds
        Of proposals.
    interrupted
        Whether Ctrl-C ended the run; complete rounds count.
    """

    draws: Floats
    log_density: Floats
    weights: Floats
    pareto_k: float
    rounds: int
    interrupted: bool

    @property
    def kish(self) -> float:
        """1 / sum of squared weights."""
        return 1.0 / float((self.weights**2).sum())


def first_proposals(mode: Floats, root: Floats, flips: Floats) -> list[Proposal]:
    """A t around the mode, and one around 0 for each scale that may be 0.

    Parameters
    ----------
    mode, root
        Normal approximation, shape (d,) and (d, d).
    flips
        Shape (s, d): row i turns the sign of coordinate i, and of others with it, and leaves the target as it is.
    """
    spread = np.sqrt((root[: len(flips)] ** 2).sum(axis=1))
    distance = np.abs(mode[: len(flips)]) / spread
    near = [int(i) for i in np.argsort(distance)[:MOST_FOLDS] if distance[i] < REACH]
    images = np.ones((1, len(mode)))
    for i in near:
        images = np.concatenate([images, images * flips[i]])
    around = [_around_zero(mode, root, images, flips[i], i) for i in near if distance[i] > COVERED]
    return [Proposal(mode, root, images), *around]


def _around_zero(mode: Floats, root: Floats, images: Floats, signs: Floats, scale: int) -> Proposal:
    """Around 0 in one scale and its partial correlations, independent of the others there."""
    turned = signs < 0
    covariance = root @ root.T
    covariance[turned] = covariance[:, turned] = 0.0
    covariance[turned, turned] = CORRELATION_SPREAD**2
    covariance[scale, scale] = (0.5 * mode[scale]) ** 2
    return Proposal(np.where(turned, 0.0, mode), np.linalg.cholesky(covariance), images)


def round_sizes(d: int, most: int) -> list[int]:
    """Draws of each round: small ones first, to adapt to."""
    sizes: list[int] = []
    size = max(100, 8 * d)
    while sum(sizes) < most:
        sizes.append(min(size, most - sum(sizes)))
        size = min(2 * size, 800)
    return sizes


def sample_importance(
    first: Sequence[Proposal],
    flips: Floats,
    evaluate: Callable[[Floats], Floats],
    *,
    most: int,
    enough: Callable[[Floats, Floats], bool],
    rng: np.random.Generator,
) -> WeightedDraws:
    """Rounds of proposals until `enough` says so, or `most` evaluations; Ctrl-C leaves the complete rounds.

    Parameters
    ----------
    first
        The proposals of the first round, of which the first one is adapted afterwards.
    flips
        See `first_proposals`.
    evaluate
        Log densities (n,) of draws (n, d).
    most
        Evaluations at most.
    enough
        Called with draws and normalised weights after each round.
    """
    main, *others = first
    proposals: list[Proposal] = []
    sizes: list[int] = []
    draws, density = np.empty((0, len(main.location))), np.empty(0)
    weights, k, rounds, interrupted = np.empty(0), np.inf, 0, False
    for size in round_sizes(len(main.location), most):
        each = round(AROUND_ZERO * size / len(others)) if others else 0
        now = [(main, size - each * len(others)), *((other, each) for other in others)]
        new = upright(np.concatenate([proposal.draw(n, rng) for proposal, n in now]), flips)
        try:
            values = evaluate(new)
        except KeyboardInterrupt:
            if not rounds:
                raise
            interrupted = True
            break
        proposals += [proposal for proposal, _ in now]
        sizes += [n for _, n in now]
        draws, density, rounds = np.concatenate([draws, new]), np.concatenate([density, values]), rounds + 1
        weights, k = _weights(draws, density, proposals, sizes)
        if enough(draws, weights):
            break
        main = _adapted(first[0], draws, weights)
    return WeightedDraws(draws, density, weights, k, rounds, interrupted)


def upright(draws: Floats, flips: Floats) -> Floats:
    """The images of draws (n, d) whose first coordinates are not below 0."""
    out = draws.copy()
    for i, signs in enumerate(flips):
        below = out[:, i] < 0
        out[below] *= signs
    return out


def smoothed(log_weights: Floats) -> tuple[Floats, float]:
    """(normalised weights after Pareto smoothing, Pareto k)."""
    from arviz_stats.base.array import array_stats

    finite = np.where(np.isfinite(log_weights), log_weights, -1e10)
    values, k = array_stats.psislw(-(finite - finite.max()))
    log = np.asarray(values) - np.asarray(logsumexp(np.asarray(values)))
    return np.exp(log), float(np.asarray(k))


def _weights(
    draws: Floats, density: Floats, proposals: list[Proposal], sizes: list[int]
) -> tuple[Floats, float]:
    share = np.array(sizes) / sum(sizes)
    mixture = logsumexp([p.log_density(draws) for p in proposals], axis=0, b=share[:, None])
    return smoothed(density - np.asarray(mixture))


def _adapted(first: Proposal, draws: Floats, weights: Floats) -> Proposal:
    """Weighted moments; the first proposal's scale counts as much as d draws."""
    d = draws.shape[1]
    effective = 1.0 / float((weights**2).sum())
    mean = weights @ draws
    off = draws - mean
    covariance = (weights[:, None] * off).T @ off * (DF - 2) / DF * WIDER**2
    prior = first.root @ first.root.T
    covariance = (effective * covariance + d * prior) / (effective + d)
    return Proposal(mean, np.linalg.cholesky(covariance), first.mirrors)

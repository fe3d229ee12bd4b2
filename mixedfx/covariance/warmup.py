"""Warm-up of several chains together: after each window of iterations all go on with what all have learned.

The masses come from the positions and gradients of all chains, the step size is the geometric mean of theirs. So
windows can be short, and no chain goes on with an unlucky step size of its own. Warm-up ends when the chains agree.

The inverse mass of a coordinate is sd(position) / sd(gradient): its variance where the posterior is normal, however few
the draws are, since both deviate alike (nutpie's choice: of all diagonal metrics the one with the least Fisher
divergence).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FIRST_WINDOWS: tuple[int, ...] = (50, 50, 100, 100)
"""Iterations before the chains are compared: they find their way, then learn masses twice; the last window is for the
step size."""
AGREED = 1.05
"""Split R-hat of every quantity in a window at which chains have arrived, as far as so few draws can tell."""
BOUNDS = 1e-3, 1e3
"""Of what a window may change in an inverse mass, as a factor."""


@dataclass(frozen=True, eq=False)
class Moments:
    """Means and variances of positions and of gradients over one chain's window, shape (d,) each."""

    position: Floats
    position_variance: Floats
    gradient: Floats
    gradient_variance: Floats


def windows(warmup: int) -> list[int]:
    """Lengths of the windows, `warmup` iterations together: the first ones, shorter if need be, then each as long as
    all before it."""
    first = sum(FIRST_WINDOWS)
    if warmup < first:
        ends = np.rint(np.cumsum(FIRST_WINDOWS) * warmup / first).astype(int)
        return [int(n) for n in np.diff(ends, prepend=0) if n]
    lengths = list(FIRST_WINDOWS)
    while sum(lengths) < warmup:
        lengths.append(min(sum(lengths), warmup - sum(lengths)))
    return lengths


def pooled_inverse_mass(chains: Sequence[Moments], before: Floats) -> Floats:
    """Inverse masses, shape (d,), from windows of equal length; those `before` where nothing moved."""
    positions = _pooled_variance([(m.position, m.position_variance) for m in chains])
    gradients = _pooled_variance([(m.gradient, m.gradient_variance) for m in chains])
    usable = (positions > 0) & (gradients > 0) & np.isfinite(positions) & np.isfinite(gradients)
    ratio = np.sqrt(np.where(usable, positions, 1.0) / np.where(usable, gradients, 1.0))
    return np.where(usable, np.clip(ratio, BOUNDS[0] * before, BOUNDS[1] * before), before)


def agree(quantities: Sequence[Floats]) -> bool:
    """Whether split R-hat of each quantity, shape (chains, draws), is at most `AGREED`."""
    return all(_split_r_hat(x) <= AGREED for x in quantities)


def _pooled_variance(chains: Sequence[tuple[Floats, Floats]]) -> Floats:
    """Around the mean of all."""
    return np.mean([v for _, v in chains], axis=0) + np.var([m for m, _ in chains], axis=0)


def _split_r_hat(x: Floats) -> float:
    """Of draws (chains, draws); of each chain's halves."""
    n = x.shape[1] // 2
    halves = np.concatenate([x[:, :n], x[:, -n:]])
    within = halves.var(axis=1, ddof=1).mean()
    between = halves.mean(axis=1).var(ddof=1)
    return float(np.sqrt((n - 1) / n + between / within)) if within > 0 else np.inf

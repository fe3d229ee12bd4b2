"""Random sets of levels (or rows), for one replicate after the other, and in proportion to classes of activity."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

CLASSES = 10
"""Classes of activity that `stratify` draws from in proportion: about equally many levels each."""


def random_sets(
    n_items: int,
    n: int,
    rng: np.random.Generator,
    *,
    replicates: int = 1,
    counts: NDArray[np.int64] | None = None,
) -> Iterator[NDArray[np.int64]]:
    """Positions of `n` of `n_items`, for each replicate.

    Replicates have nothing in common while there are enough items; where fewer than `n` are left that none had, all
    are drawn from again.

    Parameters
    ----------
    n_items, n
        How many there are and how many each replicate takes.
    rng
        The first replicate is what ``rng.choice`` would draw.
    counts
        Rows of each item, shape (n_items,), to draw in proportion within classes of them; None draws from all alike.
        Each item is equally likely either way.
    """
    left = np.arange(n_items)
    for _ in range(replicates):
        if len(left) < n:
            left = np.arange(n_items)
        chosen = (
            rng.choice(len(left), size=n, replace=False)
            if counts is None
            else _stratified(counts[left], n, rng)
        )
        yield left[chosen]
        left = np.delete(left, chosen)


def _stratified(counts: NDArray[np.int64], n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """One draw; a class's share is rounded up or down at random, so that each item has probability n / len(counts)."""
    order = rng.permutation(len(counts))  # equal counts fall into classes at random
    order = order[np.argsort(counts[order], kind="stable")]
    edges = np.linspace(0, len(counts), min(CLASSES, len(counts)) + 1).round().astype(int)
    wanted = edges * (n / len(counts))
    wanted[-1] = n
    # Systematic sampling: between two edges lie as many of the points u, u + 1, ... as are drawn from that class.
    taken = np.floor(wanted + rng.random())
    taken[0], taken[-1] = 0, n
    sizes = np.diff(taken).astype(int)
    parts = [
        order[start + rng.choice(stop - start, size=size, replace=False)]
        for start, stop, size in zip(edges[:-1], edges[1:], sizes, strict=True)
    ]
    return np.concatenate(parts)

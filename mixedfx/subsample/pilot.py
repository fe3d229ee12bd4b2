"""How reliable a level is, before anything is fitted: a moment estimate of each factor's share in the variance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mixedfx.grouping import Grouping

LEAST_RATIO = 0.01
"""Below it, moments of a factor that hardly varies are mostly noise."""


def variance_ratios(
    y: NDArray[np.float64], weights: NDArray[np.float64], groupings: Sequence[Grouping]
) -> dict[str, float]:
    """Variance between the levels of each factor over the variance of a row within them, by moments.

    Parameters
    ----------
    y
        The response, shape (N,); classes by their numbers.
    weights
        Shape (N,): precisions, or trials. Frequencies are taken for these, which makes the ratio too small.
    groupings
        The factors.

    Returns
    -------
    dict
        Factor -> ratio, at least 0.01, for rows of average weight.

    Notes
    -----
    The one-way analysis of variance for unequal numbers of rows (Henderson's first method): what crossed factors
    and the fixed effects explain counts as variance within the levels, so that the ratio comes out too small, and a
    plan that rests on it too large. What a factor explains in which this one is nested counts as variance between its
    levels: that ratio is too large. On the response's scale: for binary and count responses a level's reliability,
    n ratio / (1 + n ratio), is to first order the same there as on the scale of the linear predictor.

    Examples
    --------
    >>> import pandas as pd
    >>> rng = np.random.default_rng(0)
    >>> g = Grouping("g", np.repeat(np.arange(500, dtype=np.int32), 20), pd.RangeIndex(500))
    >>> y = rng.normal(0, 0.5, 500)[g.codes] + rng.normal(0, 1.0, 10_000)
    >>> round(variance_ratios(y, np.ones(10_000), [g])["g"], 2)  # 0.25, with 500 levels to 7 %
    0.27
    """
    weights = weights / weights.mean()
    total = weights.sum()
    y = y - weights @ y / total
    squares = weights @ y**2
    ratios = {}
    for grouping in groupings:
        J = grouping.n_levels
        W = np.bincount(grouping.codes, weights, minlength=J)
        sums = np.bincount(grouping.codes, weights * y, minlength=J)
        between = np.sum(sums**2 / W)
        within = (squares - between) / max(len(y) - J, 1)
        spread = (between - (J - 1) * within) / (total - np.sum(W**2) / total)
        ratios[grouping.name] = float(max(spread / within, LEAST_RATIO)) if within > 0 else 1 / LEAST_RATIO
    return ratios

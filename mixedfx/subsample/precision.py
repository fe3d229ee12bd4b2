"""Sizes of subsamples from a wanted standard error of the variances.

With J independent levels of n_j rows, and `ratio` the variance between levels over that of a row within them,

    (relative standard error)^2 = 2 / sum_j reliability_j^2,    reliability_j = n_j ratio / (1 + n_j ratio),

the sampling variance of a variance in the balanced one-way model, level by level (Searle, Casella & McCulloch 1992,
Variance Components, chapter 6); the other factors count as known.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mixedfx.errors import SubsampleWarning
from mixedfx.grouping import Grouping

DEFAULT_RATIO = 0.1
"""Variance between the levels over that within, where nothing is known of the response."""


def relative_se(counts: NDArray[np.floating] | NDArray[np.int64], ratio: float, n_levels: float) -> float:
    """Relative standard error of a factor's variance from `n_levels` random levels with so many rows each."""
    reliability = counts * ratio / (1 + counts * ratio)
    return math.sqrt(2 / (n_levels * float(np.mean(reliability**2))))


def levels_for(grouping: Grouping, ratio: float, target: float) -> int:
    """How many levels, with all their rows, bring the relative standard error to `target`; J where all do not."""
    J = grouping.n_levels
    needed = J * (relative_se(grouping.counts(), ratio, J) / target) ** 2
    return min(max(math.ceil(needed), 2), J)


def reachable(groupings: Sequence[Grouping], ratios: Mapping[str, float], target: float) -> list[Grouping]:
    """The factors whose variances all rows tell so precisely.

    Warns
    -----
    SubsampleWarning
        For the others, with what is best for them.
    """
    reached = []
    for grouping in groupings:
        best = relative_se(grouping.counts(), ratios[grouping.name], grouping.n_levels)
        if best <= target:
            reached.append(grouping)
        else:
            warnings.warn(
                f"target_se={target:g} is out of reach for factor '{grouping.name}': from all of its "
                f"{grouping.n_levels:,} levels the relative standard error of its variance is about {best:.2g}; the "
                "size is planned for the other factors",
                SubsampleWarning,
                stacklevel=5,
            )
    return reached


def share_for(
    groupings: Sequence[Grouping],
    ratios: Mapping[str, float],
    target: float,
    *,
    levels: Callable[[float], float],
    rows: Callable[[float], float],
) -> float:
    """The smallest share of the data that reaches `target` for all of these factors, 1 where there are none.

    `levels` and `rows` say what share of a factor's levels is taken, and of such a level's rows.
    """
    if not groupings:
        return 1.0

    def enough(share: float) -> bool:
        return all(
            relative_se(g.counts() * rows(share), ratios[g.name], g.n_levels * levels(share)) <= target
            for g in groupings
        )

    low, high = 0.0, 1.0
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high

"""Which levels the frozen covariances shrink too much, or too little: those with few rows first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

CLASSES = 10
"""Of levels by their number of rows, with as many levels each."""
FEWEST = 5
"""Levels of a class."""
NOTEWORTHY = 0.05
"""Relative change of a class's conditional modes from which on its shrinkage was wrong."""


@dataclass(frozen=True)
class Shrinkage:
    """Levels whose coefficient was shrunk wrongly.

    Attributes
    ----------
    coefficient
        Its name.
    below
        Levels with fewer rows than this; None: all levels.
    change
        Relative change of their conditional modes with the covariances of all rows: above 0 where they were shrunk too
        much.
    """

    coefficient: str
    below: int | None
    change: float

    def __str__(self) -> str:
        levels = "of all levels" if self.below is None else f"of levels with under {self.below:,} rows"
        how = "too much" if self.change > 0 else "too little"
        return f"{self.coefficient} {levels} is shrunk {how}, by {abs(self.change):.0%}"


def wrong_shrinkage(
    frozen: Floats, refined: Floats, counts: NDArray[np.integer], names: Sequence[str]
) -> tuple[Shrinkage, ...]:
    """One for each coefficient of a factor that has such levels.

    Parameters
    ----------
    frozen, refined
        Conditional modes at the frozen covariances and at those of all rows, shape (J, q).
    counts
        Rows of the levels, shape (J,).
    names
        Of the coefficients.

    Notes
    -----
    A level with n rows keeps the share n r / (1 + n r) of what its rows say, r being its variance over that of a row.
    Another r changes that share by a factor that goes to 1 with n, so that levels in the order of their rows are looked
    at up to the first class in which it makes no difference. The factor is the slope of refined on frozen modes through
    the origin.
    """
    order = np.argsort(counts, kind="stable")
    classes = np.array_split(order, max(min(CLASSES, len(order) // FEWEST), 1))
    found = []
    for i, name in enumerate(names):
        affected: list[NDArray[np.intp]] = []
        for own in classes:
            change = _change(frozen[own, i], refined[own, i])
            sign = _change(frozen[classes[0], i], refined[classes[0], i])
            if abs(change) < NOTEWORTHY or change * sign < 0:
                break
            affected.append(own)
        if affected:
            levels = np.concatenate(affected)
            below = None if len(levels) == len(order) else int(counts[levels].max()) + 1
            found.append(Shrinkage(name, below, _change(frozen[levels, i], refined[levels, i])))
    return tuple(found)


def _change(frozen: Floats, refined: Floats) -> float:
    size = float(frozen @ frozen)
    return float(refined @ frozen) / size - 1.0 if size > 0 else 0.0

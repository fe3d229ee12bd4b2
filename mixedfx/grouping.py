"""A grouping factor: which level each row belongs to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Grouping:
    """Level codes of the rows and the labels of the levels.

    Attributes
    ----------
    name
        The factor's name as lme4 writes it: ``"user"``, ``"cask:batch"``.
    codes
        int32, shape (N,); the position in `levels` of each row's level, or -1 where the level is unknown
        (only in data encoded for prediction).
    levels
        Labels in their original dtype, shape (J,), in R's order (sorted, or the order of the categories).
    """

    name: str
    codes: NDArray[np.int32]
    levels: pd.Index

    @property
    def n_levels(self) -> int:
        return len(self.levels)

    def take(self, rows: NDArray[np.int64]) -> Grouping:
        """The grouping of some rows; levels without any are left out."""
        present, codes = np.unique(self.codes[rows], return_inverse=True)
        return Grouping(self.name, codes.astype(np.int32), self.levels[present])

    def slice(self, rows: slice) -> Grouping:
        """The grouping of neighbouring rows, as a view; all levels stay."""
        return Grouping(self.name, self.codes[rows], self.levels)

    def counts(self) -> NDArray[np.int64]:
        """Rows of each level, shape (J,)."""
        return np.bincount(self.codes[self.codes >= 0], minlength=self.n_levels)

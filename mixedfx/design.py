"""A model's data, encoded: response, weights and predictors, with the specification that made them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.formula.spec import DesignSpec
from mixedfx.predictors import Predictors


@dataclass(frozen=True, eq=False)
class Design:
    """What both stages fit.

    Attributes
    ----------
    y
        float64, shape (N,): the response; category numbers 0..M-1 for ordinal families, 0/1 for bernoulli.
    weights
        float64, shape (N,), positive: precision (gaussian), trials (binomial) or frequency (others).
    predictors
        Features, fixed columns, random terms, offset.
    spec
        Encodes new data in the same way.
    """

    y: NDArray[np.float64]
    weights: NDArray[np.float64]
    predictors: Predictors
    spec: DesignSpec

    @property
    def n_rows(self) -> int:
        return len(self.y)

    @property
    def response_levels(self) -> pd.Index | None:
        """Labels of the response's categories, where it has categories."""
        return self.spec.response_levels

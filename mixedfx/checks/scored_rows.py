"""Observed rows that predictions are held against: which can be, and how well a prediction does on them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import logsumexp
from scipy.stats import norm, rankdata

from mixedfx.families import Family
from mixedfx.formula.missing import missing_rows
from mixedfx.frames import read_columns

if TYPE_CHECKING:
    from mixedfx.coefficients.result import CoefficientsResult

Floats = NDArray[np.float64]

ROWS = 20_000
"""Of more rows a random sample of this size is looked at."""
NODES = 31
"""Gauss-Hermite nodes for the mean of a density over a normal linear predictor."""


def scorable_sample(coef: CoefficientsResult, data: object) -> tuple[pd.DataFrame, int]:
    """Rows that stage 2 can predict and that have a response, and how many it cannot for want of a category.

    Rows with missing values are left out; of more than `ROWS` a random sample is taken.
    """
    spec = coef.spec
    weights = () if spec.weights_column is None else (spec.weights_column,)
    frame = read_columns(data, (*spec.parsed.response_columns, *spec.columns, *weights))
    missing = missing_rows(frame)[0]
    if missing.any():
        frame = frame.loc[~missing]
    known = spec.known_categories(frame)
    left_out = int(np.count_nonzero(~known))
    if left_out:
        frame = frame.loc[known]
    if len(frame) > ROWS:
        frame = frame.iloc[np.sort(np.random.default_rng(0).choice(len(frame), ROWS, replace=False))]
    return frame, left_out


@dataclass(frozen=True, eq=False)
class Prediction:
    """A normal linear predictor of each row, and what the density needs besides.

    Attributes
    ----------
    mean, variance
        Of eta, shape (N,).
    auxiliary
        sigma^2, thresholds, or None; see `mixedfx.families.base.Family`.
    """

    mean: Floats
    variance: Floats
    auxiliary: object


@dataclass(frozen=True, eq=False)
class ScoredRows:
    """Observed rows, and scores of predictions of them.

    Attributes
    ----------
    family
        Their distribution given eta.
    y, weights
        Shape (N,).
    """

    family: Family
    y: Floats
    weights: Floats

    def log_scores(self, prediction: Prediction) -> Floats:
        """Log predictive density of each row, shape (N,)."""
        if self.family.name == "gaussian":
            sigma2 = prediction.auxiliary
            assert isinstance(sigma2, float)
            return norm.logpdf(self.y, prediction.mean, np.sqrt(prediction.variance + sigma2 / self.weights))
        logs = [
            -self.weights * self.family.loss(self.y, eta, prediction.auxiliary) for eta in _nodes(prediction)
        ]
        constant = self.family.log_constant(self.y, self.weights) / len(self.y)
        return np.asarray(logsumexp(logs, axis=0, b=_node_weights()[:, None])) + constant

    def means(self, prediction: Prediction) -> Floats:
        """Predictive mean of each row, shape (N,)."""
        means = np.array([self.family.mean(eta, prediction.auxiliary) for eta in _nodes(prediction)])
        return _node_weights() @ means

    def mean_squared_error(self, means: Floats) -> float:
        """Weighted mean of (y - mean)^2."""
        return float(np.average((self.y - means) ** 2, weights=self.weights))

    def auc(self, means: Floats) -> float:
        """Share of pairs of a success and a failure that the means put in order; NaN where one outcome lacks."""
        success = self.y > 0
        n1, n0 = int(success.sum()), int((~success).sum())
        if not n1 or not n0:
            return float("nan")
        return float((rankdata(means)[success].sum() - n1 * (n1 + 1) / 2) / (n1 * n0))


def _nodes(prediction: Prediction) -> Iterator[Floats]:
    nodes, _ = np.polynomial.hermite_e.hermegauss(NODES)
    return (prediction.mean + np.sqrt(prediction.variance) * node for node in nodes)


def _node_weights() -> Floats:
    _, weights = np.polynomial.hermite_e.hermegauss(NODES)
    return weights / weights.sum()

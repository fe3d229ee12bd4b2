"""Proportions of successes, logit link; the weights are the numbers of trials, as in R."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from scipy.special import expit, gammaln

from mixedfx.errors import DataError
from mixedfx.families.base import Array, Derivatives, Family
from mixedfx.families.bernoulli import Bernoulli

_LOGISTIC = Bernoulli()


class Binomial(Family):
    name: ClassVar[str] = "binomial"
    hessian_bound: ClassVar[float | None] = 0.25
    compiled_kind: ClassVar[int] = 1  # a trial's loss is bernoulli's, averaged over successes and failures

    def check_values(self, y: Array, name: str) -> None:
        bad = y[(y < 0) | (y > 1)]
        if bad.size:
            raise DataError(
                f"response '{name}' must hold proportions from 0 to 1 for family 'binomial', but holds {bad[0]:g}; "
                "divide successes by trials, and pass the trials as weights"
            )

    def check_response(self, y: Array, name: str) -> None:
        self.check_values(y, name)
        if np.ptp(y) == 0 and y[0] in (0.0, 1.0):
            raise DataError(f"response '{name}' is always {y[0]:g}; a logistic model needs both outcomes")

    def loss(self, y: Array, eta: Array, auxiliary: object = None) -> Array:
        return _LOGISTIC.loss(y, eta, auxiliary)

    def derivatives(self, y: Array, eta: Array, auxiliary: object = None) -> Derivatives:
        return _LOGISTIC.derivatives(y, eta, auxiliary)

    def log_constant(self, y: Array, weights: Array) -> float:
        """sum log binom(n, n y)."""
        successes = weights * y
        return float(np.sum(gammaln(weights + 1) - gammaln(successes + 1) - gammaln(weights - successes + 1)))

    def mean(self, eta: Array, auxiliary: object = None) -> Array:
        return _LOGISTIC.mean(eta, auxiliary)

    def start_eta(self, mean: float) -> float:
        return _LOGISTIC.start_eta(mean)

    def sample(
        self,
        eta: Array,
        rng: np.random.Generator,
        auxiliary: object = None,  # noqa: ARG002
        weights: Array | None = None,
    ) -> Array:
        trials = np.ones_like(eta) if weights is None else weights
        return rng.binomial(trials.astype(int), expit(eta)) / trials

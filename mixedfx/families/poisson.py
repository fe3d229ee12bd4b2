"""Counts, log link."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from scipy.special import gammaln

from mixedfx.errors import DataError
from mixedfx.families.base import Array, Derivatives, Family


class Poisson(Family):
    name: ClassVar[str] = "poisson"
    compiled_kind: ClassVar[int] = 2

    def check_values(self, y: Array, name: str) -> None:
        bad = y[(y < 0) | (y != np.floor(y))]
        if bad.size:
            raise DataError(
                f"response '{name}' must hold counts 0, 1, 2, ... for family 'poisson', but holds {bad[0]:g}; for "
                "rates model the counts and put offset(log(exposure)) into the formula"
            )

    def check_response(self, y: Array, name: str) -> None:
        self.check_values(y, name)
        if not y.any():
            raise DataError(f"response '{name}' is always 0; a Poisson model needs counts above 0")

    def loss(self, y: Array, eta: Array, auxiliary: object = None) -> Array:  # noqa: ARG002
        with np.errstate(
            over="ignore"
        ):  # an eta that overflows is a trial step, refused for its infinite loss
            return np.exp(eta) - y * eta + gammaln(y + 1)

    def derivatives(self, y: Array, eta: Array, auxiliary: object = None) -> Derivatives:  # noqa: ARG002
        mean = np.exp(eta)
        return Derivatives(mean - y, mean, mean)

    def mean(self, eta: Array, auxiliary: object = None) -> Array:  # noqa: ARG002
        return np.exp(eta)

    def loss_constant(self, y: Array, weights: Array, sigma2: float) -> float:  # noqa: ARG002
        """sum w log y!."""
        factorials = gammaln(y + 1.0)
        return float(weights @ factorials if len(weights) else factorials.sum())

    def start_eta(self, mean: float) -> float:
        return float(np.log(mean))

    def sample(
        self,
        eta: Array,
        rng: np.random.Generator,
        auxiliary: object = None,  # noqa: ARG002
        weights: Array | None = None,  # noqa: ARG002
    ) -> Array:
        return rng.poisson(np.exp(eta)).astype(float)

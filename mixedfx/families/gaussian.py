"""Normal responses, identity link; `auxiliary` is sigma^2."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from mixedfx.errors import DataError
from mixedfx.families.base import Array, Derivatives, Family

_LARGEST = 1e75
"""Squares of sums of squares are computed of responses; they must neither overflow nor vanish."""


class Gaussian(Family):
    name: ClassVar[str] = "gaussian"
    has_sigma: ClassVar[bool] = True
    compiled_kind: ClassVar[int] = 0

    def check_values(self, y: Array, name: str) -> None:
        """Every finite number is possible."""

    def check_response(self, y: Array, name: str) -> None:
        if y.size > 1 and np.ptp(y) == 0:
            raise DataError(
                f"response '{name}' is constant ({y[0]:g}), so there is no variance to explain; "
                "check that the right column is on the left of '~'"
            )
        size = np.max(np.abs(y))
        if size > _LARGEST or 0 < np.ptp(y) < 1 / _LARGEST:
            raise DataError(
                f"response '{name}' reaches {size:.3g}, whose square is beyond what numbers can hold to full accuracy; "
                "divide it by its standard deviation"
            )

    def loss(self, y: Array, eta: Array, auxiliary: object = None) -> Array:
        sigma2 = _sigma2(auxiliary)
        return 0.5 * ((y - eta) ** 2 / sigma2 + np.log(2 * np.pi * sigma2))

    def derivatives(self, y: Array, eta: Array, auxiliary: object = None) -> Derivatives:
        sigma2 = _sigma2(auxiliary)
        return Derivatives((eta - y) / sigma2, np.full_like(eta, 1 / sigma2), np.zeros_like(eta))

    def mean(self, eta: Array, auxiliary: object = None) -> Array:  # noqa: ARG002
        return eta

    def loss_constant(self, y: Array, weights: Array, sigma2: float) -> float:
        total = float(weights.sum()) if len(weights) else len(y)
        return 0.5 * total * float(np.log(2 * np.pi * sigma2))

    def start_eta(self, mean: float) -> float:
        return mean

    def sample(
        self, eta: Array, rng: np.random.Generator, auxiliary: object = None, weights: Array | None = None
    ) -> Array:
        precision = 1.0 if weights is None else weights
        return eta + rng.standard_normal(eta.shape) * np.sqrt(_sigma2(auxiliary) / precision)


def _sigma2(auxiliary: object) -> float:
    if not isinstance(auxiliary, float | int):
        raise TypeError("the gaussian family needs sigma^2 as its auxiliary parameter")
    return float(auxiliary)

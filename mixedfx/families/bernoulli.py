"""Binary responses, logit link."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from scipy.special import expit, logit

from mixedfx.errors import DataError
from mixedfx.families.base import Array, Derivatives, Family


class Bernoulli(Family):
    name: ClassVar[str] = "bernoulli"
    has_classes: ClassVar[bool] = True
    hessian_bound: ClassVar[float | None] = 0.25
    compiled_kind: ClassVar[int] = 1

    def check_values(self, y: Array, name: str) -> None:
        if not np.isin(y, (0.0, 1.0)).all():
            bad = y[~np.isin(y, (0.0, 1.0))][0]
            raise DataError(
                f"response '{name}' must be 0/1, boolean or have two levels for family 'bernoulli', but holds "
                f"{bad:g}; for proportions use family='binomial' with weights= the trials"
            )

    def check_response(self, y: Array, name: str) -> None:
        self.check_values(y, name)
        if np.ptp(y) == 0:
            raise DataError(f"response '{name}' is always {y[0]:g}; a logistic model needs both outcomes")

    def loss(self, y: Array, eta: Array, auxiliary: object = None) -> Array:  # noqa: ARG002
        return np.logaddexp(0.0, eta) - y * eta

    def derivatives(self, y: Array, eta: Array, auxiliary: object = None) -> Derivatives:  # noqa: ARG002
        p = expit(eta)
        # expit(-eta), not 1 - p: the latter is 0 for eta > 37, and a weight of exactly 0 would lose the row.
        d2 = p * expit(-eta)
        return Derivatives(p - y, d2, d2 * (1 - 2 * p))

    def mean(self, eta: Array, auxiliary: object = None) -> Array:  # noqa: ARG002
        return expit(eta)

    def start_eta(self, mean: float) -> float:
        return float(logit(np.clip(mean, 1e-6, 1 - 1e-6)))

    def sample(
        self,
        eta: Array,
        rng: np.random.Generator,
        auxiliary: object = None,  # noqa: ARG002
        weights: Array | None = None,  # noqa: ARG002
    ) -> Array:
        return (rng.random(eta.shape) < expit(eta)).astype(float)

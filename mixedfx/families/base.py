"""What a response distribution must provide: the negative log density of a row and its derivatives in eta."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Derivatives(NamedTuple):
    """First, second and third derivative of l(y, eta) in eta, each of shape (N,)."""

    d1: Array
    d2: Array
    d3: Array


class Family(ABC):
    """A response distribution with its canonical link; l = -log p(y | eta), weights left to the caller.

    `auxiliary` is what the density needs besides eta: sigma^2 (gaussian), the thresholds (cumulative), else None.
    """

    name: ClassVar[str]
    has_sigma: ClassVar[bool] = False
    """Whether the family has a residual variance, which VarCorr then carries."""
    has_thresholds: ClassVar[bool] = False
    """Whether thresholds take the place of the intercept."""
    has_classes: ClassVar[bool] = False
    """Whether the response is a class, numbered 0, 1, ...: a small integer holds it."""
    hessian_bound: ClassVar[float | None] = None
    """The supremum of l'' over eta where it is finite (Boehning & Lindsay 1988), for fixed-Hessian solvers."""
    compiled_kind: ClassVar[int]
    """The family's number in `mixedfx.families.compiled`."""

    @abstractmethod
    def check_values(self, y: Array, name: str) -> None:
        """Raise `DataError` naming column `name` where a value of `y` is outside the family's range."""

    @abstractmethod
    def check_response(self, y: Array, name: str) -> None:
        """`check_values`, and raise `DataError` where `y` as a whole says nothing, as a constant does."""

    @abstractmethod
    def loss(self, y: Array, eta: Array, auxiliary: object = None) -> Array:
        """l(y, eta), shape (N,), with all constants that do not depend on the weights."""

    @abstractmethod
    def derivatives(self, y: Array, eta: Array, auxiliary: object = None) -> Derivatives:
        """Derivatives of l in eta."""

    def log_constant(self, y: Array, weights: Array) -> float:  # noqa: ARG002
        """What ``-sum w l`` lacks of the log density because it depends on the weights."""
        return 0.0

    def loss_constant(self, y: Array, weights: Array, sigma2: float) -> float:  # noqa: ARG002
        """What of ``sum w l`` does not depend on eta and thresholds; empty `weights` are all 1."""
        return 0.0

    @abstractmethod
    def mean(self, eta: Array, auxiliary: object = None) -> Array:
        """E[y | eta], the inverse link."""

    @abstractmethod
    def start_eta(self, mean: float) -> float:
        """A constant eta to start from: the link of a mean response."""

    @abstractmethod
    def sample(
        self, eta: Array, rng: np.random.Generator, auxiliary: object = None, weights: Array | None = None
    ) -> Array:
        """Draws of y given eta, for simulation and predictive checks."""

"""What a search for a maximum sees of a likelihood: one point, and how to get to another."""

from __future__ import annotations

from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from mixedfx.errors import ConvergenceError

Floats = NDArray[np.float64]


class LikelihoodPoint(Protocol):
    """A log-likelihood at one point, with what a step from it needs."""

    @property
    def vector(self) -> Floats:
        """The point: entries of the parameter space, and behind them those of unconstrained parameters, (n,)."""
        ...

    def move(self, vector: Floats) -> Self:
        """The same likelihood at another point."""
        ...

    @property
    def loglik(self) -> float:
        """Value, with all constants."""
        ...

    def gradient(self) -> Floats:
        """d loglik/d vector, shape (n,)."""
        ...

    def average_information(self) -> Floats:
        """Positive semidefinite stand-in for minus the Hessian, shape (n, n)."""
        ...


def moved[P: LikelihoodPoint](here: P, vector: Floats) -> P | None:
    """The likelihood at `vector`, or None where it can't be computed: the step was too long."""
    try:
        there = here.move(vector)
        return there if np.isfinite(there.loglik) else None
    except (ConvergenceError, np.linalg.LinAlgError):
        return None

"""Where stage 2 does its work on the rows: compiled loops on the CPU's threads, or an accelerator by JAX."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from mixedfx.errors import SettingError
from mixedfx.linalg.intercept_operator import row_operator
from mixedfx.linalg.layout import RowLayout
from mixedfx.linalg.operator import RowOperator

if TYPE_CHECKING:
    from mixedfx.coefficients.level_solver import SolvedLevels
    from mixedfx.coefficients.problem import Point, Problem

BACKENDS = ("auto", "numba", "jax")
ROWS_FOR_AN_ACCELERATOR = 1_000_000
"""Below so many rows compiling for an accelerator takes longer than the CPU needs for the whole fit."""


class Backend(Protocol):
    """What the choice of hardware decides."""

    @property
    def name(self) -> str:
        """As `estimate_coefficients` knows it."""
        ...

    def operator(self, layout: RowLayout) -> RowOperator:
        """Products with the rows."""
        ...

    def solve_levels(self, problem: Problem, start: Point, alpha: NDArray[np.float64]) -> SolvedLevels:
        """Minimise F over the eliminated coefficients at ``start.rest`` and thresholds `alpha`, from ``start.e``."""
        ...


@dataclass(frozen=True)
class NumbaBackend:
    """Loops compiled by Numba, on the CPU."""

    name: str = "numba"

    def operator(self, layout: RowLayout) -> RowOperator:
        return row_operator(layout)

    def solve_levels(self, problem: Problem, start: Point, alpha: NDArray[np.float64]) -> SolvedLevels:
        from mixedfx.coefficients.level_solver import solve_levels

        return solve_levels(problem, start, alpha)


@dataclass(frozen=True)
class JaxBackend:
    """Array programs compiled by XLA, on JAX's default device."""

    name: str = "jax"

    def operator(self, layout: RowLayout) -> RowOperator:
        from mixedfx.linalg.jax_operator import JaxOperator

        return JaxOperator(layout)

    def solve_levels(self, problem: Problem, start: Point, alpha: NDArray[np.float64]) -> SolvedLevels:
        from mixedfx.coefficients.jax_level_solver import solve_levels

        return solve_levels(problem, start, alpha)


NUMBA: Backend = NumbaBackend()


def choose_backend(name: str, n_rows: int) -> Backend:
    """The backend of that name; "auto" is JAX for many rows where it has an accelerator, else Numba.

    Examples
    --------
    >>> choose_backend("auto", 1000).name
    'numba'
    """
    check_backend(name)
    if name == "jax" or (name == "auto" and n_rows >= ROWS_FOR_AN_ACCELERATOR and has_accelerator()):
        return JaxBackend()
    return NUMBA


def check_backend(name: str) -> None:
    """Raise `SettingError` where there is no backend of that name."""
    if name not in BACKENDS:
        raise SettingError(f"unknown backend {name!r}; known backends: {', '.join(BACKENDS)}")


def has_accelerator() -> bool:
    """Whether JAX computes on a GPU or TPU by default.

    JAX finds these by plug-ins. Where none is installed the answer takes milliseconds, without loading JAX, which takes
    about a second.
    """
    plugins = importlib.metadata.entry_points(group="jax_plugins")
    if not (plugins or importlib.util.find_spec("jax_plugins") or importlib.util.find_spec("libtpu")):
        return False
    import jax

    return jax.default_backend() in ("gpu", "tpu")

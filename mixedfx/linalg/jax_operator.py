"""`RowOperator` on an accelerator: the rows lie on JAX's default device, and XLA compiles the products."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from mixedfx.linalg import jax_kernels as kernels
from mixedfx.linalg.curvature import Curvature
from mixedfx.linalg.jax_kernels import DeviceCurvature, Pairs
from mixedfx.linalg.jax_rows import DeviceCopies, DeviceRows, device_rows
from mixedfx.linalg.layout import RowLayout
from mixedfx.linalg.leverages import LeverageSums, LeverageWeights
from mixedfx.linalg.operator import DiagonalBlocks, NumbaOperator, Parts
from mixedfx.linalg.sorting import sorted_rows

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class JaxOperator:
    """`RowOperator` by JAX, in double precision: one algorithm for GPUs, TPUs and CPUs.

    Rows are copied to the device once, weights of rows once for each curvature; a product moves no more than vectors of
    coefficients. Results are NumPy arrays. `dense_reduced` and `level_quadratic`, which gather dense matrices level
    by level, and `leverage_sums` are left to `NumbaOperator` on the CPU. On a GPU sums are taken in no fixed order, so
    that last digits can differ from one call to the next.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from mixedfx.design import build_design
    >>> from mixedfx.linalg.layout import arrange
    >>> data = pd.DataFrame({"y": [1.0, 2.0, 4.0], "g": list("aab"), "h": list("uvv")})
    >>> operator = JaxOperator(arrange(build_design("y ~ 1 + (1 | g) + (1 | h)", data).predictors))
    >>> operator.rmatvec(np.ones((3, 1))).rest.ravel()  # rows of u and v, and of beta
    array([1., 2., 3.])
    """

    layout: RowLayout

    @cached_property
    def rows(self) -> DeviceRows:
        """The rows on the device."""
        with jax.enable_x64(True):
            return device_rows(self.layout)

    @cached_property
    def copies(self) -> DeviceCopies:
        """What else was copied to the device: weights and other long vectors."""
        return DeviceCopies()

    @cached_property
    def pairs(self) -> tuple[Pairs, ...]:
        """Pairs of levels for each remaining factor."""
        return tuple(_pairs(self.layout, k) for k in range(len(self.layout.rest)))

    @cached_property
    def on_cpu(self) -> NumbaOperator:
        """The same rows for what is done on the CPU."""
        return NumbaOperator(self.layout)

    def matvec(self, parts: Parts) -> Floats:
        return self._call(kernels.matvec, parts.e, parts.rest)

    def rmatvec(self, rows: Floats) -> Parts:
        return Parts(*self._call(kernels.rmatvec, rows))

    def diagonal_blocks(self, omega: Floats) -> DiagonalBlocks:
        return DiagonalBlocks(*self._call(kernels.diagonal_blocks, omega))

    def cross(self, curvature: Curvature, blocks: Floats, e: Floats) -> Floats:  # noqa: ARG002
        return self._call(kernels.cross, self._weights(curvature), e)

    def reduced_product(
        self,
        curvature: Curvature,
        blocks: Floats,  # noqa: ARG002
        M: Floats,
        v: Floats,
    ) -> Floats:
        return self._call(kernels.reduced_product, self._weights(curvature), self._copy(M), v)

    def reduced_blocks(self, curvature: Curvature, M: Floats, rest: tuple[Floats, ...]) -> tuple[Floats, ...]:
        weights = self._weights(curvature)
        shares = self._call(kernels.eliminated_share, self.pairs, weights.omega, self._copy(M))
        return tuple(own - share for own, share in zip(rest, shares, strict=True))

    def level_sums(self, curvature: Curvature, blocks: Floats, v: Floats) -> Floats:  # noqa: ARG002
        return self._call(kernels.level_sums, self._weights(curvature), v)

    def noise(self, curvature: Curvature, seed: int, m: int) -> Parts:
        order = self._copy(self.layout.order)
        return Parts(*self._call(kernels.noise, self._weights(curvature), order, np.uint64(seed), m=m))

    def dense_reduced(self, omega: Floats, M: Floats) -> Floats:
        """By `NumbaOperator`."""
        return self.on_cpu.dense_reduced(omega, M)

    def leverage_sums(
        self, M: Floats, e: Floats, v: Floats, weights: LeverageWeights, m: int
    ) -> LeverageSums:
        """By `NumbaOperator`."""
        return self.on_cpu.leverage_sums(M, e, v, weights, m)

    def level_quadratic(self, omega: Floats, H: Floats) -> Floats:
        """By `NumbaOperator`."""
        return self.on_cpu.level_quadratic(omega, H)

    def _weights(self, curvature: Curvature) -> DeviceCurvature:
        omega = self._copy(curvature.omega)
        if not curvature.has_thresholds:
            return DeviceCurvature(omega, None, None)
        return DeviceCurvature(omega, self._copy(curvature.upper), self._copy(curvature.category))

    def _copy(self, host: NDArray) -> jax.Array:
        with jax.enable_x64(True):
            return self.copies.of(host)

    def _call(self, kernel: Callable[..., Any], *arguments: Any, **settings: int) -> Any:
        # The setting belongs to a thread, and is the caller's again afterwards.
        with jax.enable_x64(True):
            return jax.tree.map(np.array, kernel(self.rows, *arguments, **settings))


def _pairs(layout: RowLayout, k: int) -> Pairs:
    """Number the pairs with the k-th remaining factor, in time proportional to rows plus levels."""
    level, code = layout.level_codes(layout.eliminated.name), layout.codes[k]
    order = sorted_rows((level, layout.n_levels), (code, layout.rest[k].n_levels))
    is_first = np.ones(len(order), dtype=np.bool_)
    is_first[1:] = (np.diff(level[order]) != 0) | (np.diff(code[order]) != 0)
    of_row = np.empty(len(order), dtype=np.int32)
    of_row[order] = np.cumsum(is_first, dtype=np.int32) - 1
    firsts = order[is_first]
    return Pairs(jnp.asarray(of_row), jnp.asarray(level[firsts]), jnp.asarray(code[firsts]))

"""Sorted rows on an accelerator: how linear forms are gathered and scattered by XLA, for all rows at once.

The counterpart of `mixedfx.linalg.rows`. A row's values are never laid out side by side: each feature is read where it
is stored, by row or by level, inside the compiled loop that needs it.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from mixedfx.linalg.layout import RowLayout
from mixedfx.predictors import CONSTANT

Place = tuple[int, int]
"""Where a feature is: (0, its row of `values`), (1 + k, its column of the k-th table), or `ONE`."""
ONE: Place = (-1, 0)


class Factor(NamedTuple):
    """A factor's number of levels, and where the features of its coefficients are."""

    n_levels: int
    places: tuple[Place, ...]


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["level", "codes", "values", "tables"],
    meta_fields=["eliminated", "rest", "fixed", "n_thresholds"],
)
@dataclass(frozen=True, eq=False)
class DeviceRows:
    """A layout's arrays on the device; what it says of their shapes is compiled into the functions that read them.

    Attributes
    ----------
    level
        int32, shape (N,), rising: the eliminated factor's level of each row.
    codes
        int32, (N,) a remaining factor: its level of each row.
    values, tables
        Those of `RowFeatures`.
    eliminated, rest
        The factors.
    fixed
        Where the features of X are.
    n_thresholds
        Thresholds that are unknowns.
    """

    level: jax.Array
    codes: tuple[jax.Array, ...]
    values: jax.Array
    tables: tuple[jax.Array, ...]
    eliminated: Factor
    rest: tuple[Factor, ...]
    fixed: tuple[Place, ...]
    n_thresholds: int

    def times(self, place: Place, s: jax.Array) -> jax.Array:
        """A feature times s, shape (N,) or (N, m), or (1, m) for all rows alike."""
        if place == ONE:
            return s
        source, at = place
        if source == 0:
            z = self.values[at].astype(s.dtype)
        else:
            z = self.tables[source - 1][:, at][self.level if source == 1 else self.codes[source - 2]]
        return z * s if s.ndim == 1 else z[:, None] * s

    def rest_form(self, v: jax.Array) -> jax.Array:
        """D_o v, shape (N, m); v (n_rest, m), of which thresholds are left out."""
        m, at = v.shape[1], 0
        form = jnp.zeros((len(self.level), m), dtype=v.dtype)
        for code, factor in zip(self.codes, self.rest, strict=True):
            size = factor.n_levels * len(factor.places)
            levels = v[at : at + size].reshape(factor.n_levels, len(factor.places), m)
            for i, place in enumerate(factor.places):
                form += self.times(place, levels[:, i][code])
            at += size
        for i, place in enumerate(self.fixed):
            form += self.times(place, v[at + i][None, :])
        return form

    def rest_sums(self, s: jax.Array, into_alpha: jax.Array | None = None) -> jax.Array:
        """D_o' s, shape (n_rest, m), with `into_alpha` (thresholds, m) or 0 at the thresholds; s (N, m)."""
        m = s.shape[1]
        parts: list[jax.Array] = []
        for code, factor in zip(self.codes, self.rest, strict=True):
            sums = [jax.ops.segment_sum(self.times(p, s), code, factor.n_levels) for p in factor.places]
            parts.append(jnp.stack(sums, axis=1).reshape(factor.n_levels * len(factor.places), m))
        parts += [self.times(place, s).sum(axis=0)[None] for place in self.fixed]
        parts.append(jnp.zeros((self.n_thresholds, m), dtype=s.dtype) if into_alpha is None else into_alpha)
        return jnp.concatenate(parts)

    def level_form(self, e: jax.Array) -> jax.Array:
        """Z_e e, shape (N, m); e (J_e, q_e, m)."""
        terms = [self.times(p, e[:, i][self.level]) for i, p in enumerate(self.eliminated.places)]
        return sum(terms[1:], start=terms[0])

    def level_sums(self, s: jax.Array) -> jax.Array:
        """Z_e' s, shape (J_e, q_e, m); s (N, m)."""
        return jnp.stack([self.by_level(self.times(p, s)) for p in self.eliminated.places], axis=1)

    def level_blocks(self, w: jax.Array) -> jax.Array:
        """Z_j' W Z_j of the eliminated levels, shape (J_e, q_e, q_e); w (N,)."""
        return self._blocks(self.eliminated, self.level, w, is_sorted=True)

    def rest_blocks(self, w: jax.Array) -> tuple[jax.Array, ...]:
        """Z_j' W Z_j of the remaining factors' levels, (J_k, q_k, q_k) each; w (N,)."""
        return tuple(
            self._blocks(factor, code, w, is_sorted=False)
            for code, factor in zip(self.codes, self.rest, strict=True)
        )

    def by_level(self, s: jax.Array) -> jax.Array:
        """Sums over the rows of each eliminated level."""
        return jax.ops.segment_sum(s, self.level, self.eliminated.n_levels, indices_are_sorted=True)

    def _blocks(self, factor: Factor, code: jax.Array, w: jax.Array, *, is_sorted: bool) -> jax.Array:
        q = len(factor.places)
        sums: dict[tuple[int, int], jax.Array] = {}
        for i in range(q):
            for h in range(i + 1):
                products = self.times(factor.places[i], self.times(factor.places[h], w))
                sums[i, h] = sums[h, i] = jax.ops.segment_sum(
                    products, code, factor.n_levels, indices_are_sorted=is_sorted
                )
        return jnp.stack([jnp.stack([sums[i, h] for h in range(q)], axis=1) for i in range(q)], axis=1)


def device_rows(layout: RowLayout) -> DeviceRows:
    """A layout's arrays, copied to JAX's default device; to be called where 64-bit JAX is enabled."""
    features = layout.features
    places: list[Place] = [(0, i) for i in range(len(features.rows))]
    for k, table in enumerate(features.tables):
        places += [(1 + k, i) for i in range(table.shape[1])]

    def found(columns: NDArray[np.int32]) -> tuple[Place, ...]:
        return tuple(ONE if c == CONSTANT else places[features.position[c]] for c in columns.tolist())

    return DeviceRows(
        level=jnp.asarray(layout.level_codes(layout.eliminated.name)),
        codes=tuple(jnp.asarray(codes) for codes in layout.codes),
        values=jnp.asarray(features.rows),
        tables=tuple(jnp.asarray(table) for table in features.tables),
        eliminated=Factor(layout.n_levels, found(layout.eliminated.columns)),
        rest=tuple(Factor(block.n_levels, found(block.columns)) for block in layout.rest),
        fixed=found(layout.fixed_columns),
        n_thresholds=layout.n_thresholds,
    )


class DeviceCopies:
    """Copies of host arrays on the device, each kept while its original lives.

    Weights of rows are used by many products, and each crosses to the device once. Originals must not be changed: all
    that are kept here come from frozen dataclasses.
    """

    def __init__(self) -> None:
        self._copies: dict[int, jax.Array] = {}

    def of(self, host: NDArray) -> jax.Array:
        """The copy of `host`, made when first asked for; to be called where 64-bit JAX is enabled."""
        if id(host) not in self._copies:
            # A copy that shared the original's memory would keep it alive for ever.
            self.keep(host, jnp.array(host, copy=True))
        return self._copies[id(host)]

    def keep(self, host: NDArray, device: jax.Array) -> None:
        """Say that `device` holds what `host` holds."""
        self._copies[id(host)] = device
        weakref.finalize(host, self._copies.pop, id(host), None)

    def __len__(self) -> int:
        return len(self._copies)

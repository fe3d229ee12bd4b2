"""What `JaxOperator` does, compiled by XLA: functions of the rows on the device, as `RowOperator` describes them."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from mixedfx.linalg.jax_rows import DeviceRows

_STEP = 0x9E3779B97F4A7C15
_MIX_1 = 0xBF58476D1CE4E5B9
_MIX_2 = 0x94D049BB133111EB


class DeviceCurvature(NamedTuple):
    """`Curvature` on the device; `upper` and `category` are None without thresholds."""

    omega: jax.Array
    upper: jax.Array | None
    category: jax.Array | None


class Pairs(NamedTuple):
    """The pairs (level of the eliminated factor, level of another one) that occur.

    Attributes
    ----------
    of_row
        int32, shape (N,): the pair of each row.
    level, code
        int32, shape (P,): the pair's two levels.
    """

    of_row: jax.Array
    level: jax.Array
    code: jax.Array


@jax.jit
def matvec(rows: DeviceRows, e: jax.Array, v: jax.Array) -> jax.Array:
    """D (e, v), shape (N, m)."""
    return rows.level_form(e) + rows.rest_form(v)


@jax.jit
def rmatvec(rows: DeviceRows, s: jax.Array) -> tuple[jax.Array, jax.Array]:
    """D' s in its two parts."""
    return rows.level_sums(s), rows.rest_sums(s)


@jax.jit
def diagonal_blocks(rows: DeviceRows, omega: jax.Array) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    """Level by level blocks of D' W D."""
    w = omega.astype(float)
    return rows.level_blocks(w), rows.rest_blocks(w)


@jax.jit
def cross(rows: DeviceRows, curvature: DeviceCurvature, e: jax.Array) -> jax.Array:
    """D_o' W Z_e e, shape (n_rest, m)."""
    s, into_alpha = weigh(rows, curvature, rows.level_form(e), None)
    return rows.rest_sums(s, into_alpha)


@jax.jit
def level_sums(rows: DeviceRows, curvature: DeviceCurvature, v: jax.Array) -> jax.Array:
    """Z_e' W D_o v, shape (J_e, q_e, m)."""
    s, _ = weigh(rows, curvature, rows.rest_form(v), padded_alpha(rows, v))
    return rows.level_sums(s)


@jax.jit
def reduced_product(rows: DeviceRows, curvature: DeviceCurvature, M: jax.Array, v: jax.Array) -> jax.Array:
    """D_o' T_e D_o v, shape (n_rest, m)."""
    form, alpha = rows.rest_form(v), padded_alpha(rows, v)
    s, _ = weigh(rows, curvature, form, alpha)
    form -= rows.level_form(M @ rows.level_sums(s))
    s, into_alpha = weigh(rows, curvature, form, alpha)
    return rows.rest_sums(s, into_alpha)


@jax.jit
def eliminated_share(
    rows: DeviceRows, pairs: tuple[Pairs, ...], omega: jax.Array, M: jax.Array
) -> tuple[jax.Array, ...]:
    """sum_e B_je M_e B_je' of every level j of the remaining factors, (J_k, q_k, q_k) each.

    B_je = sum of omega z_k z_e' over the rows that have both levels: summed per pair first, because pairs repeat.
    """
    w, shares = omega.astype(float), []
    for own, factor in zip(pairs, rows.rest, strict=True):
        B = jnp.stack(
            [
                jnp.stack(
                    [
                        jax.ops.segment_sum(rows.times(one, rows.times(two, w)), own.of_row, len(own.level))
                        for two in rows.eliminated.places
                    ],
                    axis=1,
                )
                for one in factor.places
            ],
            axis=1,
        )
        share = B @ M[own.level] @ jnp.swapaxes(B, 1, 2)
        shares.append(jax.ops.segment_sum(share, own.code, factor.n_levels))
    return tuple(shares)


@partial(jax.jit, static_argnames="m")
def noise(
    rows: DeviceRows, curvature: DeviceCurvature, order: jax.Array, seed: jax.Array, m: int
) -> tuple[jax.Array, jax.Array]:
    """D' n for m columns of row noise n of covariance W: the very noise of `mixedfx.linalg.noise`."""
    state = _mixed(order.astype(jnp.uint64) * jnp.uint64(_STEP) + seed)
    white, state = _normal(state, m)
    omega = curvature.omega.astype(float)[:, None]
    if curvature.upper is None or curvature.category is None:
        s = jnp.sqrt(omega) * white
        return rows.level_sums(s), rows.rest_sums(s)
    more, _ = _normal(state, m)
    upper = curvature.upper.astype(float)[:, None]
    above, below = jnp.sqrt(upper) * white, jnp.sqrt(jnp.maximum(omega - upper, 0.0)) * more
    into_alpha = -between_categories(rows.n_thresholds, curvature.category, above, below)
    return rows.level_sums(above + below), rows.rest_sums(above + below, into_alpha)


def weigh(
    rows: DeviceRows, curvature: DeviceCurvature, form: jax.Array, alpha: jax.Array | None
) -> tuple[jax.Array, jax.Array | None]:
    """Weights times forms (N, m) less thresholds, and the thresholds' share (thresholds, m); see `Curvature`.

    `alpha`, shape (thresholds + 2, m), stands between two zeros; None is 0.
    """
    omega = curvature.omega.astype(float)[:, None]
    if curvature.upper is None or curvature.category is None:
        return omega * form, None
    upper = curvature.upper.astype(float)[:, None]
    category = curvature.category.astype(jnp.int32)
    above = upper * (form if alpha is None else form - alpha[category + 1])
    below = (omega - upper) * (form if alpha is None else form - alpha[category])
    return above + below, -between_categories(rows.n_thresholds, curvature.category, above, below)


def between_categories(n: int, category: jax.Array, above: jax.Array, below: jax.Array) -> jax.Array:
    """Sums by threshold, of n: `above` of the category below it, and `below` of the category above it.

    Categories are few, and scattering all rows to few places would make an accelerator's threads queue: so each
    category is a masked sum.
    """

    def sums(x: jax.Array) -> jax.Array:
        return jnp.stack(
            [
                jnp.sum(jnp.where(category == c if x.ndim == 1 else (category == c)[:, None], x, 0.0), axis=0)
                for c in range(n + 1)
            ]
        )

    return sums(above)[:-1] + sums(below)[1:]


def padded_alpha(rows: DeviceRows, v: jax.Array) -> jax.Array:
    """The thresholds' part of a rest vector between two zeros, shape (thresholds + 2, m)."""
    return jnp.pad(v[v.shape[0] - rows.n_thresholds :], ((1, 1), (0, 0)))


def _mixed(state: jax.Array) -> jax.Array:
    """The output function of SplitMix64 (Steele, Lea & Flood 2014)."""
    x = (state ^ (state >> jnp.uint64(30))) * jnp.uint64(_MIX_1)
    x = (x ^ (x >> jnp.uint64(27))) * jnp.uint64(_MIX_2)
    return x ^ (x >> jnp.uint64(31))


def _normal(state: jax.Array, m: int) -> tuple[jax.Array, jax.Array]:
    """Standard normal numbers (N, m) by Box and Muller's method, and the states after them."""
    steps = jnp.arange(1, m + m % 2 + 1, dtype=jnp.uint64) * jnp.uint64(_STEP)
    bits = (_mixed(state[:, None] + steps) >> jnp.uint64(11)).astype(float)
    first, second = (bits[:, 0::2] + 0.5) / 2.0**53, bits[:, 1::2] / 2.0**53
    radius, angle = jnp.sqrt(-2.0 * jnp.log(first)), 2.0 * jnp.pi * second
    both = jnp.stack([radius * jnp.cos(angle), radius * jnp.sin(angle)], axis=2)
    return both.reshape(len(state), -1)[:, :m], state + steps[-1]

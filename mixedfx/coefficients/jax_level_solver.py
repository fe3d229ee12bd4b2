"""The eliminated factor's levels solved by JAX, all at once: `level_solver` for accelerators.

Every level has its own Newton iteration with its own step halving, as `mixedfx.coefficients.projection_kernels`
describes it; an iteration evaluates all rows, at its last point where a level is settled. The last evaluation is thus
at every level's last point, and what is wanted of the rows there is taken from it.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from mixedfx.coefficients.level_solver import SINGLE_PRECISION_ROWS, SolvedLevels
from mixedfx.coefficients.problem import Point, Problem
from mixedfx.coefficients.projection_kernels import MOST_STEPS, SETTLED
from mixedfx.families.traced import RowTerms, row_terms
from mixedfx.linalg.jax_kernels import between_categories
from mixedfx.linalg.jax_operator import JaxOperator
from mixedfx.linalg.jax_rows import DeviceRows
from mixedfx.linalg.operator import DiagonalBlocks

Floats = NDArray[np.float64]

SHORTEST_STEP = 1e-12


class _Data(NamedTuple):
    """What the rows' losses depend on besides coefficients; None where the model has none."""

    y: jax.Array
    weights: jax.Array | None
    offset: jax.Array | None
    sigma2: float
    alpha: jax.Array | None


class _State(NamedTuple):
    """Newton's iteration of all levels.

    Attributes
    ----------
    point, step
        Last accepted coefficients in u and the step from there, shape (J, q).
    t
        Share of the step to try next, shape (J,).
    norm, decrement
        Squared length of the gradient, and squared Newton decrement, at `point`; shape (J,).
    inverse
        Of the Hessian at `point`, shape (J, q, q).
    settled
        Shape (J,): whether the level's last step needs no other look.
    terms
        Of the rows at the last evaluation, and of their losses the sum.
    iteration
        Evaluations so far.
    """

    point: jax.Array
    step: jax.Array
    t: jax.Array
    norm: jax.Array
    decrement: jax.Array
    inverse: jax.Array
    settled: jax.Array
    terms: RowTerms
    iteration: jax.Array


class _Solution(NamedTuple):
    """`SolvedLevels` on the device."""

    u: jax.Array
    M: jax.Array
    omega: jax.Array
    upper: jax.Array | None
    objective: jax.Array
    gradient: jax.Array
    own_blocks: jax.Array
    rest_blocks: tuple[jax.Array, ...]
    squares: jax.Array
    slopes: tuple[jax.Array, jax.Array] | None
    unsolved: jax.Array


def solve_levels(problem: Problem, start: Point, alpha: Floats) -> SolvedLevels:
    """Minimise F over the eliminated coefficients at ``start.rest`` and thresholds `alpha`, from ``start.e``."""
    operator, layout = problem.operator, problem.layout
    if not isinstance(operator, JaxOperator):
        raise TypeError(f"rows of {type(operator).__name__} are not on JAX's device")
    kind = np.float64 if layout.n_rows <= SINGLE_PRECISION_ROWS else np.float32
    v = problem.lambdas.rest_times(start.rest[:, None])
    with jax.enable_x64(True):
        copy = operator.copies.of
        data = _Data(
            copy(problem.y),
            copy(problem.weights) if len(problem.weights) else None,
            copy(problem.offset) if len(problem.offset) else None,
            problem.sigma2,
            jnp.array([-np.inf, *alpha, np.inf]) if len(alpha) else None,
        )
        device = _solve(
            operator.rows, problem.family.compiled_kind, kind, data, problem.lambdas.e, v, start.e
        )
        host = jax.tree.map(np.array, device)
        # The next products with these weights find them on the device.
        operator.copies.keep(host.omega, device.omega)
        operator.copies.keep(host.M, device.M)
        if device.upper is not None:
            operator.copies.keep(host.upper, device.upper)
    none = np.zeros(0)
    slope, bend = host.slopes or (none, none)
    return SolvedLevels(
        u=host.u,
        M=host.M,
        omega=host.omega,
        upper=np.zeros(0, dtype=kind) if host.upper is None else host.upper,
        objective=float(host.objective),
        gradient=host.gradient,
        blocks=DiagonalBlocks(host.own_blocks, host.rest_blocks),
        squares=host.squares,
        alpha_slope=slope,
        alpha_bend=bend,
        unsolved=float(host.unsolved),
    )


@partial(jax.jit, static_argnames=("kind", "precision"))
def _solve(
    rows: DeviceRows, kind: int, precision: type, data: _Data, Lambda: jax.Array, v: jax.Array, u: jax.Array
) -> _Solution:
    base = rows.rest_form(v)[:, 0]
    if data.offset is not None:
        base += data.offset

    def evaluate(point: jax.Array) -> RowTerms:
        eta = base + _row_sums(rows, point @ Lambda.T)
        return row_terms(kind, data.y, eta, data.sigma2, data.alpha).weighted(data.weights)

    def unfinished(state: _State) -> jax.Array:
        return (state.iteration < MOST_STEPS) & ~state.settled.all()

    def iterate(state: _State) -> _State:
        trial = jnp.where(state.settled[:, None], state.point, state.point + state.t[:, None] * state.step)
        terms = evaluate(trial)
        gradient = rows.level_sums(terms.d1[:, None])[:, :, 0] @ Lambda + trial
        norm = (gradient**2).sum(axis=1)
        taken = ((norm <= state.norm) & (norm < jnp.inf)) | (state.t <= SHORTEST_STEP)
        inverse = _inverse(Lambda.T @ rows.level_blocks(terms.d2) @ Lambda + jnp.eye(len(Lambda)))
        step = -(inverse @ gradient[:, :, None])[:, :, 0]
        decrement = -(step * gradient).sum(axis=1)
        return _State(
            point=jnp.where(taken[:, None], trial, state.point),
            step=jnp.where(taken[:, None], step, state.step),
            t=jnp.where(taken, 1.0, 0.5 * state.t),
            norm=jnp.where(taken, norm, state.norm),
            decrement=jnp.where(taken, decrement, state.decrement),
            inverse=jnp.where(taken[:, None, None], inverse, state.inverse),
            settled=state.settled | (taken & ~(decrement > SETTLED)),
            terms=terms._replace(loss=terms.loss.sum()),
            iteration=state.iteration + 1,
        )

    state = jax.lax.while_loop(unfinished, iterate, _first(u, base, data))
    terms = state.terms
    moved = _row_sums(rows, state.step @ Lambda.T)
    slopes = terms.d1 + terms.d2 * moved
    own_share = 0.5 * (state.point**2).sum() - 0.5 * state.decrement.sum()
    return _Solution(
        u=state.point + state.step,
        M=Lambda @ state.inverse @ Lambda.T,
        omega=terms.d2.astype(precision),
        upper=None if terms.bend_above is None else terms.bend_above.astype(precision),
        objective=terms.loss + own_share,
        gradient=rows.rest_sums(slopes[:, None])[:, 0],
        own_blocks=rows.level_blocks(terms.d2),
        rest_blocks=rows.rest_blocks(terms.d2),
        squares=jnp.array([rows.times(place, rows.times(place, terms.d2)).sum() for place in rows.fixed]),
        slopes=_threshold_slopes(data, terms, moved),
        unsolved=jnp.where(state.decrement > SETTLED, state.decrement, 0.0).max(),
    )


def _first(u: jax.Array, base: jax.Array, data: _Data) -> _State:
    """Before the first evaluation: a whole step from 0 to the start, so that a start that overflows is drawn to 0."""
    J, q = u.shape
    zero = jnp.zeros_like(base)
    by_threshold = None if data.alpha is None else zero
    return _State(
        point=jnp.zeros_like(u),
        step=u,
        t=jnp.ones(J),
        norm=jnp.full(J, jnp.inf),
        decrement=jnp.full(J, jnp.inf),
        inverse=jnp.zeros((J, q, q)),
        settled=jnp.zeros(J, dtype=bool),
        terms=RowTerms(jnp.zeros(()), zero, zero, by_threshold, by_threshold),
        iteration=jnp.zeros((), dtype=int),
    )


def _row_sums(rows: DeviceRows, b: jax.Array) -> jax.Array:
    """Z_e b, shape (N,); b (J, q)."""
    return rows.level_form(b[:, :, None])[:, 0]


def _inverse(H: jax.Array) -> jax.Array:
    """Of positive definite matrices (J, q, q)."""
    if H.shape[-1] == 1:
        return 1.0 / H
    identity = jnp.broadcast_to(jnp.eye(H.shape[-1]), H.shape)
    return jax.scipy.linalg.cho_solve((jnp.linalg.cholesky(H), True), identity)


def _threshold_slopes(data: _Data, terms: RowTerms, moved: jax.Array) -> tuple[jax.Array, jax.Array] | None:
    """The rows' first and second derivatives in the thresholds, after eta has `moved`."""
    if data.alpha is None or terms.above is None or terms.bend_above is None:
        return None
    n = len(data.alpha) - 2
    bend_below = terms.d2 - terms.bend_above
    above = -terms.above - terms.bend_above * moved
    below = terms.above - terms.d1 - bend_below * moved
    slope = between_categories(n, data.y, above, below)
    return slope, between_categories(n, data.y, terms.bend_above, bend_below)

"""One NUTS chain as compiled code: NumPyro's transition on a flat vector, in blocks, with our own adaptation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import NDArray
from numpyro.infer.hmc import hmc
from numpyro.infer.hmc_util import dual_averaging
from numpyro.infer.util import ParamInfo, constrain_fn, potential_energy

from mixedfx.covariance.mixed_model import ModelData, ModelSpec, mixed_model

Array = jax.Array
Floats = NDArray[np.float64]

BLOCK = 50
"""Iterations between two looks at progress and interruption; the draws of a block are all that JAX keeps."""
TARGET_ACCEPTANCE = 0.8
MANY, OF_MANY = 4000, 0.7
"""Coordinates from which on steps err by the sum of many small errors, and the acceptance to aim at then: 0.65 is best
there (Beskos et al. 2013, Bernoulli 19), more is safer where a few coordinates are curved."""
FIRST_ENERGY = 1e100

STATISTICS = ("lp", "acceptance_rate", "step_size", "tree_depth", "n_steps", "diverging", "energy")

ALONE = {"xla_cpu_multi_thread_eigen": False}
"""Each chain has a thread of its own: parallel work within it costs more than it saves."""

_average, _next_average = dual_averaging()


@dataclass(frozen=True)
class Sites:
    """How unconstrained sites lie in one vector: names and shapes, in order. One vector instead of many makes the
    tree of states cheaper to build, and to compile."""

    shapes: tuple[tuple[str, tuple[int, ...]], ...]

    @classmethod
    def of(cls, position: Mapping[str, Floats]) -> Sites:
        return cls(tuple((name, position[name].shape) for name in sorted(position)))

    @property
    def size(self) -> int:
        return sum(int(np.prod(shape)) for _, shape in self.shapes)

    def vector(self, values: Mapping[str, Floats]) -> Floats:
        """Shape (size,); 1 where there is no value for a site."""
        return np.concatenate(
            [np.asarray(values.get(name, np.ones(shape))).ravel() for name, shape in self.shapes]
        )

    def parts(self, vector: Array) -> dict[str, Array]:
        """Site -> values, of a vector (size,)."""
        out, at = {}, 0
        for name, shape in self.shapes:
            size = int(np.prod(shape))
            out[name] = vector[at : at + size].reshape(shape)
            at += size
        return out


class Tuning(NamedTuple):
    """What a chain learns in a window: the state of dual averaging; sums of z, z^2, gradient, gradient^2, (4, d)."""

    averaging: tuple[Any, ...]
    sums: Array

    @classmethod
    def fresh(cls, log_step: float, size: int) -> Tuning:
        """Before a window; the step size is drawn to exp(`log_step`) at first."""
        centre = jnp.asarray(log_step, float)
        return cls(_average(centre), jnp.zeros((4, size)))  # pyright: ignore[reportArgumentType]


class Programs(NamedTuple):
    """Compiled code.

    Attributes
    ----------
    start
        (position, inverse mass, step size, data, key) -> state of a chain.
    block
        (state, tuning, data, n, adapting) -> state and tuning after n iterations, at most `BLOCK`, and their draws:
        sites and `STATISTICS`, shape (BLOCK, ...).
    """

    start: Callable[..., Any]
    block: Callable[..., Any]


@lru_cache(maxsize=8)
def nuts_programs(spec: ModelSpec, sites: Sites, data_shapes: Any) -> Programs:
    """Trace and compile; kept, because a second run on a model of the same shape costs nothing then."""

    def potential(data: ModelData) -> Callable[[Array], Array]:
        return lambda z: jnp.asarray(potential_energy(mixed_model, (spec, data), {}, sites.parts(z)))

    target = OF_MANY if sites.size >= MANY else TARGET_ACCEPTANCE
    init, sample = hmc(potential_fn_gen=potential, algo="NUTS")

    def start(position: Array, inverse_mass: Array, step: Array, data: ModelData, key: Array) -> Any:
        # An energy that any other is below, and no gradient: the first transition leaves for whichever state it
        # meets, and that has both. Computing them here would compile the gradient, the costliest part of the
        # code, a second time.
        unknown = ParamInfo(position, jnp.asarray(FIRST_ENERGY), jnp.zeros_like(position))
        return init(
            unknown,
            num_warmup=0,
            step_size=step,  # pyright: ignore[reportArgumentType]
            inverse_mass_matrix=inverse_mass,
            adapt_step_size=False,
            adapt_mass_matrix=False,
            model_args=(data,),
            rng_key=key,
        )

    def emit(state: Any, data: ModelData) -> dict[str, Array]:
        values = constrain_fn(mixed_model, (spec, data), {}, sites.parts(state.z), return_deterministic=True)
        wanted = {
            n: v for n, v in values.items() if n in ("beta", "alpha", "sigma") or n.startswith("Sigma_")
        }
        levels = {f"b_{t.name}": values[f"b_{t.name}"].astype(jnp.float32) for t in spec.terms}
        depth = jnp.floor(jnp.log2(state.num_steps)).astype(jnp.int32) + 1
        own = (-state.potential_energy, state.accept_prob, state.adapt_state.step_size, depth)
        own = (*own, state.num_steps.astype(jnp.int32), state.diverging, state.energy)
        return wanted | levels | dict(zip(STATISTICS, own, strict=True))

    def block(state: Any, tuning: Tuning, data: ModelData, n: Array, adapting: Array) -> Any:
        shapes = jax.eval_shape(emit, state, data)
        buffer = {name: jnp.zeros((BLOCK, *s.shape), s.dtype) for name, s in shapes.items()}

        def step(i: Any, carry: Any) -> Any:
            state, tuning, out = carry
            state = sample(state, (data,), {})
            new = emit(state, data)
            averaging = _next_average(target - state.accept_prob, tuning.averaging)
            z, g = state.z, state.z_grad
            tuning = Tuning(averaging, tuning.sums + jnp.stack([z, z**2, g, g**2]))
            own = state.adapt_state
            step_size = jnp.where(adapting, jnp.exp(averaging[0]), own.step_size)
            state = state._replace(adapt_state=own._replace(step_size=step_size))
            return state, tuning, {name: out[name].at[i].set(new[name]) for name in out}

        return lax.fori_loop(0, n, step, (state, tuning, buffer))

    vector = jax.ShapeDtypeStruct((sites.size,), jnp.asarray(0.0).dtype)
    number, count = jax.ShapeDtypeStruct((), vector.dtype), jax.ShapeDtypeStruct((), jnp.asarray(0).dtype)
    data = struct(data_shapes)
    key = jax.eval_shape(lambda: jax.random.key(0))
    arguments = (vector, vector, number, data, key)
    state = jax.eval_shape(start, *arguments)
    tuning = jax.eval_shape(lambda: Tuning.fresh(0.0, sites.size))
    flag = jax.ShapeDtypeStruct((), jnp.asarray(True).dtype)
    return Programs(
        jax.jit(start).lower(*arguments).compile(ALONE),
        jax.jit(block).lower(state, tuning, data, count, flag).compile(ALONE),
    )


def retuned(state: Any, inverse_mass: Floats, step: float) -> Any:
    """A chain's state with another metric and step size."""
    root = jnp.sqrt(jnp.asarray(inverse_mass))
    return state._replace(
        adapt_state=state.adapt_state._replace(
            step_size=jnp.asarray(step, float),
            inverse_mass_matrix=jnp.asarray(inverse_mass),
            mass_matrix_sqrt=1.0 / root,
            mass_matrix_sqrt_inv=root,
        )
    )


def shapes(tree: Any) -> Any:
    """A hashable description of a tree of arrays."""
    leaves, structure = jax.tree.flatten(tree)
    return structure, tuple((leaf.shape, leaf.dtype) for leaf in leaves)


def struct(described: Any) -> Any:
    """The tree that `shapes` describes, without values."""
    structure, leaves = described
    return jax.tree.unflatten(structure, [jax.ShapeDtypeStruct(*leaf) for leaf in leaves])

"""Run NUTS chains: compiled once, each chain on a thread of its own, in short blocks of draws."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import NDArray
from numpyro.infer.hmc import hmc
from numpyro.infer.util import ParamInfo, constrain_fn, potential_energy

from mixedfx.covariance.mixed_model import ModelData, ModelSpec, mixed_model
from mixedfx.linalg.threads import usable_cores
from mixedfx.posterior_diagnostics import FEWEST_DRAWS
from mixedfx.progress import Report

Floats = NDArray[np.float64]

BLOCK = 50
"""Iterations between two looks at progress and interruption; the draws of a block are all that JAX keeps."""

TARGET_ACCEPTANCE = 0.8
FIRST_STEP = 0.25
FIRST_ENERGY = 1e100


class Programs(NamedTuple):
    """Compiled code: start(position, inverse_mass, data, key) -> state; block(state, data, n) -> state, draws."""

    start: Callable[..., Any]
    block: Callable[..., Any]


@dataclass(frozen=True, eq=False)
class Start:
    """Where a chain begins: unconstrained sites, and the diagonal inverse mass of some of them (the others 1)."""

    position: Mapping[str, Floats]
    inverse_mass: Mapping[str, Floats]


@dataclass(frozen=True, eq=False)
class Chains:
    """Draws after warm-up.

    Attributes
    ----------
    draws
        Site -> array (chains, draws, ...): beta, alpha, sigma, Sigma_<factor> (float64), b_<factor> (float32).
    statistics
        ArviZ's names of sample statistics -> array (chains, draws).
    warmup_steps
        Leapfrog steps of all warm-ups together.
    compile_seconds, seconds
        Time to compile (0 where the code was there already), and to sample, warm-up included.
    interrupted
        Whether Ctrl-C ended the run; the draws are those that every chain had by then.
    """

    draws: Mapping[str, NDArray[Any]]
    statistics: Mapping[str, NDArray[Any]]
    warmup_steps: int
    compile_seconds: float
    seconds: float
    interrupted: bool = False


def run_chains(
    spec: ModelSpec,
    data: ModelData,
    starts: list[Start],
    *,
    draws: int,
    warmup: int,
    seed: int,
    report: Report,
) -> Chains:
    """Sample one chain from each start; the same seed gives the same draws however many threads there are.

    Ctrl-C ends all chains after the block of draws they are at, and what every chain has is returned; before every
    chain has `FEWEST_DRAWS` draws it is raised.

    Must be called, like everything that makes `data`, where 64-bit JAX is enabled (``with jax.enable_x64(True)``).
    """
    began = time.perf_counter()
    programs = _programs(spec, warmup, _shapes(starts[0]), _shapes(data))
    compiled = time.perf_counter()
    keys = jax.random.split(jax.random.key(seed), len(starts))
    progress = _Progress(len(starts) * (warmup + draws))

    def sample(chain: int) -> tuple[dict[str, Any], int]:
        with jax.enable_x64(True):  # the setting belongs to a thread
            return _sample(programs, data, starts[chain], keys[chain], warmup, draws, progress)

    interrupted: KeyboardInterrupt | None = None
    with ThreadPoolExecutor(min(len(starts), usable_cores()), "mixedfx-nuts") as pool:
        chains = [pool.submit(sample, c) for c in range(len(starts))]
        try:
            waiting = set(chains)
            while waiting:
                done, waiting = wait(waiting, timeout=0.2, return_when=FIRST_COMPLETED)
                report("sampling", progress.done, progress.total, progress.note())
                for chain in done:
                    chain.result()
        except KeyboardInterrupt as error:
            interrupted = error
        finally:
            progress.stop.set()
    results = [chain.result() for chain in chains]
    length = min(len(next(iter(r[0].values()), ())) for r in results)
    if interrupted is not None and length < FEWEST_DRAWS:
        raise interrupted
    stacked = {name: np.stack([r[0][name][:length] for r in results]) for name in results[0][0]}
    statistics = {name: stacked.pop(name) for name in STATISTICS}
    warmup_steps, seconds = sum(r[1] for r in results), time.perf_counter() - compiled
    return Chains(stacked, statistics, warmup_steps, compiled - began, seconds, interrupted is not None)


class _Progress:
    """Counters that the chains' threads add to and the main thread shows."""

    def __init__(self, total: int) -> None:
        self.total, self.done, self.divergences = total, 0, 0
        self.began = time.perf_counter()
        self.stop = threading.Event()
        self._lock = threading.Lock()

    def note(self) -> str:
        """Divergences so far, and how long the rest will take."""
        left = (time.perf_counter() - self.began) * (self.total - self.done) / max(self.done, 1)
        return f"{self.divergences} divergences" + (f", {left:.0f} s left" if self.done else "")

    def add(self, iterations: int, divergences: int) -> None:
        with self._lock:
            self.done += iterations
            self.divergences += divergences


def _sample(
    programs: Programs,
    data: ModelData,
    start: Start,
    key: jax.Array,
    warmup: int,
    draws: int,
    progress: _Progress,
) -> tuple[dict[str, Any], int]:
    state = programs.start(*_jax(start), data, key)
    kept: list[dict[str, Any]] = []
    steps = 0
    for phase, length in (("warmup", warmup), ("draws", draws)):
        for first in range(0, length, BLOCK):
            if progress.stop.is_set():
                break
            n = min(BLOCK, length - first)
            state, out = programs.block(state, data, jnp.asarray(n))
            block = {name: np.asarray(values)[:n] for name, values in out.items()}
            if phase == "draws":
                kept.append(block)
            else:
                steps += int(block["n_steps"].sum())
            progress.add(n, int(block["diverging"].sum()) if phase == "draws" else 0)
    return {name: np.concatenate([block[name] for block in kept]) for name in (kept or [{}])[0]}, steps


STATISTICS = ("lp", "acceptance_rate", "step_size", "tree_depth", "n_steps", "diverging", "energy")


@lru_cache(maxsize=8)
def _programs(spec: ModelSpec, warmup: int, start_shapes: Any, data_shapes: Any) -> Programs:
    """Trace and compile; kept, because a second run on a model of the same shape costs nothing then."""
    potential = _potential(spec)
    init, sample = hmc(potential_fn_gen=potential, algo="NUTS")

    def start(position: Any, inverse_mass: Any, data: ModelData, key: jax.Array) -> Any:
        # An energy that any other is below, and no gradient: the first transition leaves for whichever state it
        # meets, and that has both. Computing them here would compile the gradient, the costliest part of the
        # code, a second time.
        unknown = ParamInfo(position, jnp.asarray(FIRST_ENERGY), jax.tree.map(jnp.zeros_like, position))
        return init(
            unknown,
            num_warmup=warmup,
            step_size=FIRST_STEP,
            inverse_mass_matrix={(name,): values for name, values in inverse_mass.items()},
            dense_mass=[],  # pyright: ignore[reportArgumentType]
            target_accept_prob=TARGET_ACCEPTANCE,
            model_args=(data,),
            rng_key=key,
        )

    def emit(state: Any, data: ModelData) -> dict[str, Any]:
        values = constrain_fn(mixed_model, (spec, data), {}, state.z, return_deterministic=True)
        wanted = {
            n: v for n, v in values.items() if n in ("beta", "alpha", "sigma") or n.startswith("Sigma_")
        }
        levels = {f"b_{t.name}": values[f"b_{t.name}"].astype(jnp.float32) for t in spec.terms}
        depth = jnp.floor(jnp.log2(state.num_steps)).astype(jnp.int32) + 1
        own = (-state.potential_energy, state.accept_prob, state.adapt_state.step_size, depth)
        own = (*own, state.num_steps.astype(jnp.int32), state.diverging, state.energy)
        return wanted | levels | dict(zip(STATISTICS, own, strict=True))

    def block(state: Any, data: ModelData, n: jax.Array) -> Any:
        shapes = jax.eval_shape(emit, state, data)
        buffer = {name: jnp.zeros((BLOCK, *s.shape), s.dtype) for name, s in shapes.items()}

        def step(i: Any, carry: Any) -> Any:
            state, out = carry
            state = sample(state, (data,), {})
            new = emit(state, data)
            return state, {name: out[name].at[i].set(new[name]) for name in out}

        return lax.fori_loop(0, n, step, (state, buffer))

    position, inverse_mass = _structs(start_shapes)
    data = _structs(data_shapes)
    key = jax.eval_shape(lambda: jax.random.key(0))
    started = jax.jit(start).lower(position, inverse_mass, data, key)
    state = jax.eval_shape(start, position, inverse_mass, data, key)
    count = jax.ShapeDtypeStruct((), jnp.asarray(0).dtype)
    return Programs(started.compile(), jax.jit(block).lower(state, data, count).compile())


def _potential(spec: ModelSpec) -> Callable[[ModelData], Callable[[Any], jax.Array]]:
    def of(data: ModelData) -> Callable[[Any], jax.Array]:
        return lambda z: jnp.asarray(potential_energy(mixed_model, (spec, data), {}, z))

    return of


def _jax(start: Start) -> tuple[dict[str, jax.Array], dict[str, jax.Array]]:
    return (
        {name: jnp.asarray(values) for name, values in start.position.items()},
        {name: jnp.asarray(values) for name, values in start.inverse_mass.items()},
    )


def _shapes(tree: Any) -> Any:
    """A hashable description of a tree of arrays."""
    leaves, structure = jax.tree.flatten(_jax(tree) if isinstance(tree, Start) else tree)
    return structure, tuple((leaf.shape, leaf.dtype) for leaf in leaves)


def _structs(shapes: Any) -> Any:
    structure, leaves = shapes
    return jax.tree.unflatten(structure, [jax.ShapeDtypeStruct(*leaf) for leaf in leaves])

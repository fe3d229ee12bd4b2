"""Run NUTS chains, each on a thread of its own: warm-up together, then draws."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from mixedfx.covariance.mixed_model import ModelData, ModelSpec
from mixedfx.covariance.nuts_program import (
    BLOCK,
    STATISTICS,
    Programs,
    Sites,
    Tuning,
    nuts_programs,
    retuned,
    shapes,
)
from mixedfx.covariance.warmup import FIRST_WINDOWS, Moments, agree, pooled_inverse_mass, windows
from mixedfx.linalg.threads import usable_cores
from mixedfx.posterior_diagnostics import FEWEST_DRAWS
from mixedfx.progress import Report

Floats = NDArray[np.float64]

FIRST_STEP = 0.25


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
    warmup
        Iterations of each chain's warm-up.
    compile_seconds, warmup_seconds, seconds
        Time to compile (0 where the code was there already), to warm up, and to sample, warm-up included.
    interrupted
        Whether Ctrl-C ended the run; the draws are those that every chain had by then.
    """

    draws: Mapping[str, NDArray[Any]]
    statistics: Mapping[str, NDArray[Any]]
    warmup: int
    compile_seconds: float
    warmup_seconds: float
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

    Warm-up takes at most `warmup` iterations (`mixedfx.covariance.warmup`). Ctrl-C ends all chains after the block of
    draws they are at, and what every chain has is returned; before every chain has `FEWEST_DRAWS` draws it is raised.

    Must be called, like everything that makes `data`, where 64-bit JAX is enabled (``with jax.enable_x64(True)``).
    """
    began = time.perf_counter()
    sites = Sites.of(starts[0].position)
    programs = nuts_programs(spec, sites, shapes(data))
    compiled = time.perf_counter()
    progress = _Progress(len(starts) * (warmup + draws))
    with ThreadPoolExecutor(min(len(starts), usable_cores()), "mixedfx-nuts") as pool:
        chains = _Chains(programs, data, sites, starts, seed, _Team(pool, progress, report))
        spent = chains.warm_up(warmup)
        warm = time.perf_counter()
        progress.total -= len(starts) * (warmup - spent)
        blocks, interrupted = chains.draw(draws)
    length = min(sum(len(block["lp"]) for block in own) for own in blocks)
    if interrupted is not None and length < FEWEST_DRAWS:
        raise interrupted
    joined = [_joined(own, length) for own in blocks]
    stacked = {name: np.stack([own[name] for own in joined]) for name in joined[0]}
    statistics = {name: stacked.pop(name) for name in STATISTICS}
    ended = time.perf_counter()
    return Chains(
        stacked,
        statistics,
        spent,
        compiled - began,
        warm - compiled,
        ended - compiled,
        interrupted is not None,
    )


def _joined(blocks: Sequence[Mapping[str, NDArray[Any]]], length: int) -> dict[str, NDArray[Any]]:
    return {name: np.concatenate([block[name] for block in blocks])[:length] for name in blocks[0]}


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


@dataclass(frozen=True, eq=False)
class _Team:
    """Threads that do the same for every chain, while the main thread reports."""

    pool: ThreadPoolExecutor
    progress: _Progress
    report: Report

    def each[T](self, work: Callable[[int], T], n: int) -> tuple[list[T], KeyboardInterrupt | None]:
        """``work(0)``, ..., ``work(n - 1)``; after Ctrl-C what they return when they have seen `progress.stop`."""

        def one(c: int) -> T:
            with jax.enable_x64(True):  # the setting belongs to a thread
                return work(c)

        jobs = [self.pool.submit(one, c) for c in range(n)]
        interrupted: KeyboardInterrupt | None = None
        try:
            waiting = set(jobs)
            while waiting:
                done, waiting = wait(waiting, timeout=0.2, return_when=FIRST_COMPLETED)
                self.report("sampling", self.progress.done, self.progress.total, self.progress.note())
                for job in done:
                    job.result()
        except KeyboardInterrupt as error:
            interrupted = error
            self.progress.stop.set()
        except BaseException:
            self.progress.stop.set()
            raise
        return [job.result() for job in jobs], interrupted


class _Chains:
    """The chains' states, and what they do together."""

    def __init__(
        self,
        programs: Programs,
        data: ModelData,
        sites: Sites,
        starts: list[Start],
        seed: int,
        team: _Team,
    ) -> None:
        self.programs, self.data, self.team = programs, data, team
        self.step = FIRST_STEP
        self.inverse_mass = sites.vector(starts[0].inverse_mass)
        keys = jax.random.split(jax.random.key(seed), len(starts))
        mass, step = jnp.asarray(self.inverse_mass), jnp.asarray(self.step)
        self.states = [
            programs.start(jnp.asarray(sites.vector(start.position)), mass, step, data, key)
            for start, key in zip(starts, keys, strict=True)
        ]

    def warm_up(self, most: int) -> int:
        """Adapt until the chains agree; returns the iterations of each."""
        spent, lengths = 0, windows(most)
        for number, length in enumerate(lengths):
            draws, moments, log_steps = self._window(length)
            spent += length
            compared = number >= len(FIRST_WINDOWS) - 1
            arrived = number == len(lengths) - 1 or (compared and agree(draws))
            if not arrived and number:
                self.inverse_mass = pooled_inverse_mass(moments, self.inverse_mass)
            self.step = float(np.exp(np.mean(log_steps)))
            self.states = [retuned(state, self.inverse_mass, self.step) for state in self.states]
            if arrived:
                break
        return spent

    def draw(self, n: int) -> tuple[list[list[dict[str, NDArray[Any]]]], KeyboardInterrupt | None]:
        """n draws of each chain, in blocks; fewer after Ctrl-C."""
        results, interrupted = self.team.each(lambda c: self._run(c, n, adapting=False)[0], len(self.states))
        return results, interrupted

    def _window(self, n: int) -> tuple[list[Floats], list[Moments], list[float]]:
        """Draws of what is compared, (chains, n) each; moments and log step size of each chain."""
        results, interrupted = self.team.each(lambda c: self._run(c, n, adapting=True), len(self.states))
        if interrupted is not None:
            raise interrupted
        names = [name for name in results[0][0][0] if name in ("lp", "sigma") or name.startswith("Sigma_")]
        draws = []
        for name in names:
            own = np.array([np.concatenate([block[name] for block in blocks]) for blocks, _ in results])
            columns = own.reshape(*own.shape[:2], -1)
            # Entries that are 0 by structure do not move.
            draws += [x for x in np.moveaxis(columns, 2, 0) if x.any()]
        sums = [np.asarray(tuning.sums) / n for _, tuning in results]
        moments = [Moments(z, z2 - z**2, g, g2 - g**2) for z, z2, g, g2 in sums]
        return draws, moments, [float(tuning.averaging[1]) for _, tuning in results]

    def _run(self, c: int, n: int, *, adapting: bool) -> tuple[list[dict[str, NDArray[Any]]], Tuning]:
        """n iterations of one chain, in blocks."""
        state, progress = self.states[c], self.team.progress
        tuning = Tuning.fresh(np.log(self.step), len(self.inverse_mass))
        blocks = []
        for first in range(0, n, BLOCK):
            if progress.stop.is_set():
                break
            m = min(BLOCK, n - first)
            state, tuning, out = self.programs.block(
                state, tuning, self.data, jnp.asarray(m), jnp.asarray(adapting)
            )
            block = {name: np.asarray(values)[:m] for name, values in out.items()}
            # Of warm-up only what is compared is kept.
            blocks.append({k: v for k, v in block.items() if not adapting or not k.startswith("b_")})
            progress.add(m, 0 if adapting else int(block["diverging"].sum()))
        self.states[c] = state
        return blocks, tuning

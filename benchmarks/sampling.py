"""Stage 1 by sampling: time, effective draws of the covariances, and agreement with a long run of NUTS."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

import mixedfx as mfx
from benchmarks.problem import Problem, Sources
from benchmarks.problems import PROBLEMS
from mixedfx.covariance.result import CovarianceResult

STUDENTS = 400
METHODS = ("nuts", "marginal", "vi")
REFERENCE_SEED = 1000


@dataclass(frozen=True)
class Case:
    """A model to sample.

    `draws` are those of each of four chains; `reference` is their number in the long run, 0 for none.
    """

    name: str
    formula: str
    family: str
    load: Callable[[Sources], pd.DataFrame]
    methods: tuple[str, ...] = METHODS
    draws: int = 1000
    reference: int = 5000


@dataclass(frozen=True)
class Sampled:
    """One fit.

    Attributes
    ----------
    seconds, compile_seconds
        Of the whole call, the likelihood fit included; what it took to compile, which is part of it.
    cpu_seconds
        Processor time of the whole call on all cores: what can be compared where other work ran beside.
    draws
        Of each chain.
    warmup, evaluations
        Iterations of each chain's warm-up; of the other methods evaluations of the density.
    ess
        Smallest effective size of a covariance entry (bulk).
    ess_per_second
        The same a second, compilation left out.
    r_hat, divergences, pareto_k
        The largest R-hat; NaN where the method has none.
    z
        Largest difference of an entry's mean from the long run, in Monte Carlo standard errors of both.
    shift
        The same in posterior standard deviations.
    freezable
        Whether the diagnostics let the result be frozen.
    """

    case: str
    rows: int
    method: str
    seed: int
    draws: int
    seconds: float
    compile_seconds: float
    cpu_seconds: float
    warmup: float
    evaluations: float
    ess: float
    ess_per_second: float
    r_hat: float
    divergences: float
    pareto_k: float
    z: float
    shift: float
    freezable: bool


def _insteval(_: Sources) -> pd.DataFrame:
    """All ratings by some students, with a feature of noise whose slopes vary little: the hard part."""
    data = mfx.datasets.load_insteval()
    rng = np.random.default_rng(0)
    chosen = rng.choice(data["s"].unique(), STUDENTS, replace=False)
    part = data[data["s"].isin(chosen)]
    return part.assign(x=rng.standard_normal(len(part)))


def _of(problem: Problem, name: str, formula: str | None = None, **settings: object) -> Case:
    return Case(name, formula or problem.formula, problem.family, problem.load, **settings)  # pyright: ignore[reportArgumentType]


_GENRES = "drama + comedy + action + thriller"

CASES = (
    Case("insteval-slopes", "y ~ 1 + x + (1 + x | s) + (1 + x | d)", "gaussian", _insteval),
    _of(PROBLEMS["verbagg-laplace"], "verbagg-r2"),
    _of(PROBLEMS["verbagg-ordinal"], "verbagg-ordinal"),
    # An evaluation of Laplace's likelihood factors 1,682 columns several times: nothing for thousands of points.
    _of(
        PROBLEMS["ml100k-slopes-coefficients"],
        "ml100k-slopes",
        f"liked ~ 1 + {_GENRES} + (1 + {_GENRES} | user) + (1 | item)",
        methods=("nuts",),
        draws=600,
        reference=0,
    ),
)


def sampling(
    case: Case, data: pd.DataFrame, methods: tuple[str, ...], seeds: int, reference: pd.DataFrame | None
) -> Iterator[Sampled]:
    """Fit by each method, from each seed."""
    for method in (m for m in case.methods if m in methods):
        for seed in range(seeds):
            began, used = time.perf_counter(), time.process_time()
            fit = mfx.learn_covariance(
                case.formula,
                data,
                family=case.family,
                method=method,
                draws=case.draws,
                seed=seed,
                force=True,
            )
            seconds, cpu = time.perf_counter() - began, time.process_time() - used
            yield _judged(case, method, seed, fit, seconds, cpu, reference)


def long_run(case: Case, data: pd.DataFrame) -> pd.DataFrame:
    """Means, standard deviations and Monte Carlo errors of the entries from many draws of NUTS."""
    fit = mfx.learn_covariance(
        case.formula,
        data,
        family=case.family,
        method="nuts",
        draws=case.reference,
        seed=REFERENCE_SEED,
        force=True,
    )
    table = fit.standard_errors[["grp", "var1", "var2", "vcov", "se", "mcse", "r_hat"]]
    return table.assign(case=case.name)


def _judged(
    case: Case,
    method: str,
    seed: int,
    fit: CovarianceResult,
    seconds: float,
    cpu_seconds: float,
    reference: pd.DataFrame | None,
) -> Sampled:
    table, stats = fit.standard_errors, fit.stats
    z = shift = np.nan
    if reference is not None:
        mean, error, sd = reference[["vcov", "mcse", "se"]].to_numpy(dtype=float).T
        off = table["vcov"].to_numpy(dtype=float) - mean
        z = float(np.abs(off / np.hypot(table["mcse"].to_numpy(dtype=float), error)).max())
        shift = float(np.abs(off / sd).max())
    compiling = float(stats.get("compile_seconds", 0.0))
    nuts = fit.method == "nuts"
    return Sampled(
        case=case.name,
        rows=fit.n_rows,
        method=method if method == fit.method else f"{method}, then {fit.method}",
        seed=seed,
        draws=case.draws,
        seconds=round(seconds, 2),
        compile_seconds=round(compiling, 2),
        cpu_seconds=round(cpu_seconds, 1),
        warmup=stats["warmup"] if nuts else np.nan,
        evaluations=np.nan if nuts else stats["evaluations"],
        ess=round(float(stats["min_ess"])),
        ess_per_second=round(float(stats["min_ess"]) / (seconds - compiling), 1),
        r_hat=float(table["r_hat"].max()),
        divergences=stats["divergences"] if nuts else np.nan,
        pareto_k=float(stats.get("pareto_k", np.nan)),
        z=z,
        shift=shift,
        freezable=not fit.varcorr.why,
    )

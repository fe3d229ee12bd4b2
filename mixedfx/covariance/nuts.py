"""Stage 1 by MCMC: the full joint model, sampled by NumPyro's NUTS.

Every factor's levels are sampled in coordinates in which the data and the prior together make them about standard
normal (see `geometry`), around a cheap reference point, so that warm-up is short and neither a centred nor a
non-centred form has to be chosen.

Measured on 400 students of InstEval (9,306 rows, 1,062 lecturers), smallest effective size of a covariance entry in
4 x 500 draws and leapfrog steps a draw. Intercepts: non-centred 490, 18; centred 610, 27; these coordinates 2,000 to
2,900, 15. Correlated slopes: non-centred 150, 37, with divergences; centred 5, 68; non-centred students and centred
lecturers 14, 44; these coordinates with a logarithmic scale 270, 31, with the signed scale 1,100 to 1,500, 31. A dense
mass matrix for the covariance parameters changed nothing, so it is diagonal. Chains on two threads took less time than
one after the other, and both less than a vectorised run, where every chain waits for the deepest tree.

Warm-up that all chains share ends after 300 iterations in all of the cases below; with 1,000 of each chain's own, one
chain of one run in two had so small a step size that the run took 69 steps a draw instead of 23. 4 x 1,000 draws, steps
a draw, and processor seconds of both cores of a busy machine, without compilation:

* InstEval as above with slopes: 2,500, 15 steps, 33 s;
* VerbAgg (7,584 rows, 316 persons, 24 items): 9,100 with two answers, 9,600 with three, 15 steps, 12 and 18 s;
* MovieLens-100K, rating >= 4, users with slopes on four genres, items: 1,670, R-hat 1.003, some 250 s, of which the
  gradient of 100,000 rows is nearly all (3 ms).

Half of a small model's gradient is the overhead of XLA's several hundred operations, which is why positions are one
vector and programs leave parallel work to the chains' own threads.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mixedfx.arguments import check_whole_number
from mixedfx.covariance.generalized import threshold_names
from mixedfx.covariance.information import level_information
from mixedfx.covariance.likelihood import ranef_frames
from mixedfx.covariance.parameters import ParameterSpace
from mixedfx.covariance.posterior import covariance_draws, posterior_mean, posterior_tree
from mixedfx.covariance.priors import choose_priors
from mixedfx.covariance.reference import reference_point
from mixedfx.covariance.result import CovarianceResult
from mixedfx.design import Design
from mixedfx.families import Family
from mixedfx.posterior_diagnostics import FEWEST_DRAWS, entry_table, reasons_not_to_freeze
from mixedfx.progress import reporter
from mixedfx.varcorr import VarCorr

if TYPE_CHECKING:
    from mixedfx.covariance.chains import Chains
    from mixedfx.progress import Report


def sample_nuts(
    design: Design,
    family: Family,
    *,
    priors: Mapping[str, Any] | None = None,
    draws: int = 1000,
    warmup: int = 1000,
    chains: int = 4,
    start: VarCorr | None = None,
    force: bool = False,
    seed: int = 0,
    progress: bool | Report | None = None,
) -> CovarianceResult:
    """Sample the posterior of (Sigma, sigma, beta, b) and freeze E[Sigma].

    Parameters
    ----------
    design, family
        The model, of any family.
    priors
        See `mixedfx.covariance.priors.choose_priors`.
    draws, warmup, chains
        Draws a chain after warm-up; warm-up iterations at most, since warm-up ends when the chains agree
        (`mixedfx.covariance.warmup`; ``stats["warmup"]`` has their number); chains.
    start
        Covariances near which to start, as from a likelihood fit; a quick guess by default.
    force
        Leave ``varcorr.freezable`` True whatever the diagnostics say; ``varcorr.why`` keeps what they said.
    seed
        The same seed gives the same draws.
    progress
        See `mixedfx.progress`.

    Returns
    -------
    CovarianceResult
        `varcorr` and `ranef` are posterior means, standard errors posterior standard deviations;
        `standard_errors` has ArviZ's diagnostics of every covariance entry beside them.

    Raises
    ------
    SettingError
        `draws`, `warmup` or `chains` is too small, a prior is unusable, or a factor has a name that the posterior
        needs.
    """
    for name, value, least in (("draws", draws, FEWEST_DRAWS), ("warmup", warmup, 1), ("chains", chains, 1)):
        check_whole_number(name, value, least)
    began = time.perf_counter()
    sampled = _sample(design, family, priors, start, draws, warmup, chains, seed, progress)
    space = ParameterSpace.of(design.predictors.terms)
    entries = covariance_draws(space, sampled.draws)
    varcorr = posterior_mean(space, entries)
    table = entry_table(varcorr, entries)
    reasons = reasons_not_to_freeze(table, sampled.statistics)
    if sampled.interrupted:
        reasons.insert(0, "the run was interrupted: these are the draws that all chains had by then")
    fixef, fixef_se = _moments(sampled, "beta", list(design.predictors.fixed_names), "fixef")
    thresholds, thresholds_se = _moments(sampled, "alpha", threshold_names(design), "thresholds")
    modes = {
        t.name: np.asarray(sampled.draws[f"b_{t.name}"].mean(axis=(0, 1), dtype=float)) for t in space.terms
    }
    return CovarianceResult(
        formula=design.spec.formula,
        family=family.name,
        method="nuts",
        varcorr=replace(varcorr, freezable=force or not reasons, why="; ".join(reasons)),
        fixef=fixef,
        fixef_se=fixef_se.rename("fixef_se"),
        thresholds=thresholds if len(thresholds) else None,
        thresholds_se=thresholds_se if len(thresholds) else None,
        ranef=ranef_frames(space.terms, modes),
        standard_errors=table,
        varcorr_covariance=np.atleast_2d(np.cov(np.concatenate(entries), rowvar=False)),
        loglik=np.nan,
        converged=not reasons,
        boundary=(),
        stats=_stats(sampled, table, time.perf_counter() - began, draws, chains, force),
        n_rows=design.n_rows,
        n_levels={t.name: t.grouping.n_levels for t in space.terms},
        posterior=posterior_tree(design, sampled.draws, sampled.statistics),
    )


def _moments(sampled: Chains, site: str, names: list[str], title: str) -> tuple[pd.Series, pd.Series]:
    """Means and standard deviations of a vector's draws; both empty where the model has no such vector."""
    if not names:
        nothing = pd.Series(index=names, dtype=float)
        return nothing.rename(title), nothing.rename("se")
    flat = np.asarray(sampled.draws[site], dtype=float).reshape(-1, len(names))
    mean = pd.Series(flat.mean(axis=0), index=names, name=title)
    return mean, pd.Series(flat.std(axis=0, ddof=1), index=names, name="se")


def _sample(
    design: Design,
    family: Family,
    priors: Mapping[str, Any] | None,
    start: VarCorr | None,
    draws: int,
    warmup: int,
    chains: int,
    seed: int,
    progress: bool | Report | None,
) -> Chains:
    import jax

    from mixedfx.covariance.chains import run_chains
    from mixedfx.covariance.mixed_model import model_data, model_spec
    from mixedfx.covariance.starts import start_chains

    chosen = choose_priors(design, family, priors)
    reference = reference_point(design, family, start)
    information = level_information(design, reference)
    with jax.enable_x64(True), reporter(progress) as report:
        spec = model_spec(design, family, chosen, information)
        data = model_data(design, chosen, reference, information)
        starts = start_chains(spec, reference.sigma2, information, chains, seed)
        return run_chains(spec, data, starts, draws=draws, warmup=warmup, seed=seed, report=report)


def _stats(
    sampled: Chains,
    table: pd.DataFrame,
    seconds: float,
    draws: int,
    chains: int,
    force: bool,
) -> dict[str, Any]:
    return {
        "seconds": seconds,
        "compile_seconds": sampled.compile_seconds,
        "sampling_seconds": sampled.seconds,
        "draws": draws,
        "warmup": sampled.warmup,
        "warmup_seconds": sampled.warmup_seconds,
        "chains": chains,
        "forced": force,
        "interrupted": sampled.interrupted,
        "divergences": int(sampled.statistics["diverging"].sum()),
        "min_ess": float(table["ess_bulk"].to_numpy().min()),
        "max_r_hat": float(table["r_hat"].to_numpy().max()),
        "step_size": sampled.statistics["step_size"][:, -1].tolist(),
        "mean_steps": float(sampled.statistics["n_steps"].mean()),
    }

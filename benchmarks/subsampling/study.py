"""Draw, learn, and compare with all rows: one line for every seed, strategy and variance."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

import mixedfx as mfx
from benchmarks.problem import Sources
from benchmarks.subsampling.cases import Case
from benchmarks.subsampling.one_step import OneStep
from mixedfx.covariance.result import CovarianceResult
from mixedfx.design import build_design
from mixedfx.varcorr import RESIDUAL

HELD_OUT = 0.1
SPARSE = 20
"""Rows below which a level is sparse: of its held-out rows there is a score of their own."""
LEAST_SHARE = 0.05**2


@dataclass(frozen=True)
class Row:
    """One variance learned from one subsample.

    Attributes
    ----------
    case, strategy, seed
        What was drawn.
    group
        A factor, or "Residual".
    frozen, se
        The variance, and its standard error by the model.
    full, se_full
        Of all training rows, by `refine_covariance`.
    one_step, z
        One step on from `frozen` by the score of all training rows; and that difference in its standard errors, which
        are those of estimates from nested data, (se^2 - se_full^2)^(1/2).
    score, sparse_score
        Change of the mean log density of held-out rows (of all; of those with a level of fewer than 20 training rows)
        when stage 2 takes all covariances of this subsample and not those of all rows. Plug-in: at the estimated
        coefficients. NaN where it was not computed.
    n_rows, n_levels, seconds
        The subsample's rows, its levels of this factor, and the time of the fit.
    """

    case: str
    strategy: str
    seed: int
    group: str
    frozen: float
    se: float
    full: float
    se_full: float
    one_step: float
    z: float
    score: float
    sparse_score: float
    n_rows: int
    n_levels: int
    seconds: float


@dataclass(frozen=True)
class _Draws:
    """One way of drawing: `seeds` is the share of the study's seeds that it gets."""

    subsample: Callable[..., mfx.Subsample]
    seeds: float = 1.0


STRATEGIES = {
    "per-factor": _Draws(partial(mfx.Subsample, "per-factor")),
    "per-factor, stratified": _Draws(partial(mfx.Subsample, "per-factor", stratify=True)),
    "two-way": _Draws(partial(mfx.Subsample, "two-way")),
    # Rows of nearly all levels: a slow fit, and one with little spread.
    "rows": _Draws(partial(mfx.Subsample, "rows"), seeds=0.5),
    "core": _Draws(partial(mfx.Subsample, "core"), seeds=0.0),
}


def study(
    case: Case, sources: Sources, n_seeds: int, n_scored: int, say: Callable[[str], None]
) -> Iterator[Row]:
    """All strategies on one case.

    Parameters
    ----------
    n_seeds
        Draws of a strategy; half as many of "rows", and one core.
    n_scored
        How many of these are also scored on held-out rows, which takes stage 2.
    say
        Is told what is being done.
    """
    data = case.load(sources)
    held = np.random.default_rng(0).random(len(data)) < HELD_OUT
    train, test = data[~held].reset_index(drop=True), data[held]
    n_rows = round(case.fraction * len(train))
    start = mfx.learn_covariance(
        case.formula, train, family=case.family, subsample=mfx.Subsample("two-way", n_rows=n_rows)
    )
    full = mfx.refine_covariance(case.formula, train, start, family=case.family)
    say(
        f"{case.name}: {len(train):,} rows, full-data variances {full.varcorr.to_frame()['vcov'].round(5).tolist()}"
    )
    step = OneStep.of(build_design(case.formula, train, family=case.family))
    score = _Score(case, train, test)
    reference = score.of(full)
    for name, how in STRATEGIES.items():
        for seed in range(max(round(how.seeds * n_seeds), 1)):
            began = time.perf_counter()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", mfx.errors.SubsampleWarning)
                cov = mfx.learn_covariance(
                    case.formula,
                    train,
                    family=case.family,
                    subsample=how.subsample(n_rows=n_rows, seed=seed),
                    **({"satterthwaite": False} if case.family == "gaussian" else {}),
                )
            seconds = time.perf_counter() - began
            results = {name: cov}
            if name == "per-factor":
                # The samples behind it are what "levels" draws.
                results |= {f"levels of {factor}": fit for factor, fit in cov.fits.items()}
            for strategy, result in results.items():
                change = score.of(result) - reference if seed < n_scored else np.full(2, np.nan)
                yield from _rows(case, strategy, seed, result, full, step, change, seconds)
        say(f"  {name}: done")


def _rows(
    case: Case,
    strategy: str,
    seed: int,
    result: CovarianceResult,
    full: CovarianceResult,
    step: OneStep,
    change: NDArray[np.float64],
    seconds: float,
) -> Iterator[Row]:
    one_step = step.estimate(result)
    known = full.standard_errors["se"].to_numpy()
    for i, entry in enumerate(result.standard_errors.itertuples(index=False)):
        difference = float(one_step[i]) - entry.vcov
        error = np.sqrt(max(entry.se**2 - known[i] ** 2, LEAST_SHARE * entry.se**2))
        yield Row(
            case=case.name,
            strategy=strategy,
            seed=seed,
            group=entry.grp,
            frozen=entry.vcov,
            se=entry.se,
            full=float(full.standard_errors["vcov"][i]),
            se_full=float(known[i]),
            one_step=float(one_step[i]),
            z=difference / float(error),
            score=float(change[0]),
            sparse_score=float(change[1]),
            n_rows=result.fits[entry.grp].n_rows if entry.grp in result.fits else result.n_rows,
            n_levels=0 if entry.grp == RESIDUAL else result.n_levels[entry.grp],
            seconds=seconds,
        )


@dataclass(frozen=True, eq=False)
class _Score:
    """Mean log density of held-out rows given covariances, at stage 2's coefficients."""

    case: Case
    train: pd.DataFrame
    test: pd.DataFrame

    def of(self, cov: CovarianceResult) -> NDArray[np.float64]:
        """Of all held-out rows, and of those with a sparse level."""
        case = self.case
        fit = mfx.estimate_coefficients(case.formula, self.train, cov.varcorr, family=case.family)
        response = case.formula.split("~")[0].strip()
        y, mean = self.test[response].to_numpy(dtype=float), fit.predict(self.test).to_numpy()
        gaussian = cov.sigma is not None
        density = norm.logpdf(y, mean, cov.sigma) if gaussian else np.log(np.where(y == 1, mean, 1 - mean))
        counts = [self.test[f].map(self.train[f].value_counts()).fillna(0) for f in fit.ranef]
        sparse = (np.array(counts) < SPARSE).any(axis=0)
        return np.array([density.mean(), density[sparse].mean() if sparse.any() else np.nan])

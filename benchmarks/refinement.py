"""`mfx.refine_covariance` where no matrix of a factor's size fits: a simulation of MovieLens-32M's shape.

Activity of users and items is skewed (Zipf's law). The truth is the mean square of the effects that were drawn, so that
what the estimates miss is their own error, not that of the draw.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import mixedfx as mfx
from benchmarks import memory

FORMULA = "y ~ 1 + (1 | user) + (1 | item)"
ROWS, USERS, ITEMS = 32_000_204, 200_948, 84_432
"""Of MovieLens-32M."""
EXPONENTS = {"user": 0.6, "item": 0.8}
VARIANCES = {"user": 0.18, "item": 0.25}
RESIDUAL = 0.81
START = {"user": 0.15, "item": 0.2, "Residual": 1.0}
FAMILIES = ("gaussian", "bernoulli")


@dataclass(frozen=True)
class Refined:
    """One variance of one fit.

    Attributes
    ----------
    rows, users, items
        Size of the data; levels that have rows.
    seed
        Of the probes.
    seconds
        Of the whole call, from a DataFrame, compiled code being there already.
    data_gib, peak_gib
        Memory of the process before the call, the DataFrame included, and at most during it; NaN where the system
        does not tell.
    entry, truth, estimate, se, monte_carlo_se
        The variance.
    """

    family: str
    rows: int
    users: int
    items: int
    seed: int
    seconds: float
    data_gib: float
    peak_gib: float
    entry: str
    truth: float
    estimate: float
    se: float
    monte_carlo_se: float


def refinement(family: str, share: float, seeds: int) -> Iterator[Refined]:
    """Refine on a simulation of `share` of the rows and levels, by `seeds` sets of probes."""
    data, truth = _simulate(family, share)
    names = ["user", "item", "Residual"] if family == "gaussian" else ["user", "item"]
    start = mfx.VarCorr.from_frame(
        pd.DataFrame(
            [(name, None if name == "Residual" else "(Intercept)", None, START[name]) for name in names],
            columns=["grp", "var1", "var2", "vcov"],
        )
    )
    mfx.refine_covariance(FORMULA, data.head(30_000), start, family=family, accuracy=0.1)  # compiles
    for seed in range(seeds):
        before = memory.start()
        began = time.perf_counter()
        fit = mfx.refine_covariance(FORMULA, data, start, family=family, seed=seed)
        seconds = time.perf_counter() - began
        above = memory.peak_above(before)
        gib = [np.nan, np.nan]
        if before is not None and above is not None:
            gib = [before / 2**30, (before + above) / 2**30]
        for row, error in zip(fit.standard_errors.itertuples(), fit.stats["monte_carlo_se"], strict=True):
            yield Refined(
                family=family,
                rows=len(data),
                users=fit.n_levels["user"],
                items=fit.n_levels["item"],
                seed=seed,
                seconds=seconds,
                data_gib=gib[0],
                peak_gib=gib[1],
                entry=str(row.grp),
                truth=truth[str(row.grp)],
                estimate=float(row.vcov),
                se=float(row.se),
                monte_carlo_se=float(error),
            )


def _simulate(family: str, share: float) -> tuple[pd.DataFrame, dict[str, float]]:
    """Data in the smallest types that hold them, as ids and ratings come, and the true variances."""
    rng = np.random.default_rng(0)
    n, sizes = round(ROWS * share), {"user": round(USERS * share), "item": round(ITEMS * share)}
    codes = {name: _levels(rng, n, size, EXPONENTS[name]) for name, size in sizes.items()}
    eta, truth = np.full(n, 3.5 if family == "gaussian" else 0.3), {"Residual": RESIDUAL}
    for name, own in codes.items():
        effects = np.sqrt(VARIANCES[name]) * rng.standard_normal(sizes[name])
        truth[name] = float(np.mean(effects[np.unique(own)] ** 2))
        eta += effects[own]
    if family == "gaussian":
        y: NDArray = eta + np.sqrt(RESIDUAL) * rng.standard_normal(n)
    else:
        y = (rng.random(n) < 1.0 / (1.0 + np.exp(-eta))).astype(np.int8)
    return pd.DataFrame({"y": y, **codes}), truth


def _levels(rng: np.random.Generator, n: int, size: int, exponent: float) -> NDArray[np.int32]:
    shares = np.arange(1.0, size + 1) ** -exponent
    return np.searchsorted(np.cumsum(shares / shares.sum()), rng.random(n)).astype(np.int32)

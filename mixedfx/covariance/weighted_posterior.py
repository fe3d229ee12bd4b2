"""What is read off weighted draws: moments, quantiles, effective sizes, and draws of equal weight."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.varcorr import VarCorr

Floats = NDArray[np.float64]
TAILS = (0.05, 0.95)


def weighted_mean(values: Floats, weights: Floats) -> Floats:
    """Over the first axis, values (n, ...), weights (n,) with sum 1."""
    return np.tensordot(weights, values, axes=1)


def weighted_covariance(values: Floats, weights: Floats) -> Floats:
    """Of the columns of values (n, c), shape (c, c)."""
    off = values - weights @ values
    return (weights[:, None] * off).T @ off


def effective_sizes(values: Floats, weights: Floats) -> Floats:
    """For the mean of each column of values (n, c): its variance over the square of its Monte Carlo error, (c,).

    Owen 2013, Monte Carlo theory, methods and examples, chapter 9: not the same for all functions of a draw, as
    Kish's 1 / sum w^2 would have it.
    """
    off2 = (values - weights @ values) ** 2
    error2 = (weights**2) @ off2
    variance = weights @ off2
    return np.where(error2 > 0, variance / np.where(error2 > 0, error2, 1.0), 0.0)


def weighted_quantile(values: Floats, weights: Floats, p: float) -> float:
    """The smallest value with at least p of the weight at or below it, values (n,)."""
    order = np.argsort(values)
    return float(values[order][min(np.searchsorted(np.cumsum(weights[order]), p), len(values) - 1)])


def weighted_table(varcorr: VarCorr, entries: Floats, weights: Floats) -> pd.DataFrame:
    """As `mixedfx.posterior_diagnostics.entry_table`, from entries (n, c); without chains, so that r_hat is NaN."""
    frame = varcorr.to_frame()
    variance = np.diag(weighted_covariance(entries, weights))
    frame["se"] = np.sqrt(variance)
    sizes = effective_sizes(entries, weights)
    frame["mcse"] = frame["se"] / np.sqrt(sizes)
    frame["ess_bulk"] = sizes
    each = [[weighted_quantile(x, weights, p) for x in entries.T] for p in TAILS]
    below = [entries <= quantiles for quantiles in each]
    frame["ess_tail"] = np.min([effective_sizes(b.astype(float), weights) for b in below], axis=0)
    frame["r_hat"] = np.nan
    frame["q05"], frame["q95"] = each
    return frame


def equal_weight_draws(weights: Floats, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Positions of n draws of equal weight, in random order, by systematic resampling: each occurs n w times, rounded
    up or down."""
    points = (np.arange(n) + rng.uniform()) / n
    chosen = np.searchsorted(np.cumsum(weights) / weights.sum(), points)
    return rng.permutation(np.minimum(chosen, len(weights) - 1))

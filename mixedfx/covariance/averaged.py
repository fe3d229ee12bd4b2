"""The mean of covariance results from replicate subsamples, and what the spread between them says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.covariance.likelihood import boundary_names
from mixedfx.covariance.result import CovarianceResult
from mixedfx.varcorr import RESIDUAL, CovarianceBlock, VarCorr

SPREAD = "se_replicates"
KEYS = ["grp", "var1", "var2"]


def average(replicates: Sequence[CovarianceResult]) -> CovarianceResult:
    """Each covariance's mean over replicates, with two standard errors beside each other.

    Parameters
    ----------
    replicates
        Results of one model from several subsamples, at least two.

    Returns
    -------
    CovarianceResult
        Covariances and sigma^2 are means, which are positive semidefinite as their terms are. ``standard_errors`` has
        two: ``se`` from the models' own (the root of the mean of their squares, over the root of the number of
        replicates), and ``se_replicates`` from the spread (the standard deviation between replicates over that root).
        The number counts as far as the replicates have different levels of the factor: with J levels each and J' in
        all it is J'/J, because what replicates share does not average out; ``se_replicates`` is divided by the root of
        the number of replicates in any case and sees only what they do not share. Fixed effects and conditional modes
        are those of the replicate with most rows, and so is `fits` (or else `rows`); there is no common likelihood.
        `replicates` keeps everything.
    """
    largest = max(replicates, key=lambda result: result.n_rows)
    R = len(replicates)
    varcorr = _mean([result.varcorr for result in replicates])
    levels, independent = _all_levels(replicates), independent_replicates(replicates)
    frame = varcorr.to_frame()
    n = np.array([independent.get(group, float(R)) for group in frame["grp"]])
    frame["se"] = np.sqrt(np.mean(_entries(replicates, "se") ** 2, axis=0) / n)
    frame[SPREAD] = _entries(replicates, "vcov").std(axis=0, ddof=1) / np.sqrt(R)
    return replace(
        largest,
        varcorr=varcorr,
        standard_errors=frame,
        varcorr_covariance=_covariance(replicates, n),
        loglik=np.nan,
        converged=all(result.converged for result in replicates),
        boundary=boundary_names(varcorr) if any(result.boundary for result in replicates) else (),
        stats={"seconds": sum(result.stats.get("seconds", 0.0) for result in replicates)},
        n_rows=sum(result.n_rows for result in replicates),
        n_levels=levels,
        posterior=None,
        fits=read_from(replicates),
        rows=None,
        replicates=tuple(replicates),
    )


def independent_replicates(replicates: Sequence[CovarianceResult]) -> dict[str, float]:
    """Factor -> how many samples of its levels the replicates are worth: J'/J, as `average` has it."""
    R = len(replicates)
    return {
        factor: min(max(n / float(np.mean([len(own.ranef[factor]) for own in replicates])), 1.0), R)
        for factor, n in _all_levels(replicates).items()
    }


def _all_levels(replicates: Sequence[CovarianceResult]) -> dict[str, int]:
    """Factor -> number of its levels that are in any replicate."""
    return {
        factor: pd.Index([]).append([own.ranef[factor].index for own in replicates]).nunique()
        for factor in replicates[0].ranef
    }


def excess_spread(result: CovarianceResult) -> pd.Series:
    """How much more the replicates of an averaged result differ than their own standard errors say.

    Returns
    -------
    Series
        Over the entries of ``standard_errors``: (standard deviation between replicates)^2 over the mean of se^2, which
        is around 1, and chi^2 with R - 1 degrees of freedom over those, where the standard errors are right and the
        replicates have nothing in common.
    """
    variance = np.mean(_entries(result.replicates, "se") ** 2, axis=0)
    between = np.var(_entries(result.replicates, "vcov"), axis=0, ddof=1)
    names = [_name(row) for row in result.standard_errors[KEYS].itertuples(index=False)]
    ratio = np.divide(between, variance, out=np.full(len(names), np.nan), where=variance > 0)
    return pd.Series(ratio, index=names)


def read_from(replicates: Sequence[CovarianceResult]) -> dict[str, CovarianceResult]:
    """Factor -> the fit whose rows, fixed effects and conditional modes stand for all: of the most rows."""
    largest = max(replicates, key=lambda result: result.n_rows)
    return dict(largest.fits) or dict.fromkeys(largest.ranef, largest)


def _entries(replicates: Sequence[CovarianceResult], column: str) -> NDArray[np.float64]:
    """A column of each replicate's ``standard_errors``, shape (R, entries)."""
    return np.array([result.standard_errors[column].to_numpy(dtype=float) for result in replicates])


def _name(entry: tuple[object, ...]) -> str:
    group, first, second = entry
    if group == RESIDUAL:
        return RESIDUAL
    return f"{group} {first}" + (f", {second}" if isinstance(second, str) else "")


def _mean(varcorrs: Sequence[VarCorr]) -> VarCorr:
    first = varcorrs[0]
    blocks: list[CovarianceBlock] = [
        replace(block, matrix=np.mean([v.block(block.factor).matrix for v in varcorrs], axis=0))
        for block in first.blocks
    ]
    residual = [v.sigma2 for v in varcorrs if v.sigma2 is not None]
    sigma2 = float(np.mean(residual)) if residual else None
    reasons = [f"replicate {r + 1}: {v.why}" for r, v in enumerate(varcorrs) if v.why]
    return VarCorr(
        tuple(blocks), sigma2, freezable=all(v.freezable for v in varcorrs), why="; ".join(reasons)
    )


def _covariance(replicates: Sequence[CovarianceResult], n: NDArray[np.float64]) -> NDArray[np.float64] | None:
    known = [r.varcorr_covariance for r in replicates if r.varcorr_covariance is not None]
    if len(known) < len(replicates):
        return None
    return np.mean(known, axis=0) / np.sqrt(np.outer(n, n))

"""Put a covariance result together from one fit a factor (subsample strategy "per-factor")."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from mixedfx.covariance.result import CovarianceResult
from mixedfx.varcorr import RESIDUAL, VarCorr


def combine(fits: Mapping[str, CovarianceResult]) -> CovarianceResult:
    """Each factor's block from the fit that sampled its levels; sigma^2 pooled.

    Parameters
    ----------
    fits
        Factor -> fit; factors whose sample was the same share one fit object.

    Returns
    -------
    CovarianceResult
        ``sigma^2`` is the mean of the fits' weighted by rows (each fit counted once), fixed effects are those of the
        fit with most rows, conditional modes of a factor and their covariances come from its own fit. There is no
        common likelihood: it is NaN. `fits` keeps everything.
    """
    distinct = list({id(fit): fit for fit in fits.values()}.values())
    largest = max(distinct, key=lambda fit: fit.n_rows)
    rows = np.array([fit.n_rows for fit in distinct], dtype=float)
    share = rows / rows.sum()
    sigma2 = None
    if largest.varcorr.sigma2 is not None:
        sigma2 = float(share @ [fit.varcorr.sigma2 for fit in distinct])
    reasons = [
        f"{', '.join(f for f, fit in fits.items() if fit is own)}: {own.varcorr.why}"
        for own in distinct
        if own.varcorr.why
    ]
    varcorr = VarCorr(
        tuple(fit.varcorr.block(factor) for factor, fit in fits.items()),
        sigma2,
        freezable=all(fit.varcorr.freezable for fit in distinct),
        why="; ".join(reasons),
    )
    return replace(
        largest,
        condvar=_condvar(fits),
        varcorr=varcorr,
        ranef={factor: fit.ranef[factor] for factor, fit in fits.items()},
        standard_errors=_standard_errors(fits, distinct, share, varcorr),
        varcorr_covariance=_varcorr_covariance(fits, distinct, share),
        loglik=np.nan,
        converged=all(fit.converged for fit in distinct),
        boundary=tuple(
            name
            for factor, fit in fits.items()
            for name in fit.boundary
            if name == factor or name.startswith(f"{factor} ")
        ),
        stats={"seconds": sum(fit.stats.get("seconds", 0.0) for fit in distinct)},
        n_rows=int(rows.sum()),
        n_levels={factor: fit.n_levels[factor] for factor, fit in fits.items()},
        posterior=None,
        fits=dict(fits),
        rows=None,
    )


def _condvar(fits: Mapping[str, CovarianceResult]) -> dict[str, np.ndarray] | None:
    own = {factor: fit.condvar[factor] for factor, fit in fits.items() if fit.condvar is not None}
    return own if len(own) == len(fits) else None


def _standard_errors(
    fits: Mapping[str, CovarianceResult],
    distinct: list[CovarianceResult],
    share: np.ndarray,
    varcorr: VarCorr,
) -> pd.DataFrame:
    own = [_rows_of(fit.standard_errors, factor) for factor, fit in fits.items()]
    if varcorr.sigma2 is not None:
        residual = [_rows_of(fit.standard_errors, RESIDUAL) for fit in distinct]
        errors = np.array([frame["se"].to_numpy()[0] for frame in residual])
        error = float(np.sqrt(share**2 @ errors**2))
        # Quantiles and diagnostics are of one fit's draws, the pooled value is of none.
        keys = residual[0][["grp", "var1", "var2"]]
        own.append(keys.assign(vcov=varcorr.sigma2, sdcor=varcorr.sigma, se=error))
    return pd.concat(own, ignore_index=True)


def _varcorr_covariance(
    fits: Mapping[str, CovarianceResult], distinct: list[CovarianceResult], share: np.ndarray
) -> np.ndarray | None:
    """Each factor's own block, and the pooled sigma^2's variance; NaN between entries of different factors."""
    if any(fit.varcorr_covariance is None for fit in distinct):
        return None
    own = [_block(fit, factor) for factor, fit in fits.items()]
    if distinct[0].varcorr.sigma2 is not None:
        pooled = share**2 @ [_block(fit, RESIDUAL)[0, 0] for fit in distinct]
        own.append(np.array([[pooled]]))
    whole = np.full((sum(map(len, own)),) * 2, np.nan)
    start = 0
    for block in own:
        whole[start : start + len(block), start : start + len(block)] = block
        start += len(block)
    return whole


def _block(fit: CovarianceResult, group: str) -> np.ndarray:
    rows = np.flatnonzero(fit.standard_errors["grp"].to_numpy() == group)
    assert fit.varcorr_covariance is not None
    return fit.varcorr_covariance[np.ix_(rows, rows)]


def _rows_of(frame: pd.DataFrame, group: str) -> pd.DataFrame:
    return frame.loc[frame["grp"].to_numpy() == group]

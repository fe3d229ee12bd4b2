"""The posterior of every covariance entry, as variance or covariance and as standard deviation or correlation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.errors import DataError
from mixedfx.varcorr import RESIDUAL

if TYPE_CHECKING:
    from mixedfx.covariance.result import CovarianceResult

Floats = NDArray[np.float64]


def posterior_table(result: CovarianceResult, quantiles: Sequence[float] = (0.05, 0.5, 0.95)) -> pd.DataFrame:
    """Moments, quantiles and diagnostics of every entry, from the draws.

    Parameters
    ----------
    result
        Of a Bayesian method.
    quantiles
        Between 0 and 1.

    Returns
    -------
    DataFrame
        Two rows an entry, ``scale`` "vcov" (variances, covariances) and "sdcor" (standard deviations, correlations);
        grp, var1, var2 as in lme4's frame, ``mean``, ``sd``, ``mcse`` (Monte Carlo standard error of the mean), a
        column a quantile ("q05"), ``ess`` and ``r_hat`` (NaN without chains). Effective sizes of methods without
        chains are those of the weighted draws of the variance or covariance.

    Raises
    ------
    DataError
        The result has no draws.
    """
    if result.posterior is None and all(fit.posterior is None for fit in result.fits.values()):
        raise DataError(
            f"a result by method '{result.method}' has no draws; learn with method='nuts' or 'marginal'"
        )
    rows = []
    for row in result.standard_errors.to_dict("records"):
        fit = result.fits.get(row["grp"], result)
        drawn = None if fit.posterior is None else _draws(fit, row)
        if drawn is None:  # sigma^2 pooled over several fits
            continue
        for scale, draws in zip(("vcov", "sdcor"), drawn, strict=True):
            about = {"grp": row["grp"], "var1": row["var1"], "var2": row["var2"], "scale": scale}
            rows.append(about | _summary(draws, quantiles, row))
    return pd.DataFrame(rows)


def _draws(fit: CovarianceResult, row: dict[str, object]) -> tuple[Floats, Floats]:
    """Draws (chains, draws) of an entry on both scales."""
    assert fit.posterior is not None
    posterior = fit.posterior["posterior"]
    if row["grp"] == RESIDUAL:
        sigma = posterior["sigma"].transpose("chain", "draw").to_numpy()
        return sigma**2, sigma
    names = list(fit.varcorr.block(str(row["grp"])).names)
    matrices = posterior[f"Sigma_{row['grp']}"].transpose("chain", "draw", ...).to_numpy()
    i = names.index(str(row["var1"]))
    variance = matrices[..., i, i]
    if not isinstance(row["var2"], str):
        return variance, np.sqrt(variance)
    j = names.index(row["var2"])
    covariance = matrices[..., i, j]
    return covariance, covariance / np.sqrt(variance * matrices[..., j, j])


def _summary(draws: Floats, quantiles: Sequence[float], row: dict[str, object]) -> dict[str, float]:
    from arviz_stats.sampling_diagnostics import ess, rhat

    chains = len(draws) > 1
    effective = float(ess(draws, method="mean")) if chains else float(row["ess_bulk"])  # pyright: ignore[reportArgumentType]
    sd = float(draws.std(ddof=1))
    found = {"mean": float(draws.mean()), "sd": sd, "mcse": sd / np.sqrt(effective)}
    found |= {f"q{round(100 * p):02d}": float(np.quantile(draws, p)) for p in quantiles}
    return found | {"ess": effective, "r_hat": float(rhat(draws)) if chains else np.nan}

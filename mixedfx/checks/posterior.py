"""Stage 1's draws of the covariances, entry by entry, and whether they have mixed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.varcorr import RESIDUAL

if TYPE_CHECKING:
    from mixedfx.covariance.result import CovarianceResult

Floats = NDArray[np.float64]


def entry_draws(cov: CovarianceResult, group: str, first: object, second: object) -> Floats | None:
    """Draws of one entry of lme4's frame (a variance or covariance), shape (chains, draws).

    None where stage 1 has no posterior of it, as for the pooled sigma^2 of several fits.
    """
    posterior = cov.fits.get(group, cov).posterior
    if posterior is None:
        return None
    draws = posterior["posterior"]
    if group == RESIDUAL:
        return draws["sigma"].transpose("chain", "draw").to_numpy() ** 2
    matrix = draws[f"Sigma_{group}"]
    row, column = (dim for dim in matrix.dims if dim not in ("chain", "draw"))
    pair = {row: first, column: second if isinstance(second, str) else first}
    return matrix.sel(pair).transpose("chain", "draw").to_numpy()


def sigma_draws(cov: CovarianceResult, factor: str) -> Floats | None:
    """Draws of a factor's whole Sigma, shape (chains x draws, q, q), in its `VarCorr`'s order; None without any."""
    posterior = cov.fits.get(factor, cov).posterior
    if posterior is None or f"Sigma_{factor}" not in posterior["posterior"]:
        return None
    matrix = posterior["posterior"][f"Sigma_{factor}"]
    row, column = (dim for dim in matrix.dims if dim not in ("chain", "draw"))
    names = list(cov.varcorr.block(factor).names)
    values = matrix.sel({row: names, column: names}).transpose("chain", "draw", row, column).to_numpy()
    return values.reshape(-1, len(names), len(names))


def diagnostics(cov: CovarianceResult, entries: pd.DataFrame) -> pd.DataFrame:
    """R-hat (rank-normalised) and bulk effective size of each entry that has draws.

    Vehtari, Gelman, Simpson, Carpenter & Buerkner (2021), Bayesian Analysis 16.

    Parameters
    ----------
    entries
        Columns grp, var1, var2.

    Returns
    -------
    DataFrame
        On the index of `entries`, those with draws only; columns r_hat, ess_bulk.
    """
    from arviz_stats.base.array import array_stats

    found: dict[object, tuple[float, float]] = {}
    for label, row in zip(entries.index, entries.to_dict("records"), strict=True):
        draws = entry_draws(cov, row["grp"], row["var1"], row["var2"])
        if draws is not None and np.ptp(draws) > 0:
            chains = draws if len(draws) > 1 else np.stack(np.array_split(draws[0, draws.shape[1] % 2 :], 2))
            ess = array_stats.ess(draws, method="bulk")
            found[label] = float(np.asarray(array_stats.rhat(chains))), float(np.asarray(ess))
    return pd.DataFrame.from_dict(found, orient="index", columns=["r_hat", "ess_bulk"])


def divergences(cov: CovarianceResult) -> int:
    """Divergent transitions of all fits."""
    total = 0
    for fit in {id(fit): fit for fit in (cov, *cov.fits.values())}.values():
        if fit.posterior is not None and "sample_stats" in fit.posterior.children:
            statistics = fit.posterior["sample_stats"]
            if "diverging" in statistics:
                total += int(np.sum(statistics["diverging"].to_numpy()))
    return total

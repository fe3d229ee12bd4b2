"""What draws say of covariance entries, and whether they explored the posterior well enough to be frozen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

if TYPE_CHECKING:
    from mixedfx.varcorr import VarCorr

Floats = NDArray[np.float64]

MAX_R_HAT = 1.01
MIN_ESS = 400
MIN_E_BFMI = 0.3
MAX_PARETO_K = 0.7
FEWEST_DRAWS = 4
"""Of a chain: the diagnostics need as many."""


def reasons_not_to_freeze(table: pd.DataFrame, statistics: Mapping[str, NDArray[Any]]) -> list[str]:
    """What is wrong with the draws, in words with a remedy; nothing where all is well.

    Parameters
    ----------
    table
        Covariance entries with their r_hat and ess_bulk (`entry_table`).
    statistics
        Sample statistics diverging and energy, shape (chains, draws); what is not there is not judged.

    References
    ----------
    Vehtari, Gelman, Simpson, Carpenter & Buerkner 2021, Bayesian Analysis 16 (R-hat, effective sizes); Betancourt 2016,
    arXiv 1604.00695 (E-BFMI).
    """
    reasons: list[str] = []
    worst = table.loc[table["r_hat"].fillna(np.inf).idxmax()]
    if np.isnan(worst["r_hat"]):
        reasons.append(
            f"R-hat of {entry_name(worst)} is nan: it takes at least 2 chains, with draws that differ"
        )
    elif worst["r_hat"] > MAX_R_HAT:
        reasons.append(
            f"R-hat of {entry_name(worst)} is {worst['r_hat']:.3f} (at most {MAX_R_HAT}): the chains disagree; run "
            "longer (warmup, draws)"
        )
    reasons += _too_few_draws(table)
    divergences = int(statistics["diverging"].sum()) if "diverging" in statistics else 0
    if divergences:
        reasons.append(
            f"{divergences} divergent transition(s): part of the posterior was not reached; learn from more levels, or "
            "give narrower priors"
        )
    energy = float(e_bfmi(statistics["energy"]).min()) if "energy" in statistics else np.inf
    if energy < MIN_E_BFMI:
        reasons.append(
            f"E-BFMI is {energy:.2f} (at least {MIN_E_BFMI}): the energy is explored slowly; run a longer warm-up"
        )
    return reasons


def reasons_not_to_freeze_weighted(table: pd.DataFrame, pareto_k: float) -> list[str]:
    """The same for importance sampling.

    Parameters
    ----------
    table
        Covariance entries with their ess_bulk (`mixedfx.covariance.weighted_posterior.weighted_table`).
    pareto_k
        Shape of the tail of the weights.

    References
    ----------
    Vehtari, Simpson, Gelman, Yao & Gabry 2024, Journal of Machine Learning Research 25 (PSIS).
    """
    reasons: list[str] = []
    if not pareto_k <= MAX_PARETO_K:
        reasons.append(
            f"Pareto k is {pareto_k:.2f} (at most {MAX_PARETO_K}): the approximation leaves part of the posterior out; "
            "use method='nuts'"
        )
    return reasons + _too_few_draws(table)


def _too_few_draws(table: pd.DataFrame) -> list[str]:
    poorest = table.loc[table["ess_bulk"].fillna(0.0).idxmin()]
    if poorest["ess_bulk"] >= MIN_ESS:
        return []
    return [
        f"the effective sample size of {entry_name(poorest)} is {poorest['ess_bulk']:.0f} (at least {MIN_ESS}): take "
        "more draws"
    ]


def e_bfmi(energy: NDArray[Any]) -> NDArray[Any]:
    """Energy Bayesian fraction of missing information of each chain; energy (chains, draws)."""
    return (np.diff(energy, axis=1) ** 2).sum(axis=1) / (energy.var(axis=1) * energy.shape[1])


def entry_name(row: pd.Series) -> str:
    """One covariance entry in words: "s (Intercept)", "s (Intercept),x", "Residual"."""
    names = [name for name in (row["var1"], row["var2"]) if isinstance(name, str)]
    return f"{row['grp']} {','.join(names)}".strip()


def entry_table(varcorr: VarCorr, entries: Floats) -> pd.DataFrame:
    """The frame of `varcorr` with posterior sd (``se``), quantiles and diagnostics of every entry.

    Columns mcse, ess_bulk, ess_tail, r_hat are ArviZ's, of the mean of the draws.
    """
    from arviz_stats.sampling_diagnostics import ess, mcse, rhat

    frame = varcorr.to_frame()
    each = [entries[..., i] for i in range(entries.shape[-1])]
    frame["se"] = [float(x.std(ddof=1)) for x in each]
    frame["mcse"] = [float(mcse(x)) for x in each]
    frame["ess_bulk"] = [float(ess(x, method="bulk")) for x in each]
    frame["ess_tail"] = [float(ess(x, method="tail", prob=(0.05, 0.95))) for x in each]
    frame["r_hat"] = [float(rhat(x)) for x in each]
    frame["q05"], frame["q95"] = ([float(np.quantile(x, p)) for x in each] for p in (0.05, 0.95))
    return frame

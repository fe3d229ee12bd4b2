"""Whether a posterior was explored well enough for its covariances to be frozen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

MAX_R_HAT = 1.01
MIN_ESS = 400
MIN_E_BFMI = 0.3


def reasons_not_to_freeze(table: pd.DataFrame, statistics: Mapping[str, NDArray[Any]]) -> list[str]:
    """What is wrong with the draws, in words with a remedy; nothing where all is well.

    Parameters
    ----------
    table
        Covariance entries with their r_hat and ess_bulk (`mixedfx.covariance.posterior.entry_table`).
    statistics
        Sample statistics diverging and energy, shape (chains, draws).

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
    poorest = table.loc[table["ess_bulk"].fillna(0.0).idxmin()]
    if not poorest["ess_bulk"] >= MIN_ESS:
        reasons.append(
            f"the effective sample size of {entry_name(poorest)} is {poorest['ess_bulk']:.0f} (at least {MIN_ESS}): "
            "take more draws"
        )
    divergences = int(statistics["diverging"].sum())
    if divergences:
        reasons.append(
            f"{divergences} divergent transition(s): part of the posterior was not reached; learn from more levels, or "
            "give narrower priors"
        )
    energy = float(e_bfmi(statistics["energy"]).min())
    if energy < MIN_E_BFMI:
        reasons.append(
            f"E-BFMI is {energy:.2f} (at least {MIN_E_BFMI}): the energy is explored slowly; run a longer warm-up"
        )
    return reasons


def e_bfmi(energy: NDArray[Any]) -> NDArray[Any]:
    """Energy Bayesian fraction of missing information of each chain; energy (chains, draws)."""
    return (np.diff(energy, axis=1) ** 2).sum(axis=1) / (energy.var(axis=1) * energy.shape[1])


def entry_name(row: pd.Series) -> str:
    """One covariance entry in words: "s (Intercept)", "s (Intercept),x", "Residual"."""
    names = [name for name in (row["var1"], row["var2"]) if isinstance(name, str)]
    return f"{row['grp']} {','.join(names)}".strip()

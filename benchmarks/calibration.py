"""Simulation-based calibration of stage 1's posteriors (Talts et al. 2018, arXiv 1804.06788).

Covariances and fixed effects are drawn from the prior, data from the model, and the truth is ranked among draws of the
posterior: where both come from the same model and the sampler is right, the ranks of each covariance entry are uniform.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import chi2

import mixedfx as mfx
from mixedfx.families import get_family

FORMULA = "y ~ 1 + x + (1 + x | user) + (1 | item)"
PRIORS = {
    "beta": {"normal": [0, 1]},
    "Sigma": {"sd": {"half_normal": 1}, "correlation": {"lkj": 2}},
}
SIGMA_PRIOR = {"lognormal": [0.0, 0.5]}
THRESHOLDS = {"normal": [0, 1]}
USERS, ITEMS, ROWS = 24, 12, 288
TRIALS = 4.0
KEPT = 99
"""Draws that the truth is ranked among, spread over the chains; ranks are 0 to 99."""
BINS = 10


@dataclass(frozen=True)
class Calibration:
    """Of one covariance entry, over all data sets.

    Attributes
    ----------
    family, method, entry
        `entry` is a factor and coefficients, such as "user (Intercept),x".
    counts
        Data sets whose rank lies in each tenth of the range.
    p_value
        Of a chi-square test of equal counts.
    """

    family: str
    method: str
    entry: str
    counts: tuple[int, ...]
    p_value: float


def calibration(family: str, method: str, n_data_sets: int) -> Iterator[Calibration]:
    """Rank histograms of every covariance entry."""
    ranks = pd.DataFrame([_ranks(family, method, seed) for seed in range(n_data_sets)])
    for entry in ranks:
        counts = np.bincount(ranks[entry].to_numpy() * BINS // (KEPT + 1), minlength=BINS)
        statistic = float(((counts - n_data_sets / BINS) ** 2).sum() / (n_data_sets / BINS))
        yield Calibration(
            family, method, str(entry), tuple(counts.tolist()), float(chi2.sf(statistic, BINS - 1))
        )


def _ranks(family: str, method: str, seed: int) -> dict[str, int]:
    """Ranks of one data set's true covariances."""
    of, rng = get_family(family), np.random.default_rng([seed, 7])
    truth = _truth(rng, of.has_sigma)
    data, weights = _data(family, truth, rng)
    priors = PRIORS | ({"sigma": SIGMA_PRIOR} if of.has_sigma else {})
    priors |= {"thresholds": THRESHOLDS} if of.has_thresholds else {}
    options = {"weights": weights, "priors": priors, "force": True, "seed": seed}
    cov = mfx.learn_covariance(FORMULA, data, family=family, method=method, draws=400, warmup=400, **options)
    posterior = cov.posterior["posterior"]
    ranks = {}
    for row in truth.to_dict("records"):
        name = f"{row['grp']} {','.join(v for v in (row['var1'], row['var2']) if isinstance(v, str))}".strip()
        if row["grp"] == "Residual":
            draws = posterior["sigma"].to_numpy() ** 2
        else:
            names = list(cov.varcorr.block(row["grp"]).names)
            i = names.index(row["var1"])
            j = names.index(row["var2"]) if isinstance(row["var2"], str) else i
            draws = posterior[f"Sigma_{row['grp']}"].to_numpy()[..., i, j]
        flat = draws.ravel()
        kept = flat[np.linspace(0, len(flat) - 1, KEPT).astype(int)]
        ranks[name] = int((kept < row["vcov"]).sum())
    return ranks


def _truth(rng: np.random.Generator, has_sigma: bool) -> pd.DataFrame:
    """Covariances from the prior, as lme4's frame."""
    user, item = np.abs(rng.standard_normal(2)), abs(rng.standard_normal())
    correlation = 2 * rng.beta(2, 2) - 1  # LKJ(2) of two coefficients
    rows = [
        ("user", "(Intercept)", None, user[0] ** 2),
        ("user", "x", None, user[1] ** 2),
        ("user", "(Intercept)", "x", correlation * user[0] * user[1]),
        ("item", "(Intercept)", None, item**2),
    ]
    if has_sigma:
        rows.append(("Residual", None, None, np.exp(2 * rng.normal(0, 0.5))))
    return pd.DataFrame(rows, columns=["grp", "var1", "var2", "vcov"])


def _data(family: str, truth: pd.DataFrame, rng: np.random.Generator) -> tuple[pd.DataFrame, str | None]:
    """Every user meets every item once, with x centred, so that the prior of the intercept is that of its centre."""
    of = get_family(family)
    vc = mfx.VarCorr.from_frame(truth)
    user, item = np.repeat(np.arange(USERS), ITEMS), np.tile(np.arange(ITEMS), USERS)
    x = rng.standard_normal(ROWS)
    x -= x.mean()
    b = rng.multivariate_normal(np.zeros(2), vc["user"].to_numpy(), USERS)
    eta = b[user, 0] + b[user, 1] * x + np.sqrt(vc["item"].iloc[0, 0]) * rng.standard_normal(ITEMS)[item]
    eta += rng.standard_normal() * x
    auxiliary: object = vc.sigma2
    if of.has_thresholds:
        auxiliary = np.sort(rng.standard_normal(3))
    else:
        eta += rng.standard_normal()
    trials = np.full(ROWS, TRIALS)
    y = of.sample(eta, rng, auxiliary, trials if family == "binomial" else None)
    frame = pd.DataFrame({"y": y, "x": x, "user": user, "item": item, "trials": trials})
    if family in ("bernoulli", "poisson", "cumulative"):
        frame["y"] = y.astype(int)
    return frame, "trials" if family == "binomial" else None

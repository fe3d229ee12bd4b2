"""Do stage 2's 90 % intervals cover the truth in 90 % of the cases? Simulated data sets, pooled over coefficients.

Covariances and the truth are drawn anew for each data set, so that the intervals ``mode +- 1.645 ranef_sd`` have their
Bayesian coverage, of random and fixed effects. For families other than gaussian they rest on Laplace's approximation,
whose error shows here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import norm

import mixedfx as mfx
from mixedfx.families import get_family

FORMULA = "y ~ 1 + x + (1 + x | user) + (1 | item)"
FAMILIES = ("gaussian", "bernoulli", "binomial", "poisson", "cumulative")
BETA = {"(Intercept)": 0.3, "x": 0.4}
COVARIANCES = [
    ("user", "(Intercept)", None, 0.6),
    ("user", "x", None, 0.2),
    ("user", "(Intercept)", "x", 0.1),
    ("item", "(Intercept)", None, 0.4),
]
THRESHOLDS = np.array([-1.5, -0.4, 0.6, 1.8])
TRIALS = 4
USERS, ITEMS, ROWS = 100, 40, 3000


@dataclass(frozen=True)
class Coverage:
    """Of one family, over all data sets.

    Attributes
    ----------
    family, kind
        `kind` is a factor and coefficient such as "user x", "fixed x", or "all random".
    coefficients
        Intervals judged.
    covered
        Share of them that held the truth.
    standard_error
        Of that share, over data sets.
    """

    family: str
    kind: str
    coefficients: int
    covered: float
    standard_error: float


def coverage(families: tuple[str, ...], n_data_sets: int, level: float = 0.9) -> Iterator[Coverage]:
    """Coverage of every kind of coefficient, family by family."""
    for family in families:
        hits: dict[str, list[tuple[int, int]]] = {}
        for seed in range(n_data_sets):
            for kind, inside in _one(family, seed, level).items():
                hits.setdefault(kind, []).append((int(inside.sum()), inside.size))
        for kind, counts in hits.items():
            inside, sizes = np.array(counts).T
            shares = inside / sizes
            error = float(shares.std(ddof=1) / np.sqrt(len(shares))) if len(shares) > 1 else float("nan")
            yield Coverage(family, kind, int(sizes.sum()), float(inside.sum() / sizes.sum()), error)


def _one(family: str, seed: int, level: float) -> dict[str, np.ndarray]:
    """Which intervals of one data set hold the truth, by kind."""
    has_sigma = get_family(family).has_sigma
    latent = [*COVARIANCES, ("Residual", None, None, 1.0)]
    columns = ["grp", "var1", "var2", "vcov"]
    made = mfx.simulate(
        FORMULA,
        levels={"user": USERS, "item": ITEMS},
        n_rows=ROWS,
        beta=BETA,
        varcorr=mfx.VarCorr.from_frame(pd.DataFrame(latent, columns=columns)),
        seed=seed,
    )
    data, weights = made.data, None
    if not has_sigma:
        auxiliary = THRESHOLDS if family == "cumulative" else None
        trials = np.full(ROWS, float(TRIALS))
        rng = np.random.default_rng([seed, 1])
        data = data.assign(y=get_family(family).sample(made.truth.eta, rng, auxiliary, trials))
        weights = trials if family == "binomial" else None
        if family == "bernoulli":
            data["y"] = data["y"].astype(int)
    given = mfx.VarCorr.from_frame(pd.DataFrame(latent if has_sigma else COVARIANCES, columns=columns))
    fit = mfx.estimate_coefficients(FORMULA, data, given, family=family, weights=weights)
    half = norm.ppf(0.5 + level / 2)
    out: dict[str, np.ndarray] = {}
    for factor, modes in fit.ranef.items():
        inside = (modes - made.truth.ranef[factor]).abs() <= half * fit.ranef_sd(factor)
        out |= {f"{factor} {name}": inside[name].to_numpy() for name in inside}
    out["all random"] = np.concatenate(list(out.values()))
    for name, estimate in fit.fixef.items():
        inside = abs(estimate - BETA[str(name)]) <= half * fit.fixef_se[name]
        out[f"fixed {name}"] = np.array([inside])
    return out

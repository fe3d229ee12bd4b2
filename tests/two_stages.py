"""Two-stage fits of simulated ratings, for the tests of the comparison."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mixedfx.coefficients.estimate import estimate_coefficients
from mixedfx.coefficients.result import CoefficientsResult
from mixedfx.covariance.learn import learn_covariance
from mixedfx.covariance.result import CovarianceResult
from mixedfx.simulation import Truth, simulate
from mixedfx.subsample import Subsample
from mixedfx.varcorr import VarCorr

if TYPE_CHECKING:
    from xarray import DataTree

FORMULA = "y ~ 1 + x + (1 + x | user) + (1 | item)"
ROWS = [
    ("user", "(Intercept)", None, 0.5),
    ("user", "x", None, 0.2),
    ("user", "(Intercept)", "x", 0.1),
    ("item", "(Intercept)", None, 0.3),
]
TRUTH = VarCorr.from_frame(
    pd.DataFrame([*ROWS, ("Residual", None, None, 1.0)], columns=["grp", "var1", "var2", "vcov"])
)


@dataclass(frozen=True)
class TwoStages:
    """Both stages, the rows they had, and rows that they had not."""

    data: pd.DataFrame
    holdout: pd.DataFrame
    truth: Truth
    cov: CovarianceResult
    coef: CoefficientsResult


def simulated(seed: int, *, users: int = 80, items: int = 60, rows: int = 3000) -> tuple[pd.DataFrame, Truth]:
    made = simulate(
        FORMULA,
        levels={"user": users, "item": items},
        n_rows=rows,
        beta={"(Intercept)": 1.0, "x": 0.5},
        varcorr=TRUTH,
        activity="uniform",
        seed=seed,
    )
    return made.data, made.truth


def fit(data: pd.DataFrame, holdout: pd.DataFrame, truth: Truth, subsample: Subsample | None) -> TwoStages:
    """REML on the subsample, coefficients from all of `data`."""
    cov = learn_covariance(FORMULA, data, subsample=subsample)
    return TwoStages(data, holdout, truth, cov, estimate_coefficients(FORMULA, data, cov))


CHAINS, DRAWS = 4, 300


def posterior_of(stages: TwoStages, *, apart: float = 0.0, diverging: int = 0) -> DataTree:
    """Draws around stage 1's estimate; coefficients from its normal distribution, chains of Sigma `apart`."""
    from arviz_base import from_dict

    cov, rng = stages.cov, np.random.default_rng(0)
    rows = stages.data.iloc[cov.rows]
    drawn = estimate_coefficients(cov.formula, rows, cov).draws(CHAINS * DRAWS, seed=1)["posterior"]
    variables, dims, coords = {}, {}, {}
    chain = apart * np.arange(CHAINS)[:, None, None, None]
    for factor in cov.varcorr.factors:
        S = cov.varcorr[factor]
        A = 0.05 * rng.standard_normal((CHAINS, DRAWS, len(S), len(S)))
        variables[f"Sigma_{factor}"] = S.to_numpy() * (1 + A + A.swapaxes(2, 3) + chain)
        dims[f"Sigma_{factor}"] = [f"{factor}_coef", f"{factor}_coef_bis"]
        b = drawn[f"b_{factor}"].to_numpy()
        variables[f"b_{factor}"] = b.reshape(CHAINS, DRAWS, *b.shape[2:])
        dims[f"b_{factor}"] = [factor, f"{factor}_coef"]
        coords |= {factor: drawn[factor].to_numpy(), f"{factor}_coef": list(S), f"{factor}_coef_bis": list(S)}
    variables["sigma"] = cov.varcorr.sigma * (1 + 0.02 * rng.standard_normal((CHAINS, DRAWS)))
    flags = np.zeros((CHAINS, DRAWS), dtype=bool)
    flags[0, :diverging] = True
    return from_dict({"posterior": variables, "sample_stats": {"diverging": flags}}, coords=coords, dims=dims)


def with_posterior(stages: TwoStages, **options: float) -> TwoStages:
    posterior = posterior_of(stages, **options)  # pyright: ignore[reportArgumentType]
    return replace(stages, cov=replace(stages.cov, method="nuts", posterior=posterior))

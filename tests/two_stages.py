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

    from mixedfx.checks.compare import Comparison

FORMULA = "y ~ 1 + x + (1 + x | user) + (1 | item)"
ROWS = [
    ("user", "(Intercept)", None, 0.5),
    ("user", "x", None, 0.2),
    ("user", "(Intercept)", "x", 0.1),
    ("item", "(Intercept)", None, 0.3),
]
COLUMNS = ["grp", "var1", "var2", "vcov"]
TRUTH = {
    "gaussian": VarCorr.from_frame(pd.DataFrame([*ROWS, ("Residual", None, None, 1.0)], columns=COLUMNS)),
    "bernoulli": VarCorr.from_frame(pd.DataFrame(ROWS, columns=COLUMNS).assign(vcov=lambda f: 2 * f["vcov"])),
}
"""What a row says of its levels is less where it is a yes or a no."""


@dataclass(frozen=True)
class TwoStages:
    """Both stages, the rows they had, and rows that they had not."""

    data: pd.DataFrame
    holdout: pd.DataFrame
    truth: Truth
    cov: CovarianceResult
    coef: CoefficientsResult


def simulated(
    seed: int, *, users: int = 80, items: int = 60, rows: int = 3000, family: str = "gaussian"
) -> tuple[pd.DataFrame, Truth]:
    made = simulate(
        FORMULA,
        levels={"user": users, "item": items},
        n_rows=rows,
        beta={"(Intercept)": 1.0, "x": 0.5},
        varcorr=TRUTH[family],
        family=family,
        activity="uniform",
        seed=seed,
    )
    return made.data, made.truth


def fit(
    data: pd.DataFrame,
    holdout: pd.DataFrame,
    truth: Truth,
    subsample: Subsample | None,
    family: str = "gaussian",
) -> TwoStages:
    """REML or Laplace's likelihood on the subsample, coefficients from all of `data`."""
    cov = learn_covariance(FORMULA, data, subsample=subsample, family=family)
    return TwoStages(data, holdout, truth, cov, estimate_coefficients(FORMULA, data, cov, family=family))


def problems(comparison: Comparison) -> pd.DataFrame:
    """What stands against a fit."""
    return comparison.summary[comparison.summary["status"].isin(["warn", "fail"])]


def scaled(varcorr: VarCorr, factor: str, times: float) -> VarCorr:
    frame = varcorr.to_frame()
    frame.loc[frame["grp"] == factor, "vcov"] *= times
    return VarCorr.from_frame(frame)


def with_sigma(stages: TwoStages, varcorr: VarCorr) -> TwoStages:
    """As if stage 1 had learned these covariances."""
    cov = replace(stages.cov, varcorr=varcorr)
    coef = estimate_coefficients(FORMULA, stages.data, cov, family=cov.family)
    return replace(stages, cov=cov, coef=coef)


def permuted(data: pd.DataFrame, column: str) -> pd.DataFrame:
    """With other labels for a factor's levels."""
    labels = np.sort(data[column].unique())
    other = dict(zip(labels, np.random.default_rng(5).permutation(labels), strict=True))
    return data.assign(**{column: data[column].map(other)})


CHAINS, DRAWS = 4, 300


def posterior_of(stages: TwoStages, *, apart: float = 0.0, diverging: int = 0) -> DataTree:
    """Draws around stage 1's estimate; coefficients from its normal distribution, chains of Sigma `apart`."""
    from arviz_base import from_dict

    cov, rng = stages.cov, np.random.default_rng(0)
    rows = stages.data.iloc[cov.rows]
    drawn = estimate_coefficients(cov.formula, rows, cov, family=cov.family).draws(CHAINS * DRAWS, seed=1)[
        "posterior"
    ]
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
    if cov.varcorr.sigma is not None:
        variables["sigma"] = cov.varcorr.sigma * (1 + 0.02 * rng.standard_normal((CHAINS, DRAWS)))
    flags = np.zeros((CHAINS, DRAWS), dtype=bool)
    flags[0, :diverging] = True
    return from_dict({"posterior": variables, "sample_stats": {"diverging": flags}}, coords=coords, dims=dims)


def with_posterior(stages: TwoStages, **options: float) -> TwoStages:
    posterior = posterior_of(stages, **options)  # pyright: ignore[reportArgumentType]
    return replace(stages, cov=replace(stages.cov, method="nuts", posterior=posterior))

"""The covariances' test where stage 1 is the mean of replicates."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx
from mixedfx.coefficients.result import CoefficientsResult
from mixedfx.covariance.result import CovarianceResult

FORMULA = "y ~ 1 + (1 | user) + (1 | item)"
ENTRIES = [("user", "(Intercept)", 0.5), ("item", "(Intercept)", 0.4), ("Residual", None, 1.0)]


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    frame = pd.DataFrame(ENTRIES, columns=["grp", "var1", "vcov"]).assign(var2=None)
    return mfx.simulate(
        FORMULA,
        levels={"user": 400, "item": 60},
        n_rows=6000,
        beta={"(Intercept)": 0.0},
        varcorr=mfx.VarCorr.from_frame(frame),
        seed=4,
    ).data


@pytest.fixture(scope="module")
def full(data: pd.DataFrame) -> CovarianceResult:
    return mfx.learn_covariance(FORMULA, data, satterthwaite=False)


def comparison(
    data: pd.DataFrame, full: CovarianceResult, cov: CovarianceResult
) -> tuple[pd.DataFrame, CoefficientsResult]:
    coef = mfx.estimate_coefficients(FORMULA, data, cov)
    return mfx.compare_stages(cov, coef, refined=full).covariances, coef


def test_scores_are_those_of_the_mean(data: pd.DataFrame, full: CovarianceResult) -> None:
    """Over 24 drawings of four replicates the full-data estimate is off by as much as is said."""
    z = []
    for seed in range(24):
        sample = mfx.Subsample("levels", factor="user", n_levels=40, replicates=4, seed=seed)
        cov = mfx.learn_covariance(FORMULA, data, subsample=sample, satterthwaite=False)
        table, _ = comparison(data, full, cov)
        z.append(table["z"].iloc[0])
    # 24 scores know their standard deviation to 15 %; with the error of one replicate it would be about 0.6.
    assert 0.7 < np.std(z) < 1.4
    assert abs(np.mean(z)) < 3 / np.sqrt(24)


def test_shared_levels_do_not_average_out(data: pd.DataFrame, full: CovarianceResult) -> None:
    sample = mfx.Subsample("levels", factor="user", n_levels=40, replicates=4, seed=1)
    cov = mfx.learn_covariance(FORMULA, data, subsample=sample, satterthwaite=False)
    largest = max(cov.replicates, key=lambda one: one.n_rows)
    table, _ = comparison(data, full, cov)
    alone, _ = comparison(data, full, largest)
    user, item, sigma = table["error"] / alone["error"]
    assert 0.3 < user < 0.6  # about 1/2: each replicate has users of its own
    assert 0.8 < item < 1.2  # and all of them nearly the same items
    assert 0.3 < sigma < 0.6

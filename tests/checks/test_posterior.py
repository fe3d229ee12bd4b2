"""Draws of covariance entries and their diagnostics."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from two_stages import CHAINS, DRAWS, TwoStages, with_posterior

from mixedfx.checks.compare import compare_stages
from mixedfx.checks.posterior import diagnostics, entry_draws

ENTRIES = pd.DataFrame(
    {
        "grp": ["user", "user", "item", "Residual"],
        "var1": ["(Intercept)", "(Intercept)", "(Intercept)", np.nan],
        "var2": [np.nan, "x", np.nan, np.nan],
    }
)


def test_entries_are_found_by_name(rows_fit: TwoStages) -> None:
    stages = with_posterior(rows_fit)
    assert stages.cov.posterior is not None
    draws = stages.cov.posterior["posterior"]
    covariance = entry_draws(stages.cov, "user", "(Intercept)", "x")
    assert np.array_equal(covariance, draws["Sigma_user"].to_numpy()[:, :, 0, 1])
    assert np.array_equal(entry_draws(stages.cov, "Residual", np.nan, np.nan), draws["sigma"].to_numpy() ** 2)
    assert entry_draws(rows_fit.cov, "user", "x", np.nan) is None


def test_diagnostics_are_arviz_s(rows_fit: TwoStages) -> None:
    import arviz_stats

    stages = with_posterior(rows_fit)
    found = diagnostics(stages.cov, ENTRIES)
    assert stages.cov.posterior is not None
    expected = arviz_stats.rhat(stages.cov.posterior["posterior"].to_dataset()[["Sigma_item"]])
    assert found.loc[2, "r_hat"] == pytest.approx(float(expected["Sigma_item"].squeeze()))
    assert (found["r_hat"] < 1.01).all()
    assert (found["ess_bulk"] > 0.5 * CHAINS * DRAWS).all()
    assert diagnostics(rows_fit.cov, ENTRIES).empty


def test_single_chain_is_split_in_two(rows_fit: TwoStages) -> None:
    stages = with_posterior(rows_fit)
    assert stages.cov.posterior is not None
    one = stages.cov.posterior.isel(chain=[0])
    found = diagnostics(replace(stages.cov, posterior=one), ENTRIES)
    assert found["r_hat"].between(0.99, 1.05).all()


def test_sound_posterior_passes(rows_fit: TwoStages) -> None:
    stages = with_posterior(rows_fit)
    comparison = compare_stages(stages.cov, stages.coef, data=stages.data)
    assert comparison.status == "ok", comparison.verdict
    assert {"posterior", "sample_stats"} <= set(comparison.data.children)
    # Ends of intervals from 1,200 draws have Monte Carlo errors of 5 % of a standard deviation a level.
    likelihood = compare_stages(rows_fit.cov, rows_fit.coef)
    for mine, normal in zip(comparison.levels, likelihood.levels, strict=True):
        off = mine.table["inside"] - normal.table["inside"]
        assert abs(off.mean()) < 0.01
        assert off.abs().max() < 0.15


def test_variances_from_draws_where_rows_are_not_known(rows_fit: TwoStages) -> None:
    stages = with_posterior(rows_fit)
    comparison = compare_stages(replace(stages.cov, rows=None), stages.coef)
    known = compare_stages(stages.cov, stages.coef)
    for mine, exact in zip(comparison.levels, known.levels, strict=True):
        # sqrt(1 / (2 * 1200)) = 2 % Monte Carlo error of a standard deviation; 10 % is 5 of these.
        assert mine.table["sd1"].to_numpy() == pytest.approx(exact.table["sd1"].to_numpy(), rel=0.1)
    assert comparison.status == "ok", comparison.verdict

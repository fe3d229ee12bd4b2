"""What is read off a posterior besides its means: tables on both scales, log likelihood, predictive draws."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from problems import RESPONSES, frame
from scipy import stats

import mixedfx as mfx
from mixedfx.covariance.result import CovarianceResult
from mixedfx.errors import DataError, SettingError


def data() -> pd.DataFrame:
    return frame(np.random.default_rng(6), 200)


def learned(family: str, draws: int = 200) -> CovarianceResult:
    weights = "trials" if family == "binomial" else None
    formula = f"{RESPONSES[family]} ~ 1 + x + (1 + x | g)"
    return mfx.learn_covariance(
        formula, data(), family=family, weights=weights, method="marginal", draws=draws, seed=1
    )


@pytest.fixture(scope="module")
def gaussian() -> CovarianceResult:
    return learned("gaussian", draws=1000)


def test_both_scales(gaussian: CovarianceResult) -> None:
    table = gaussian.posterior_table(quantiles=(0.1, 0.9)).set_index(["grp", "var1", "var2", "scale"])
    assert len(table) == 8
    draws = gaussian.posterior["posterior"]["Sigma_g"].to_numpy()[0]
    correlation = draws[:, 0, 1] / np.sqrt(draws[:, 0, 0] * draws[:, 1, 1])
    row = table.loc["g", "(Intercept)", "x", "sdcor"]
    assert row["mean"] == pytest.approx(correlation.mean())
    assert row["q10"] == pytest.approx(np.quantile(correlation, 0.1))
    assert row["mcse"] == pytest.approx(row["sd"] / np.sqrt(row["ess"]))
    entry = table.loc["Residual"].loc[(slice(None), slice(None), "vcov"), :].iloc[0]
    assert abs(entry["mean"] - gaussian.varcorr.sigma2) < 4 * entry["mcse"]


def test_a_likelihood_has_no_such_table() -> None:
    fit = mfx.learn_covariance("y ~ 1 + (1 | g)", data())
    with pytest.raises(DataError, match="'reml' has no draws"):
        fit.posterior_table()
    with pytest.raises(DataError, match="no draws"):
        fit.predictive(data())


@pytest.mark.parametrize("family", ["gaussian", "binomial", "cumulative"])
def test_log_likelihood_of_rows(family: str, gaussian: CovarianceResult) -> None:
    """Row by row for one draw, against scipy's distributions."""
    fit = gaussian if family == "gaussian" else learned(family)
    rows = data()
    weights = "trials" if family == "binomial" else None
    tree = fit.predictive(rows, weights=weights, draws=3, seed=2)
    name = RESPONSES[family]
    draw, posterior = 1, tree["posterior"]
    b = posterior["b_g"].sel(g=rows["g"].to_numpy()).to_numpy()[0, draw].astype(float)
    beta = posterior["beta"].to_numpy()[0, draw]
    x = rows["x"].to_numpy()
    eta = b[:, 0] + b[:, 1] * x + (beta[-1] * x) + (beta[0] if len(beta) == 2 else 0.0)
    if family == "gaussian":
        sigma = float(posterior["sigma"][0, draw])
        expected = stats.norm.logpdf(rows["y"], eta, sigma)
    elif family == "binomial":
        count = np.round(rows["share"] * rows["trials"])
        expected = stats.binom.logpmf(count, rows["trials"], 1 / (1 + np.exp(-eta)))
    else:
        edges = np.concatenate([[-np.inf], posterior["alpha"].to_numpy()[0, draw], [np.inf]])
        k = rows["o"].cat.codes.to_numpy()
        expected = np.log(stats.logistic.cdf(edges[k + 1] - eta) - stats.logistic.cdf(edges[k] - eta))
    found = tree["log_likelihood"][name].to_numpy()[0, draw]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    predicted = tree["posterior_predictive"][name]
    assert predicted.shape == (1, 3, len(rows))
    assert set(tree["observed_data"].data_vars) == {name}


def test_predictive_draws_are_like_the_data(gaussian: CovarianceResult) -> None:
    predicted = gaussian.predictive(data(), draws=100, log_likelihood=False, seed=3)
    assert "log_likelihood" not in predicted.children
    y = predicted["posterior_predictive"]["y"].to_numpy()[0]
    assert abs(y.std(axis=1).mean() / data()["y"].std() - 1) < 0.1
    coverage = (np.quantile(y, 0.05, axis=0) < data()["y"]) & (data()["y"] < np.quantile(y, 0.95, axis=0))
    assert 0.82 < coverage.mean() < 0.98


def test_rows_that_the_posterior_does_not_know(gaussian: CovarianceResult) -> None:
    with pytest.raises(DataError, match="level 99"):
        gaussian.predictive(data().assign(g=lambda d: d["g"].where(d.index > 0, 99)))
    with pytest.raises(SettingError, match="draws is 0"):
        gaussian.predictive(data(), draws=0)

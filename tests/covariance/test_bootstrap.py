"""Parametric bootstrap: what is simulated, that replicates depend on seed and number alone, and that runs go on."""

from __future__ import annotations

import doctest
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import goldens
import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx
from mixedfx.covariance import bootstrap as module
from mixedfx.covariance.bootstrap import simulated_response
from mixedfx.covariance.fit_again import design_again
from mixedfx.covariance.result import CovarianceResult
from mixedfx.design import build_design
from mixedfx.errors import DataError, SettingError

DYESTUFF = "Yield ~ 1 + (1 | Batch)"


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    return goldens.data("Dyestuff")


@pytest.fixture(scope="module")
def fit(data: pd.DataFrame) -> CovarianceResult:
    return mfx.learn_covariance(DYESTUFF, data)


def test_covariance_of_simulated_responses() -> None:
    """Var(y) = Z Sigma Z' + sigma^2 / w, E(y) = X beta, over many draws."""
    data = goldens.data("sleepstudy").query("Subject in ['308', '309']")
    data["w"] = np.where(np.arange(len(data)) % 2, 1.0, 4.0)
    fit = mfx.learn_covariance(
        "Reaction ~ Days + (1 + Days | Subject)", goldens.data("sleepstudy").assign(w=1.0), weights="w"
    )
    design = build_design(fit.formula, data, family=fit.family, weights="w")
    rng = np.random.default_rng(0)
    draws = np.array([simulated_response(fit, design, rng) for _ in range(4000)])
    z = np.column_stack([np.ones(len(data)), data["Days"]])
    same = data["Subject"].to_numpy()[:, None] == data["Subject"].to_numpy()
    V = (z @ fit.varcorr["Subject"].to_numpy() @ z.T) * same + np.diag(fit.varcorr.sigma2 / data["w"])
    mean = z @ fit.fixef.to_numpy()
    # Monte Carlo errors of means and covariances, with room for the largest of 210.
    np.testing.assert_allclose(draws.mean(axis=0), mean, atol=4.5 * np.sqrt(V.max() / 4000))
    spread = np.sqrt((V**2 + np.outer(np.diag(V), np.diag(V))) / 4000)
    assert np.abs((np.cov(draws, rowvar=False) - V) / spread).max() < 4.5


@pytest.mark.parametrize("family", ["bernoulli", "binomial", "poisson", "cumulative"])
def test_simulated_responses_are_of_their_family(family: str) -> None:
    case = {
        "bernoulli": "verbagg_laplace",
        "binomial": "cbpp_herd",
        "poisson": "grouseticks_nagq5",
        "cumulative": "wine",
    }[family]
    golden = goldens.load(case)
    data, weights = golden.data(), "size" if family == "binomial" else None
    fit = mfx.learn_covariance(golden.formula, data, family=family, weights=weights)
    design = design_again(fit, data, weights, "a test")
    rng = np.random.default_rng(1)
    draws = np.array([simulated_response(fit, design, rng) for _ in range(60)])
    assert draws.dtype == design.y.dtype
    assert set(np.unique(draws)) <= set(range(5)) or family in ("binomial", "poisson")
    if family == "binomial":
        trials = draws * data["size"].to_numpy()
        np.testing.assert_allclose(trials, np.rint(trials), atol=1e-9)
    # The model reproduces the mean response, but for the spread of 60 draws and its own bias.
    spread = draws.mean(axis=1).std()
    assert abs(draws.mean() - design.y.mean()) < 3 * spread


def test_replicates_depend_on_seed_and_number_alone(fit: CovarianceResult, data: pd.DataFrame) -> None:
    five = mfx.bootstrap(fit, data, n=5, seed=3)
    two = mfx.bootstrap(fit, data, n=2, seed=3)
    pd.testing.assert_frame_equal(five.replicates.iloc[:2], two.replicates)
    other = mfx.bootstrap(fit, data, n=2, seed=4)
    assert (other.replicates["sigma"].to_numpy() != two.replicates["sigma"].to_numpy()).all()


def test_spread_is_the_sampling_distribution(fit: CovarianceResult, data: pd.DataFrame) -> None:
    """In a balanced design sigma^2 and the grand mean have known distributions."""
    boot = mfx.bootstrap(fit, data, n=150, seed=1)
    draws, sigma2 = boot.replicates, fit.varcorr.sigma2
    assert sigma2 is not None
    # sigma^2 is chi-squared on 24 degrees of freedom unless the batch variance is 0 (then on more).
    inside = draws["var_(Intercept)|Batch"] > 0
    assert 0.85 < inside.mean() < 1
    assert draws.loc[inside, "sigma^2"].mean() == pytest.approx(
        sigma2, abs=3.5 * sigma2 * np.sqrt(2 / 24 / 150) + 0.03 * sigma2
    )
    # A standard deviation over 150 draws is good to 1 / sqrt(300).
    assert draws["(Intercept)"].std() == pytest.approx(fit.fixef_se.iloc[0], rel=3.5 / np.sqrt(300))
    np.testing.assert_allclose(draws["sigma"] ** 2, draws["sigma^2"])


def test_intervals(fit: CovarianceResult, data: pd.DataFrame) -> None:
    boot = mfx.bootstrap(fit, data, n=30, seed=2)
    percentile, basic = boot.intervals(0.8), boot.intervals(0.8, kind="basic")
    for row, name in enumerate(boot.replicates):
        low, high = np.quantile(boot.replicates[name], [0.1, 0.9])
        assert percentile.loc[row, "lower"] == pytest.approx(low)
        assert percentile.loc[row, "upper"] == pytest.approx(high)
        assert basic.loc[row, "lower"] == pytest.approx(2 * basic.loc[row, "estimate"] - high)
    same = mfx.confint(fit, data, method="boot", n=30, seed=2, level=0.8, parameters=["sd"])
    chosen = percentile[percentile["parameter"] == "sd"].reset_index(drop=True)
    pd.testing.assert_frame_equal(same, chosen)
    assert "30 replicates" in str(boot.summary())
    assert "sd_(Intercept)|Batch" in str(boot.summary())
    with pytest.raises(SettingError, match="kind is 'bca'"):
        boot.intervals(kind="bca")


def test_undefined_correlations_are_left_out() -> None:
    data = goldens.data("sleepstudy")
    fit = mfx.learn_covariance("Reaction ~ Days + (1 + Days | Subject)", data)
    boot = mfx.bootstrap(fit, data, n=4)
    name = "cor_Days.(Intercept)|Subject"
    assert boot.replicates[name].between(-1, 1).all()
    missing = boot.replicates.copy()
    missing.loc[0, name] = np.nan
    (row,) = replace(boot, replicates=missing).intervals(0.5, parameters=name).itertuples()
    assert row.upper == pytest.approx(np.quantile(missing[name].iloc[1:], 0.75))


class Killed(Exception):
    """What ends a run in a test."""


def test_a_killed_run_goes_on(
    fit: CovarianceResult, data: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = mfx.bootstrap(fit, data, n=5, seed=3)

    def stop(label: str, done: float, total: float | None = None, note: str = "") -> None:
        assert label == "bootstrap"
        assert (total, note) == (5, "")
        if done == 3:
            raise Killed

    with pytest.raises(Killed):
        mfx.bootstrap(fit, data, n=5, seed=3, folder=tmp_path / "boot", progress=stop)
    lines = tmp_path / "boot" / "replicates.jsonl"
    assert lines.read_text().count("\n") == 3
    with lines.open("a") as file:
        file.write('{"replicate": 3, "estim')
    computed: list[int] = []
    replicate = module._replicate

    def counting(*args: Any) -> Any:
        computed.append(args[2])
        return replicate(*args)

    monkeypatch.setattr(module, "_replicate", counting)
    again = mfx.bootstrap(fit, data, n=5, seed=3, folder=tmp_path / "boot")
    assert computed == [3, 4]
    pd.testing.assert_frame_equal(again.replicates, whole.replicates)
    mfx.bootstrap(fit, data, n=5, seed=3, folder=tmp_path / "boot")
    assert computed == [3, 4]
    assert all(json.loads(line) for line in lines.read_text().splitlines())


def test_a_folder_of_another_bootstrap_is_refused(
    fit: CovarianceResult, data: pd.DataFrame, tmp_path: Path
) -> None:
    mfx.bootstrap(fit, data, n=1, seed=3, folder=tmp_path)
    with pytest.raises(SettingError, match="with other seed;"):
        mfx.bootstrap(fit, data, n=1, seed=4, folder=tmp_path)
    with pytest.raises(SettingError, match="with other data"):
        mfx.bootstrap(fit, data.assign(Yield=data["Yield"][::-1].to_numpy()), n=1, seed=3, folder=tmp_path)


def test_failures_are_counted_and_named(tmp_path: Path) -> None:
    """So few successes that many a simulated data set has none at all."""
    data = pd.DataFrame({"y": [1] + 19 * [0], "g": np.arange(20) % 5})
    fit = mfx.learn_covariance("y ~ 1 + (1 | g)", data, family="bernoulli")
    boot = mfx.bootstrap(fit, data, n=12, seed=1, folder=tmp_path)
    assert 0 < len(boot.failures) < 12
    assert len(boot.replicates) + len(boot.failures) == 12
    assert set(boot.replicates.index) | set(boot.failures.index) == set(range(12))
    assert boot.failures.str.contains("DataError").all()
    assert f"{len(boot.failures)} more could not be fitted" in str(boot.summary())
    again = mfx.bootstrap(fit, data, n=12, seed=1, folder=tmp_path)
    pd.testing.assert_series_equal(again.failures, boot.failures)


def test_frequencies_are_so_many_observations() -> None:
    rng = np.random.default_rng(0)
    long = pd.DataFrame({"g": np.repeat(np.arange(12), 20)})
    long["y"] = (rng.random(240) < 1 / (1 + np.exp(-rng.standard_normal(12)[long["g"]]))).astype(int)
    short = long.value_counts().rename("w").reset_index().sort_values(["g", "y"])
    formula = "y ~ 1 + (1 | g)"
    from_short = mfx.learn_covariance(formula, short, family="bernoulli", weights="w")
    from_long = mfx.learn_covariance(formula, long.sort_values(["g", "y"]), family="bernoulli")
    assert from_short.loglik == pytest.approx(from_long.loglik, abs=1e-8)
    boot = mfx.bootstrap(from_short, short, n=2, weights="w")
    same = mfx.bootstrap(from_long, long.sort_values(["g", "y"]), n=2)
    np.testing.assert_allclose(boot.replicates, same.replicates, atol=1e-5)
    fit = mfx.learn_covariance(formula, short.assign(w=short["w"] + 0.5), family="bernoulli", weights="w")
    with pytest.raises(SettingError, match="frequencies"):
        mfx.bootstrap(fit, short.assign(w=short["w"] + 0.5), n=2, weights="w")


def test_settings(fit: CovarianceResult, data: pd.DataFrame) -> None:
    for wrong in ({"n": 0}, {"n": 2.5}, {"seed": -1}):
        with pytest.raises(SettingError, match=next(iter(wrong))):
            mfx.bootstrap(fit, data, **wrong)
    with pytest.raises(DataError, match="rows"):
        mfx.bootstrap(fit, data.iloc[:20], n=1)
    with pytest.raises(SettingError, match="one a factor"):
        mfx.bootstrap(replace(fit, fits={"Batch": fit}), data, n=1)


def test_examples() -> None:
    assert doctest.testmod(module).failed == 0

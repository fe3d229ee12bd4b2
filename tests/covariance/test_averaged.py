"""Replicate subsamples: means of covariances, their spread beside the models' standard errors, saved and printed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx
from mixedfx.covariance.averaged import average, excess_spread
from mixedfx.covariance.result import CovarianceResult

FORMULA = "y ~ 1 + x + (1 + x | user) + (1 | item)"
ENTRIES = [
    ("user", "(Intercept)", None, 0.6),
    ("user", "x", None, 0.3),
    ("user", "(Intercept)", "x", 0.1),
    ("item", "(Intercept)", None, 0.4),
    ("Residual", None, None, 1.0),
]


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    made = mfx.simulate(
        FORMULA,
        levels={"user": 600, "item": 300},
        n_rows=12_000,
        beta={"(Intercept)": 0.0, "x": 0.5},
        varcorr=mfx.VarCorr.from_frame(pd.DataFrame(ENTRIES, columns=["grp", "var1", "var2", "vcov"])),
        seed=2,
    )
    return made.data


@pytest.fixture(scope="module")
def averaged(data: pd.DataFrame) -> CovarianceResult:
    return mfx.learn_covariance(FORMULA, data, subsample=mfx.Subsample(n_levels=60, replicates=4, seed=1))


def table(result: CovarianceResult, column: str) -> np.ndarray:
    return np.array([own.standard_errors[column] for own in result.replicates])


def test_covariances_are_means_of_the_replicates(averaged: CovarianceResult) -> None:
    assert len(averaged.replicates) == 4
    np.testing.assert_allclose(
        averaged.varcorr.to_frame()["vcov"], table(averaged, "vcov").mean(axis=0), rtol=1e-12
    )
    assert averaged.varcorr.freezable
    assert averaged.converged
    assert np.isnan(averaged.loglik)


def test_both_standard_errors_are_those_of_a_mean(averaged: CovarianceResult) -> None:
    frame = averaged.standard_errors
    np.testing.assert_allclose(frame["se_replicates"], table(averaged, "vcov").std(axis=0, ddof=1) / 2)
    expected = np.sqrt(np.mean(table(averaged, "se") ** 2, axis=0)) / 2
    # Users and items of the four replicates are all different.
    np.testing.assert_allclose(frame["se"], expected)
    np.testing.assert_allclose(np.sqrt(np.diag(averaged.varcorr_covariance)), expected)
    truth = np.array([0.6, 0.3, 0.1, 0.4, 1.0])
    assert (np.abs(frame["vcov"] - truth) < 3.5 * frame["se"]).all()


def test_levels_that_replicates_share_do_not_average_out(data: pd.DataFrame) -> None:
    """Samples of users have nearly all items each: four of them know no more of the items than one."""
    subsample = mfx.Subsample("levels", factor="user", n_levels=120, replicates=4)
    fit = mfx.learn_covariance(FORMULA, data, subsample=subsample)
    se = pd.Series(np.sqrt(np.mean(table(fit, "se") ** 2, axis=0)), index=fit.standard_errors["grp"])
    ratio = fit.standard_errors.set_index("grp")["se"] / se
    np.testing.assert_allclose(ratio["user"], 0.5)
    each = np.mean([own.n_levels["item"] for own in fit.replicates])
    assert ratio["item"] == pytest.approx(np.sqrt(each / fit.n_levels["item"]))
    assert ratio["item"] > 0.8


def test_excess_spread_is_named(averaged: CovarianceResult) -> None:
    assert (excess_spread(averaged) < 5).all()
    assert "go by" not in str(averaged.summary())
    off = replace(averaged.replicates[0])
    moved = off.standard_errors.copy()
    moved.loc[moved["grp"] == "item", "vcov"] += 1.0
    again = average([replace(off, standard_errors=moved), *averaged.replicates[1:]])
    assert "item (Intercept) differs between replicates by" in str(again.summary())


def test_summary_reports_draws_and_connectivity(averaged: CovarianceResult) -> None:
    text = str(averaged.summary())
    assert "means of 4 replicate subsamples" in text
    assert "se_replicates" in text
    assert text.count("levels of item") >= 4
    assert "components" in text


def test_saved_and_loaded(averaged: CovarianceResult, tmp_path: Path) -> None:
    averaged.save(tmp_path)
    loaded = mfx.load_covariance(tmp_path)
    pd.testing.assert_frame_equal(loaded.standard_errors, averaged.standard_errors, check_dtype=False)
    assert len(loaded.replicates) == 4
    assert set(loaded.fits) == {"user", "item"}
    np.testing.assert_array_equal(loaded.fits["item"].rows, averaged.fits["item"].rows)
    assert str(loaded.summary()) == str(averaged.summary())


def test_the_stages_can_be_compared(averaged: CovarianceResult, data: pd.DataFrame) -> None:
    coef = mfx.estimate_coefficients(FORMULA, data, averaged)
    assert mfx.compare_stages(averaged, coef, data=data).status in ("ok", "warn", "fail")


def test_auto_is_the_default_subsample(data: pd.DataFrame) -> None:
    """12,000 rows are taken whole."""
    fit = mfx.learn_covariance(FORMULA, data, subsample="auto", satterthwaite=False)
    assert fit.n_rows == len(data)
    assert fit.loglik == mfx.learn_covariance(FORMULA, data, satterthwaite=False).loglik
    with pytest.raises(mfx.errors.SettingError, match="'all'"):
        mfx.learn_covariance(FORMULA, data, subsample="all")  # pyright: ignore[reportArgumentType]


def test_what_needs_one_likelihood_says_that_there_is_none(
    averaged: CovarianceResult, data: pd.DataFrame
) -> None:
    with pytest.raises(mfx.errors.SettingError, match="the mean of 4 replicates"):
        mfx.confint(averaged, data)
    assert mfx.confint(averaged, method="wald")["lower"].notna().any()
    assert list(averaged.ranef_sd("item").index) == list(averaged.ranef["item"].index)

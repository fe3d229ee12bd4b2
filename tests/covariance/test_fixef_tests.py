"""Tests of fixed effects of generalized fits, contrasts of several kinds, and what is refused."""

from __future__ import annotations

import goldens
import numpy as np
import pandas as pd
import pytest
from scipy import stats

import mixedfx as mfx
from mixedfx.covariance.result import CovarianceResult


@pytest.fixture(scope="module")
def answers() -> CovarianceResult:
    golden = goldens.load("verbagg_laplace")
    return mfx.learn_covariance(golden.formula, golden.data(), family="bernoulli")


@pytest.fixture(scope="module")
def sleep() -> CovarianceResult:
    golden = goldens.load("sleepstudy_reml")
    return mfx.learn_covariance(golden.formula, golden.data())


def test_other_families_have_z_tests(answers: CovarianceResult) -> None:
    golden = goldens.load("verbagg_laplace")
    assert golden.fixef_se_hessian is not None
    table = answers.fixef_table()
    assert table.columns.tolist() == ["Estimate", "Std. Error", "z value", "Pr(>|z|)"]
    z = golden.fixef / golden.fixef_se_hessian
    np.testing.assert_allclose(table["z value"], z, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(table["Pr(>|z|)"], 2 * stats.norm.sf(np.abs(z)), rtol=0.05)
    assert answers.fixef_df is None


def test_one_coefficient_is_its_own_test(answers: CovarianceResult, sleep: CovarianceResult) -> None:
    name = answers.fixef.index[1]
    joint = mfx.test_fixef(answers, [name])
    assert joint["chisq"] == pytest.approx(answers.fixef_table().loc[name, "z value"] ** 2)
    assert joint["p"] == pytest.approx(answers.fixef_table().loc[name, "Pr(>|z|)"])
    joint, row = mfx.test_fixef(sleep, ["Days"]), sleep.fixef_table().loc["Days"]
    assert joint["F"] == pytest.approx(row["t value"] ** 2)
    assert joint["denominator_df"] == pytest.approx(row["df"])
    assert joint["p"] == pytest.approx(row["Pr(>|t|)"])


def test_contrasts_as_a_table(sleep: CovarianceResult) -> None:
    """The mean after five days, twice over: dependent rows count once."""
    table = pd.DataFrame({"Days": [5.0, 10.0], "(Intercept)": [1.0, 2.0]})
    got = mfx.test_fixef(sleep, table)
    assert got["df"] == 1
    c = np.array([1.0, 5.0])
    assert sleep.fixef_covariance is not None
    variance = c @ sleep.fixef_covariance.to_numpy() @ c
    assert got["F"] == pytest.approx((c @ sleep.fixef.to_numpy()) ** 2 / variance)


def test_the_test_does_not_depend_on_how_contrasts_are_written(sleep: CovarianceResult) -> None:
    table = pd.DataFrame({"(Intercept)": [1.0, 3.0], "Days": [2.0, -1.0]})
    got, plain = mfx.test_fixef(sleep, table), mfx.test_fixef(sleep, ["(Intercept)", "Days"])
    pd.testing.assert_series_equal(got, plain, rtol=1e-8)


def test_units_do_not_matter(sleep: CovarianceResult) -> None:
    golden = goldens.load("sleepstudy_reml")
    far = mfx.learn_covariance(golden.formula, golden.data().assign(Days=lambda d: 1e-7 * d["Days"]))
    names = ["(Intercept)", "Days"]
    pd.testing.assert_series_equal(mfx.test_fixef(far, names), mfx.test_fixef(sleep, names), rtol=1e-4)


def test_what_is_refused(sleep: CovarianceResult) -> None:
    error = mfx.errors.SettingError
    with pytest.raises(error, match=r"'Dys'; there are: \(Intercept\), Days"):
        mfx.test_fixef(sleep, ["Dys"])
    with pytest.raises(error, match="nothing to test"):
        mfx.test_fixef(sleep, [])
    with pytest.raises(error, match="all zero"):
        mfx.test_fixef(sleep, pd.DataFrame({"Days": [0.0]}))
    golden = goldens.load("sleepstudy_reml")
    without = mfx.learn_covariance(golden.formula, golden.data(), satterthwaite=False)
    with pytest.raises(error, match="satterthwaite=True"):
        mfx.test_fixef(without, ["Days"])
    data = goldens.data("grouseticks")
    with pytest.raises(error, match=r"poisson.*leave it out"):
        mfx.learn_covariance("TICKS ~ 1 + (1 | BROOD)", data, family="poisson", satterthwaite=True)

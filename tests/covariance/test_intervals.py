"""Wald intervals, and intraclass correlations."""

from __future__ import annotations

import doctest
from pathlib import Path

import goldens
import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx
from mixedfx.covariance import intervals
from mixedfx.covariance.icc import intraclass_correlation
from mixedfx.covariance.intervals import wald_intervals


def test_fixed_effects_are_lme4s_wald_intervals() -> None:
    """confint(method = "Wald"): estimate +- 1.96 standard errors."""
    golden = goldens.load("verbagg_laplace")
    fit = mfx.learn_covariance(golden.formula, golden.data(), family="bernoulli")
    frame = fit.intervals()
    fixed = frame[frame["grp"] == "fixed"].set_index("var1")
    assert golden.fixef_se_hessian is not None
    np.testing.assert_allclose(fixed["lower"], golden.fixef - 1.959964 * golden.fixef_se_hessian, atol=1e-3)
    np.testing.assert_allclose(fixed["upper"], golden.fixef + 1.959964 * golden.fixef_se_hessian, atol=1e-3)


def test_covariances() -> None:
    golden = goldens.load("sleepstudy_ml")
    fit = mfx.learn_covariance(golden.formula, golden.data(), method="ml")
    frame = wald_intervals(fit, 0.9).query("grp == 'Subject'")
    row = frame.query("var1 == 'Days' and parameter == 'variance'").iloc[0]
    # On the log scale the interval is symmetric, and as wide as the standard error says.
    assert row["lower"] * row["upper"] == pytest.approx(row["estimate"] ** 2)
    (se,) = fit.standard_errors.query("var1 == 'Days' and var2.isna()")["se"]
    assert np.log(row["upper"] / row["lower"]) == pytest.approx(2 * 1.644854 * se / row["estimate"], rel=1e-6)
    sd = frame.query("var1 == 'Days' and parameter == 'sd'").iloc[0]
    for limit in ("estimate", "lower", "upper"):
        assert sd[limit] ** 2 == pytest.approx(row[limit])
    covariance = frame.query("parameter == 'covariance'").iloc[0]
    assert covariance["lower"] < covariance["estimate"] < covariance["upper"]


def test_correlations() -> None:
    """On Fisher's scale, with the standard error of atanh(rho) by differences of the covariances."""
    golden = goldens.load("sleepstudy_reml")
    fit = mfx.learn_covariance(golden.formula, golden.data())
    (row,) = wald_intervals(fit).query("parameter == 'correlation'").itertuples()
    v1, v2, c, _ = entries = fit.standard_errors["vcov"].to_numpy()
    assert row.estimate == pytest.approx(c / np.sqrt(v1 * v2))

    def fisher(at: np.ndarray) -> float:
        return float(np.arctanh(at[2] / np.sqrt(at[0] * at[1])))

    steps = 1e-5 * np.diag(entries)
    slope = np.array([(fisher(entries + h) - fisher(entries - h)) / (2 * h.sum()) for h in steps])
    covariance = fit.varcorr_covariance
    assert covariance is not None
    np.testing.assert_allclose(np.sqrt(np.diag(covariance)), fit.standard_errors["se"])
    reach = 1.959964 * np.sqrt(slope @ covariance @ slope)
    assert np.arctanh(row.lower) == pytest.approx(fisher(entries) - reach, rel=1e-6)
    assert np.arctanh(row.upper) == pytest.approx(fisher(entries) + reach, rel=1e-6)
    # Information of 18 subjects about a correlation: the profile is close.
    (profile,) = mfx.confint(fit, golden.data(), parameters="correlation").itertuples()
    assert row.upper == pytest.approx(profile.upper, abs=0.1)


def test_correlations_of_the_other_results(tmp_path: Path) -> None:
    """Laplace fits, per-factor fits and loaded ones know the covariance of their covariances too."""
    golden = goldens.load("soup_slopes")
    fit = mfx.learn_covariance(golden.formula, golden.data(), family="cumulative")
    fit.save(tmp_path)
    loaded = mfx.load_covariance(tmp_path)
    pd.testing.assert_frame_equal(loaded.intervals(), fit.intervals())
    (row,) = fit.intervals().query("parameter == 'correlation'").itertuples()
    assert -1 < row.lower < row.estimate < row.upper < 1
    data = mfx.datasets.load_insteval()
    sample = mfx.Subsample(n_rows=3000, seed=1)
    fit = mfx.learn_covariance("y ~ 1 + (1 + service | d) + (1 | s)", data, subsample=sample)
    assert fit.fits
    covariance = fit.varcorr_covariance
    assert covariance is not None
    np.testing.assert_allclose(np.sqrt(np.diag(covariance)), fit.standard_errors["se"])
    for name in ("d", "s"):
        own = fit.fits[name].intervals().query("grp == @name").reset_index(drop=True)
        pd.testing.assert_frame_equal(fit.intervals().query("grp == @name").reset_index(drop=True), own)


def test_choice_of_parameters() -> None:
    golden = goldens.load("dyestuff")
    fit = mfx.learn_covariance(golden.formula, golden.data())
    table = mfx.confint(fit, method="wald", parameters=["sigma", "fixed"])
    expected = wald_intervals(fit).query("grp == 'fixed' or (grp == 'Residual' and parameter == 'sd')")
    pd.testing.assert_frame_equal(table, expected.reset_index(drop=True))


def test_thresholds_and_boundaries() -> None:
    golden = goldens.load("wine")
    frame = mfx.learn_covariance(golden.formula, golden.data(), family="cumulative").intervals()
    assert frame.loc[frame["grp"] == "threshold", "var1"].tolist() == ["1|2", "2|3", "3|4", "4|5"]
    zero = goldens.load("dyestuff2")
    frame = mfx.learn_covariance(zero.formula, zero.data()).intervals()
    assert frame.loc[frame["grp"] == "Batch", ["lower", "upper"]].isna().all(axis=None)


@pytest.mark.parametrize("level", [0, 1, 95])
def test_level_out_of_range(level: float) -> None:
    golden = goldens.load("dyestuff")
    with pytest.raises(mfx.errors.SettingError, match="level"):
        mfx.learn_covariance(golden.formula, golden.data()).intervals(level)


def test_intraclass_correlation() -> None:
    golden = goldens.load("verbagg_laplace")
    fit = mfx.learn_covariance(golden.formula, golden.data(), family="bernoulli")
    person, item = golden.varcorr["vcov"]
    expected = np.array([person, item]) / (person + item + np.pi**2 / 3)
    np.testing.assert_allclose(intraclass_correlation(fit), expected, rtol=1e-4)
    counts = goldens.load("grouseticks_nagq5")
    fit = mfx.learn_covariance(counts.formula, counts.data(), family="poisson")
    (brood,) = fit.varcorr["BROOD"].to_numpy().ravel()
    assert intraclass_correlation(fit, mean=2.0).iloc[0] == pytest.approx(brood / (brood + np.log(1.5)))
    with pytest.raises(mfx.errors.SettingError, match="mean="):
        intraclass_correlation(fit)


def test_intraclass_correlation_with_slopes() -> None:
    golden = goldens.load("sleepstudy_reml")
    data = golden.data()
    fit = mfx.learn_covariance(golden.formula, data)
    z = np.column_stack([np.ones(len(data)), data["Days"]])
    own = np.mean([row @ fit.varcorr["Subject"].to_numpy() @ row for row in z])
    assert fit.varcorr.sigma2 is not None
    expected = own / (own + fit.varcorr.sigma2)
    assert fit.icc(data=data)["Subject"] == pytest.approx(expected, rel=1e-12)


def test_examples() -> None:
    assert doctest.testmod(intervals).failed == 0

"""The whole comparison: sound fits pass, what cannot be compared is said, thresholds decide."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from two_stages import FORMULA, TwoStages, scaled, with_sigma

from mixedfx.checks.compare import Comparison, compare_stages
from mixedfx.checks.finding import COLUMNS
from mixedfx.checks.thresholds import Thresholds
from mixedfx.coefficients.estimate import estimate_coefficients
from mixedfx.coefficients.saved import load_coefficients
from mixedfx.covariance.learn import learn_covariance
from mixedfx.covariance.saved import load_covariance
from mixedfx.errors import SettingError, VarCorrError
from mixedfx.subsample import Subsample
from mixedfx.varcorr import VarCorr


def test_a_sound_fit_passes(sound: Comparison) -> None:
    assert sound.status == "ok", sound.verdict
    assert sound.verdict.startswith("The stages agree")
    assert "Not checked" not in sound.verdict
    assert list(sound.summary.columns) == COLUMNS
    assert sound.summary.index.name == "checked"
    assert {"user (Intercept)", "user x", "item (Intercept)", "held-out rows"} <= set(sound.summary.index)
    assert set(sound.summary["status"]) <= {"ok", "info"}


def test_statistics_of_levels(sound: Comparison, rows_fit: TwoStages) -> None:
    first, second = rows_fit.cov.ranef["user"]["x"], rows_fit.coef.ranef["user"]["x"]
    user_x = sound.summary.loc["user x"].set_index("statistic")["value"]
    assert user_x["slope of stage 2 on stage 1"] == pytest.approx(
        np.polyfit(first, second[first.index], 1)[0]
    )
    squares = np.concatenate([levels.table["z"].to_numpy() ** 2 for levels in sound.levels])
    # A mean of 220 squares: 1 with a standard deviation of 0.1. Half of it would be V1 + V2 taken for V1 - V2.
    assert squares.mean() == pytest.approx(1, abs=0.35)
    inside = np.concatenate([levels.table["inside"].to_numpy() for levels in sound.levels])
    assert inside.mean() == pytest.approx(0.9, abs=0.04)


def test_per_factor_samples_are_compared_each_with_its_own_fit(per_factor_fit: TwoStages) -> None:
    comparison = compare_stages(per_factor_fit.cov, per_factor_fit.coef, data=per_factor_fit.data)
    assert comparison.status != "fail", comparison.verdict
    for levels in comparison.levels:
        fit_of_factor = per_factor_fit.cov.fits[levels.factor]
        assert levels.n_levels[0] == 50
        assert list(levels.table.index) == list(fit_of_factor.ranef[levels.factor].index)
        # Sampled with all their rows.
        assert (levels.table["rows1"] == levels.table["rows2"]).all()
        assert levels.table["z"].notna().all()


def test_all_rows_in_stage_one(rows_fit: TwoStages) -> None:
    cov = learn_covariance(FORMULA, rows_fit.data)
    comparison = compare_stages(cov, estimate_coefficients(FORMULA, rows_fit.data, cov), data=rows_fit.data)
    assert comparison.status == "ok", comparison.verdict
    assert comparison.fixed_effects["difference"].abs().max() < 1e-6
    assert all(levels.table["z"].abs().max() < 1e-4 for levels in comparison.levels)


def test_stage_two_with_another_sigma_is_named_unless_refined(rows_fit: TwoStages) -> None:
    other = learn_covariance(FORMULA, rows_fit.data)
    coef = estimate_coefficients(FORMULA, rows_fit.data, other)
    comparison = compare_stages(rows_fit.cov, coef)
    assert "stage 2 used other covariances" in comparison.verdict.lower()
    assert comparison.status == "warn"
    refined = compare_stages(rows_fit.cov, coef, refined=other)
    assert refined.status == "ok", refined.verdict
    assert (refined.covariances["frozen"] == refined.covariances["full"]).all()


def test_refined_covariances_do_not_count_against_the_levels(rows_fit: TwoStages) -> None:
    """Stage 1's own covariances are far off: at the refined ones its levels agree with stage 2's."""
    off = with_sigma(rows_fit, scaled(rows_fit.cov.varcorr, "user", 0.25)).cov
    off = replace(off, ranef=estimate_coefficients(FORMULA, rows_fit.data.iloc[off.rows], off.varcorr).ranef)
    refined = learn_covariance(FORMULA, rows_fit.data)
    coef = estimate_coefficients(FORMULA, rows_fit.data, refined)
    with_data = compare_stages(off, coef, refined=refined, data=rows_fit.data)
    assert with_data.status == "ok", with_data.verdict
    without = compare_stages(off, coef, refined=refined)
    assert "user" in without.verdict
    assert without.status != "ok"


def test_other_data_than_stage_one_s(rows_fit: TwoStages) -> None:
    # In another order the rows of stage 1 are not those at its positions.
    shuffled = rows_fit.data.sample(frac=1, random_state=0)
    some_users = Subsample(strategy="levels", factor="user", n_levels=40, seed=1)
    cov = learn_covariance(FORMULA, rows_fit.data, subsample=some_users)
    comparison = compare_stages(cov, estimate_coefficients(FORMULA, shuffled, cov))
    assert comparison.status == "ok", comparison.verdict
    assert "the rows that stage 1 used have other levels of user" in comparison.verdict
    few = rows_fit.data.iloc[:1000]
    comparison = compare_stages(rows_fit.cov, estimate_coefficients(FORMULA, few, rows_fit.cov))
    assert "stage 2 has only 1,000" in comparison.verdict


def test_unknown_rows_of_stage_one(rows_fit: TwoStages) -> None:
    comparison = compare_stages(replace(rows_fit.cov, rows=None), rows_fit.coef)
    assert comparison.status == "ok", comparison.verdict
    assert "stage 1 does not say which rows it used" in comparison.verdict
    assert all(levels.table["sd1"].isna().all() for levels in comparison.levels)
    assert all(levels.table["sd2"].notna().all() for levels in comparison.levels)


def test_few_common_levels_are_not_judged(rows_fit: TwoStages) -> None:
    cov = learn_covariance(FORMULA, rows_fit.data, subsample=Subsample(strategy="levels", n_levels=8, seed=1))
    comparison = compare_stages(cov, estimate_coefficients(FORMULA, rows_fit.data, cov))
    user = comparison.summary.loc[["user (Intercept)"]]
    assert user["status"].iloc[0] == "skipped"
    assert "8 levels in common" in user["says"].iloc[0]
    judged = compare_stages(cov, comparison.coefficients, thresholds=Thresholds(min_levels=5))
    assert judged.summary.loc[["user (Intercept)"], "status"].iloc[0] != "skipped"


def test_categories_that_the_subsample_lacks(rows_fit: TwoStages) -> None:
    kinds = np.random.default_rng(0).choice(["a", "b", "c"], len(rows_fit.data))
    data, formula = rows_fit.data.assign(kind=kinds), f"{FORMULA} + kind"
    cov = learn_covariance(formula, data[data["kind"] != "c"])
    comparison = compare_stages(cov, estimate_coefficients(formula, data, cov))
    assert comparison.status == "ok", comparison.verdict
    assert "Not checked: kindc, because one of the stages does not have" in comparison.verdict


def test_thresholds_decide(rows_fit: TwoStages) -> None:
    strict = compare_stages(
        rows_fit.cov, rows_fit.coef, thresholds=Thresholds(sd=(0.001, 0.002), warn_rate=0.9, fail_rate=0.9)
    )
    assert strict.status == "fail"
    wrong = with_sigma(rows_fit, scaled(rows_fit.cov.varcorr, "user", 4.0))
    loose = Thresholds(sd=(5.0, 9.0), coefficients=(5.0, 9.0), slope=(0.9, 1.0), spread=(5, 9))
    assert compare_stages(wrong.cov, wrong.coef, data=rows_fit.data, thresholds=loose).status == "ok"


def test_negligible_variances_are_not_judged(rows_fit: TwoStages) -> None:
    frame = rows_fit.cov.varcorr.to_frame()
    frame.loc[frame["grp"] == "item", "vcov"] *= 4
    wrong = with_sigma(rows_fit, VarCorr.from_frame(frame))
    all_negligible = Thresholds(negligible=0.99, coefficients=(5.0, 9.0), slope=(0.9, 1.0))
    comparison = compare_stages(wrong.cov, wrong.coef, data=rows_fit.data, thresholds=all_negligible)
    assert comparison.status == "ok", comparison.verdict


def test_comparison_prints_itself(sound: Comparison) -> None:
    text = str(sound)
    for part in (
        "Comparison of the stages: ok",
        "Checks:",
        "Covariances:",
        "Held-out rows:",
        "slope of stage 2",
    ):
        assert part in text
    assert repr(sound) == text
    assert "<table" in sound._repr_html_()


def test_saved_stages_compare_the_same(rows_fit: TwoStages, sound: Comparison, tmp_path: Path) -> None:
    rows_fit.cov.save(tmp_path / "cov")
    rows_fit.coef.save(tmp_path / "coef")
    cov, coef = load_covariance(tmp_path / "cov"), load_coefficients(tmp_path / "coef")
    loaded = compare_stages(cov, coef, data=rows_fit.data, holdout=rows_fit.holdout)
    assert loaded.summary["value"].to_numpy() == pytest.approx(
        sound.summary["value"].to_numpy(), abs=1e-6, nan_ok=True
    )
    assert loaded.verdict == sound.verdict


def test_stages_of_different_models_are_refused(rows_fit: TwoStages) -> None:
    other = learn_covariance("y ~ 1 + x + (1 + x | user)", rows_fit.data)
    with pytest.raises(VarCorrError, match="factor 'item'"):
        compare_stages(other, rows_fit.coef)
    with pytest.raises(SettingError, match="'bernoulli'"):
        compare_stages(replace(rows_fit.cov, family="bernoulli"), rows_fit.coef)


def test_draws_of_sigma_need_not_be_stage_one_s(rows_fit: TwoStages) -> None:
    around = [scaled(rows_fit.cov.varcorr, "user", times) for times in (0.9, 1.1)]
    coef = estimate_coefficients(FORMULA, rows_fit.data, around)
    comparison = compare_stages(rows_fit.cov, coef, data=rows_fit.data, holdout=rows_fit.holdout)
    assert comparison.status == "ok", comparison.verdict


def test_inputs_are_left_alone(rows_fit: TwoStages) -> None:
    data, holdout = rows_fit.data.copy(), rows_fit.holdout.copy()
    before = rows_fit.cov.varcorr.to_frame(), rows_fit.coef.ranef["user"].copy()
    compare_stages(rows_fit.cov, rows_fit.coef, data=rows_fit.data, holdout=rows_fit.holdout)
    pd.testing.assert_frame_equal(rows_fit.data, data)
    pd.testing.assert_frame_equal(rows_fit.holdout, holdout)
    pd.testing.assert_frame_equal(rows_fit.cov.varcorr.to_frame(), before[0])
    pd.testing.assert_frame_equal(rows_fit.coef.ranef["user"], before[1])

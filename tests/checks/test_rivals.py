"""Stage 1's and unshrunk predictions of held-out rows, against direct computation."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from two_stages import FORMULA, TwoStages

from mixedfx.checks import rivals
from mixedfx.checks.holdout import check_holdout, score_holdout
from mixedfx.checks.stage_one import largest_fit, stage_one_fits
from mixedfx.checks.thresholds import Thresholds
from mixedfx.coefficients.estimate import estimate_coefficients
from mixedfx.varcorr import VarCorr


def test_stage_one_predicts_as_a_fit_to_its_own_rows(rows_fit: TwoStages) -> None:
    rows = rows_fit.data.iloc[rows_fit.cov.rows]
    own = estimate_coefficients(FORMULA, rows, rows_fit.cov)
    holdout = rows_fit.holdout.copy()
    holdout.iloc[:5, holdout.columns.get_loc("user")] = 9999
    expected = own.predict(holdout, interval=0.9)
    first = largest_fit(stage_one_fits(rows_fit.cov, rows_fit.coef))
    found = rivals.stage_one(rows_fit.coef, first, rows_fit.coef.spec.encode(holdout))
    assert found is not None
    # REML's modes are those of stage 2 at the same covariances and rows.
    np.testing.assert_allclose(found.mean, expected["fit"], atol=1e-6)
    half = 1.6448536 * np.sqrt(found.variance)
    np.testing.assert_allclose(half, expected["upper"] - expected["fit"], rtol=1e-5)


def test_unshrunk_effects_are_nearly_least_squares(rows_fit: TwoStages) -> None:
    predictors = rows_fit.coef.spec.encode(rows_fit.holdout)
    found = rivals.unshrunk(rows_fit.coef, rows_fit.data, predictors)
    assert found is not None
    dummies = pd.concat(
        [
            pd.get_dummies(pd.concat([rows_fit.data, rows_fit.holdout])[name], dtype=float)
            for name in ("user", "item")
        ],
        axis=1,
    )
    x = pd.concat([rows_fit.data, rows_fit.holdout])["x"].to_numpy()
    D = np.column_stack([dummies, dummies.iloc[:, :80].to_numpy() * x[:, None]])
    n = len(rows_fit.data)
    solution = np.linalg.lstsq(D[:n], rows_fit.data["y"].to_numpy(), rcond=None)[0]
    # 100 times Sigma against about 33 rows a user: shrunk by less than 1 %.
    np.testing.assert_allclose(found.mean, D[n:] @ solution, atol=0.1)


def test_shrinkage_beats_stage_one_and_no_shrinkage(rows_fit: TwoStages) -> None:
    first = largest_fit(stage_one_fits(rows_fit.cov, rows_fit.coef))
    held_out = score_holdout(rows_fit.coef, rows_fit.holdout, first, rows_fit.data)
    assert set(held_out.gains) == {"fixed_only", "stage1", "unshrunk"}
    assert all(gain > 0 for gain, _ in held_out.gains.values())
    row = held_out.scores.loc["RMSE"]
    assert row["stage2"] < min(row["stage1"], row["fixed_only"], row["unshrunk"])
    statuses = [finding.status for finding in check_holdout(held_out, Thresholds())]
    assert statuses == ["ok"] * 3


def test_a_sigma_that_shrinks_far_too_much_loses_against_none(rows_fit: TwoStages) -> None:
    frame = rows_fit.cov.varcorr.to_frame()
    frame.loc[frame["grp"] != "Residual", "vcov"] *= 0.01
    coef = estimate_coefficients(FORMULA, rows_fit.data, VarCorr.from_frame(frame))
    held_out = score_holdout(coef, rows_fit.holdout, None, rows_fit.data)
    # A hundred times this Sigma is the learned one.
    _, unshrunk = check_holdout(held_out, Thresholds())
    assert unshrunk.status == "warn"
    assert "worse than effects that are not shrunk" in unshrunk.says
    assert np.isnan(held_out.scores.loc["log score", "stage1"])


def test_what_cannot_be_had_is_left_out(rows_fit: TwoStages, monkeypatch: pytest.MonkeyPatch) -> None:
    predictors = rows_fit.coef.spec.encode(rows_fit.holdout)
    assert rivals.unshrunk(rows_fit.coef, None, predictors) is None
    assert rivals.unshrunk(rows_fit.coef, rows_fit.data.iloc[:500], predictors) is None
    monkeypatch.setattr("mixedfx.checks.rivals.MOST_ROWS_AGAIN", 100)
    assert rivals.unshrunk(rows_fit.coef, rows_fit.data, predictors) is None


def test_variances_of_large_models_leave_out_covariances_between_factors(
    rows_fit: TwoStages, monkeypatch: pytest.MonkeyPatch
) -> None:
    holdout = rows_fit.holdout.copy()
    holdout.iloc[:5, holdout.columns.get_loc("user")] = 9999
    predictors = rows_fit.coef.spec.encode(holdout)
    exact = rivals.stage_two(rows_fit.coef, predictors)
    monkeypatch.setattr("mixedfx.checks.rivals.MOST_WORK", 1)
    near = rivals.stage_two(rows_fit.coef, predictors)
    np.testing.assert_array_equal(near.mean, exact.mean)
    # What is left out is of the order of one over the number of levels, 60 and 80, of Sigma: here a few hundredths of
    # the variances on average, more for those that are small. Large models have more levels.
    assert np.mean(near.variance[5:] / exact.variance[5:]) == pytest.approx(1, abs=0.1)
    np.testing.assert_allclose(near.variance, exact.variance, rtol=0.2)
    np.testing.assert_allclose(near.variance[:5], exact.variance[:5], rtol=0.05)

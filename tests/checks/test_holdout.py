"""Held-out scores against direct computation, and predictions that are worse than none."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from scipy.stats import norm
from two_stages import FORMULA, TwoStages

from mixedfx.checks.holdout import check_holdout, score_holdout
from mixedfx.checks.thresholds import Thresholds
from mixedfx.coefficients.estimate import estimate_coefficients
from mixedfx.errors import DataError
from mixedfx.varcorr import VarCorr


def status(stages: TwoStages, holdout: pd.DataFrame) -> str:
    (finding,) = check_holdout(score_holdout(stages.coef, holdout), Thresholds())
    return finding.status


def test_gaussian_scores(rows_fit: TwoStages) -> None:
    found = score_holdout(rows_fit.coef, rows_fit.holdout)
    y = rows_fit.holdout["y"].to_numpy()
    fitted = rows_fit.coef.predict(rows_fit.holdout, interval=0.9)
    sd = (fitted["upper"] - fitted["fit"]) / norm.ppf(0.95)
    sigma2 = rows_fit.coef.varcorr.sigma2
    own = norm.logpdf(y, fitted["fit"], np.sqrt(sd**2 + sigma2))
    beta, x = rows_fit.coef.fixef, rows_fit.holdout["x"].to_numpy()
    Sigma, item = rows_fit.coef.varcorr["user"].to_numpy(), rows_fit.coef.varcorr["item"].to_numpy()[0, 0]
    random = Sigma[0, 0] + 2 * x * Sigma[0, 1] + x**2 * Sigma[1, 1] + item
    alone = norm.logpdf(y, beta["(Intercept)"] + beta["x"] * x, np.sqrt(random + sigma2))
    # Variances of more than 256 rows are of 256 draws, but from the same seed in both places.
    assert found.scores.loc["log score", "stage2"] == pytest.approx(own.mean(), abs=1e-9)
    assert found.scores.loc["log score", "fixed_only"] == pytest.approx(alone.mean(), abs=1e-9)
    assert found.scores.loc["log score", "error"] == pytest.approx(
        (own - alone).std(ddof=1) / np.sqrt(len(y))
    )
    assert found.scores.loc["RMSE", "stage2"] == pytest.approx(np.sqrt(np.mean((y - fitted["fit"]) ** 2)))
    assert found.n_rows == len(y)
    assert status(rows_fit, rows_fit.holdout) == "ok"


def test_bernoulli_scores_average_over_the_linear_predictor() -> None:
    rng = np.random.default_rng(0)
    J, n = 60, 3000
    g, b = rng.integers(0, J, n), 1.5 * rng.standard_normal(J)
    data = pd.DataFrame({"g": g, "y": (rng.random(n) < expit(0.3 + b[g])).astype(int)})
    frame = pd.DataFrame({"grp": ["g"], "var1": ["(Intercept)"], "var2": [None], "vcov": [2.25]})
    coef = estimate_coefficients(
        "y ~ 1 + (1 | g)", data.iloc[:2600], VarCorr.from_frame(frame), family="bernoulli"
    )
    holdout = data.iloc[2600:2800]
    found = score_holdout(coef, holdout)
    eta = coef.fixef.iloc[0] + 1.5 * rng.standard_normal(400_000)
    p = expit(eta).mean()
    y = holdout["y"].to_numpy()
    # Monte Carlo error of p about 0.0004.
    expected = np.mean(np.where(y == 1, np.log(p), np.log(1 - p)))
    assert found.scores.loc["log score", "fixed_only"] == pytest.approx(expected, abs=0.003)
    assert found.scores.loc["Brier score", "fixed_only"] == pytest.approx(np.mean((y - p) ** 2), abs=0.001)
    assert found.scores.loc["log score", "difference"] > 0.05
    assert list(found.scores.index) == ["log score", "Brier score", "AUC"]


def test_permuted_labels_predict_worse_than_nothing(rows_fit: TwoStages) -> None:
    users = rows_fit.holdout["user"].unique()
    other = dict(zip(np.sort(users), np.random.default_rng(0).permutation(users), strict=True))
    permuted = rows_fit.holdout.assign(user=rows_fit.holdout["user"].map(other))
    assert status(rows_fit, permuted) == "fail"


def test_no_gain_is_a_warning(rows_fit: TwoStages) -> None:
    noise = np.random.default_rng(0).standard_normal(40)
    rows = rows_fit.holdout.iloc[:40]
    rows = rows.assign(y=1.0 + 0.5 * rows["x"] + 1.2 * noise)
    assert status(rows_fit, rows) in ("warn", "fail")


def test_incomplete_rows_are_left_out_and_new_levels_counted(rows_fit: TwoStages) -> None:
    rows = rows_fit.holdout.copy()
    rows.loc[rows.index[:10], "x"] = np.nan
    rows.loc[rows.index[10:39], "user"] = 9999
    found = score_holdout(rows_fit.coef, rows)
    assert found.n_rows == len(rows) - 10
    assert found.unknown["user"] == pytest.approx(29 / 290)
    (finding,) = check_holdout(found, Thresholds())
    assert "user 10%" in finding.says


def test_rows_with_categories_that_the_fit_lacks_are_left_out_and_counted(rows_fit: TwoStages) -> None:
    rows = rows_fit.holdout.assign(kind=np.where(np.arange(len(rows_fit.holdout)) % 2 > 0, "a", "b"))
    data = rows_fit.data.assign(kind=np.where(np.arange(len(rows_fit.data)) % 2 > 0, "a", "b"))
    coef = estimate_coefficients(f"{FORMULA} + kind", data, rows_fit.cov)
    alone = score_holdout(coef, rows.iloc[7:])
    rows.iloc[:7, rows.columns.get_loc("kind")] = "c"
    found = score_holdout(coef, rows)
    assert (found.n_rows, found.left_out) == (len(rows) - 7, 7)
    pd.testing.assert_frame_equal(found.scores, alone.scores)
    (finding,) = check_holdout(found, Thresholds())
    assert "7 rows with categories that stage 2 did not have were left out" in finding.says
    with pytest.raises(DataError, match="holdout has 0 complete rows and 7 with categories"):
        score_holdout(coef, rows.iloc[:7])


def test_ordinal_responses_may_lack_a_category() -> None:
    rng = np.random.default_rng(1)
    g, y = rng.integers(0, 20, 400), rng.integers(0, 3, 400)
    data = pd.DataFrame({"g": g, "y": y})
    frame = pd.DataFrame({"grp": ["g"], "var1": ["(Intercept)"], "var2": [None], "vcov": [0.5]})
    coef = estimate_coefficients(
        "y ~ 1 + (1 | g)", data.iloc[:300], VarCorr.from_frame(frame), family="cumulative"
    )
    found = score_holdout(coef, data.iloc[300:].assign(y=[3, *y[301:]]))
    assert (found.n_rows, found.left_out) == (99, 1)


def test_too_few_rows_are_refused(rows_fit: TwoStages) -> None:
    with pytest.raises(DataError, match="holdout has 1 complete rows"):
        score_holdout(rows_fit.coef, rows_fit.holdout.iloc[:1])


def test_large_holdouts_are_sampled(rows_fit: TwoStages, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mixedfx.checks.scored_rows.ROWS", 50)
    assert score_holdout(rows_fit.coef, rows_fit.holdout).n_rows == 50


def test_formula_of_the_fit(rows_fit: TwoStages) -> None:
    with pytest.raises(DataError, match="no column 'x'"):
        score_holdout(rows_fit.coef, rows_fit.holdout.drop(columns="x"))
    assert rows_fit.coef.formula == FORMULA

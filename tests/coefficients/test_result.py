"""Predictions, folding in, saving, summaries and the errors of stage 2."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from problems import Model, model

import mixedfx as mfx
from mixedfx.coefficients import predict as prediction
from mixedfx.coefficients.result import CoefficientsResult


@pytest.fixture(scope="module")
def m() -> Model:
    return model("crossed", 4, family="bernoulli")


@pytest.fixture(scope="module")
def fit(m: Model) -> CoefficientsResult:
    return mfx.estimate_coefficients(
        m.formula, m.data, mfx.VarCorr.from_frame(m.frame(residual=False)), family="bernoulli"
    )


def test_prediction_is_the_sum_of_its_parts(m: Model, fit: CoefficientsResult) -> None:
    row = m.data.iloc[[7]]
    g, h, x = (row[c].iloc[0] for c in ("g", "h", "x"))
    by_hand = (
        fit.fixef["(Intercept)"]
        + fit.fixef["x"] * x
        + fit.ranef["g"].loc[g, "(Intercept)"]
        + fit.ranef["g"].loc[g, "x"] * x
        + fit.ranef["h"].loc[h, "(Intercept)"]
    )
    link = fit.predict(row, type="link")
    assert link.index.tolist() == row.index.tolist()
    assert link.iloc[0] == pytest.approx(by_hand)
    assert fit.predict(row).iloc[0] == pytest.approx(1 / (1 + np.exp(-by_hand)))
    assert fit.predict(row, type="class").iloc[0] == int(by_hand > 0)
    population = fit.predict(row.assign(g=-1, h=-1), type="link")
    assert population.iloc[0] == pytest.approx(fit.fixef["(Intercept)"] + fit.fixef["x"] * x)


def test_fitted_and_residuals(m: Model, fit: CoefficientsResult) -> None:
    np.testing.assert_array_equal(fit.fitted(m.data), fit.predict(m.data))
    np.testing.assert_allclose(fit.residuals(m.data), m.data["b"] - fit.fitted(m.data))
    with pytest.raises(mfx.errors.DataError, match=r"'g'.*12345"):
        fit.fitted(m.data.head(2).assign(g=12345))


def test_unknown_settings_are_named(m: Model, fit: CoefficientsResult) -> None:
    row = m.data.head(1)
    for options, word in (
        ({"type": "logit"}, "logit"),
        ({"new_levels": "zero"}, "zero"),
        ({"interval": 90.0}, "90.0"),
    ):
        with pytest.raises(mfx.errors.SettingError, match=word):
            fit.predict(row, **options)
    with pytest.raises(mfx.errors.DataError, match="'x'"):
        fit.predict(row.drop(columns="x"))
    with pytest.raises(mfx.errors.DataError, match=r"'user'.*g, h"):
        fit.ranef_sd("user")


def test_folding_in_a_level_gives_what_a_refit_of_it_alone_gives(m: Model, fit: CoefficientsResult) -> None:
    """All else fixed, the new level's mode is that of a one-factor model with the rest as its offset."""
    rows = m.data.head(25).assign(g=500)
    got = fit.fold_in(rows)
    assert list(got) == ["g"]
    assert got["g"].index.tolist() == [500]
    eta = fit.predict(rows, type="link").to_numpy()
    Z = np.column_stack([np.ones(25), rows["x"]])
    y, b = rows["b"].to_numpy(), np.zeros(2)
    precision = np.linalg.inv(m.sigmas["g"])
    for _ in range(50):
        p = 1 / (1 + np.exp(-(eta + Z @ b)))
        gradient = Z.T @ (p - y) + precision @ b
        b -= np.linalg.solve((Z.T * (p * (1 - p))) @ Z + precision, gradient)
    np.testing.assert_allclose(got["g"].to_numpy()[0], b, atol=1e-7)
    assert 500 not in fit.ranef["g"].index


def test_folding_in_levels_of_both_factors_at_once(m: Model, fit: CoefficientsResult) -> None:
    rows = m.data.head(30).copy()
    rows.loc[rows.index[:15], "g"] = 600
    rows.loc[rows.index[10:20], "h"] = 700
    got = fit.fold_in(rows)
    assert {name: frame.index.tolist() for name, frame in got.items()} == {"g": [600], "h": [700]}
    with pytest.raises(mfx.errors.DataError, match="no new level"):
        fit.fold_in(m.data.head(3))


@pytest.mark.parametrize("mixed", [False, True])
def test_saved_and_loaded(m: Model, tmp_path: Path, mixed: bool) -> None:
    frame = m.frame(residual=False)
    varcorr = mfx.VarCorr.from_frame(frame)
    given = [varcorr, mfx.VarCorr.from_frame(frame.assign(vcov=2 * frame["vcov"]))] if mixed else varcorr
    fit = mfx.estimate_coefficients(m.formula, m.data, given, family="bernoulli")
    fit.save(tmp_path / "coefficients")
    loaded = mfx.load_coefficients(tmp_path / "coefficients")
    rows = m.data.head(10).assign(g=[0, 1, 2, 3, 4, 5, 6, 7, 8, 999])
    np.testing.assert_array_equal(loaded.predict(rows), fit.predict(rows))
    pd.testing.assert_frame_equal(
        loaded.predict(rows, interval=0.9), fit.predict(rows, interval=0.9), rtol=1e-12
    )
    pd.testing.assert_frame_equal(loaded.ranef["g"], fit.ranef["g"])
    pd.testing.assert_frame_equal(loaded.ranef_sd("h"), fit.ranef_sd("h"), rtol=1e-12)
    pd.testing.assert_series_equal(loaded.fixef_se, fit.fixef_se, rtol=1e-12)
    np.testing.assert_allclose(
        loaded.draws(5)["posterior"]["b_g"], fit.draws(5)["posterior"]["b_g"], rtol=1e-10
    )
    assert loaded.stats["history"] == fit.stats["history"]
    assert str(loaded.summary()) == str(fit.summary())
    assert not list((tmp_path / "coefficients").rglob("*.pkl"))


def test_loading_nonsense_is_explained(tmp_path: Path, fit: CoefficientsResult) -> None:
    with pytest.raises(mfx.errors.DataError, match="holds no coefficients"):
        mfx.load_coefficients(tmp_path)
    fit.save(tmp_path)
    (tmp_path / "rows.parquet").unlink()
    with pytest.raises(mfx.errors.DataError, match="lack a file"):
        mfx.load_coefficients(tmp_path)


def test_summary(fit: CoefficientsResult) -> None:
    text = str(fit.summary())
    for part in ("Formula: b ~", "(Intercept)", "Std. Error", "converged", "passes"):
        assert part in text
    assert "<table" in fit.summary()._repr_html_()


def test_covariances_that_do_not_fit_the_formula(m: Model) -> None:
    frame = m.frame()
    cases = {
        r"lack factor 'h'": frame[frame["grp"] != "h"],
        r"factor 'shop'": pd.concat([frame, frame.tail(2).head(1).assign(grp="shop")]),
        r"factor 'g' is about \(\(Intercept\)\)": frame[~((frame["grp"] == "g") & (frame["var1"] == "x"))],
        r"needs a residual variance": frame[frame["grp"] != "Residual"],
    }
    for message, table in cases.items():
        with pytest.raises(mfx.errors.VarCorrError, match=message):
            mfx.estimate_coefficients(FORMULA, m.data, mfx.VarCorr.from_frame(table))
    with pytest.raises(mfx.errors.VarCorrError, match="no residual variance"):
        mfx.estimate_coefficients(m.formula, m.data, mfx.VarCorr.from_frame(frame), family="bernoulli")
    with pytest.raises(mfx.errors.VarCorrError, match="not dict"):
        mfx.estimate_coefficients(FORMULA, m.data, {})


FORMULA = "y ~ 1 + x + (1 + x | g) + (1 | h)"


def test_unfreezable_covariances_are_refused(m: Model) -> None:
    from dataclasses import replace

    varcorr = replace(mfx.VarCorr.from_frame(m.frame()), freezable=False, why="R-hat is 1.2")
    with pytest.raises(mfx.errors.NotFreezableError, match=r"R-hat is 1\.2"):
        mfx.estimate_coefficients(FORMULA, m.data, varcorr)


def test_bad_settings(m: Model) -> None:
    varcorr = mfx.VarCorr.from_frame(m.frame())
    for options, word in (({"solver": "lbfgs"}, "lbfgs"), ({"backend": "cuda"}, "cuda"), ({"tol": 0}, "tol")):
        with pytest.raises(mfx.errors.SettingError, match=word):
            mfx.estimate_coefficients(FORMULA, m.data, varcorr, **options)


def test_long_predictions_are_made_in_parts(
    m: Model, fit: CoefficientsResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fit.predict(m.data)
    monkeypatch.setattr(prediction, "PREDICTED_AT_ONCE", 7)
    pd.testing.assert_series_equal(fit.predict(m.data), whole, check_exact=True)
    new = m.data.assign(g=[777, *m.data["g"][1:-1], 888])
    with pytest.raises(mfx.errors.DataError, match=r"2 level\(s\) that the fit did not have: 777, 888"):
        fit.predict(new, new_levels="error")


def test_it_prints_in_one_line(fit: CoefficientsResult) -> None:
    assert len(repr(fit)) < 200
    assert "\n" not in repr(fit)
    assert fit.formula in repr(fit)
    assert "converged" in repr(fit)
    assert "Fixed effects" in fit._repr_html_()


def test_fold_in_needs_weights_where_the_fit_had_an_array(m: Model) -> None:
    vc = mfx.VarCorr.from_frame(m.frame(residual=False))
    ones = np.ones(len(m.data))
    weighted = mfx.estimate_coefficients(m.formula, m.data, vc, family="bernoulli", weights=ones)
    rows = m.data.head(5).assign(g=777)
    with pytest.raises(mfx.errors.SettingError, match=r"given as an array.*weights="):
        weighted.fold_in(rows)
    twice = weighted.fold_in(pd.concat([rows, rows]), weights=np.ones(10))["g"]
    by_weight = weighted.fold_in(rows, weights=np.full(5, 2.0))["g"]
    # A frequency of 2 is two rows; both stop at the same tolerance.
    pd.testing.assert_frame_equal(by_weight, twice, atol=1e-6)


@pytest.mark.parametrize("interval", ["0.9", True, 1.0])
def test_interval_is_a_share(m: Model, fit: CoefficientsResult, interval: object) -> None:
    with pytest.raises(mfx.errors.SettingError, match="interval must be between 0 and 1"):
        fit.predict(m.data.head(2), interval=interval)  # pyright: ignore[reportArgumentType]

"""Stage 1's entry: subsamples, weights, missing values, and what it returns."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from problems import frame

import mixedfx as mfx

FORMULA = "y ~ 1 + x + (1 | g) + (1 | h)"


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    return frame(np.random.default_rng(6), 1500)


def test_rows_are_subset_before_the_design_is_built(data: pd.DataFrame) -> None:
    """A fit on a subsample is the fit of these very rows."""
    subsample = mfx.Subsample(strategy="rows", n_rows=700, seed=3)
    got = mfx.learn_covariance(FORMULA, data, subsample=subsample)
    from mixedfx.design import build_design

    groupings = [t.grouping for t in build_design(FORMULA, data).predictors.terms]
    rows = subsample.plan(groupings)[0].rows
    expected = mfx.learn_covariance(FORMULA, data.iloc[rows])
    assert got.n_rows == 700
    assert got.loglik == pytest.approx(expected.loglik, abs=1e-9)


def test_transforms_keep_their_meaning_on_a_subsample(data: pd.DataFrame) -> None:
    """poly() has unit norm over all rows: learned anew on a third of them, its variance would be a third as large."""
    formula = "y ~ poly(x, 1) + (0 + poly(x, 1) | g) + (1 | h)"
    subsample = mfx.Subsample(strategy="rows", n_rows=500, seed=3)
    got = mfx.learn_covariance(formula, data, subsample=subsample)
    from mixedfx.design import build_design

    design = build_design(formula, data)
    rows = subsample.plan([t.grouping for t in design.predictors.terms])[0].rows
    column = design.predictors.z(design.predictors.terms[0])[rows, 0]
    by_hand = data.iloc[rows].assign(p=column)
    expected = mfx.learn_covariance("y ~ p + (0 + p | g) + (1 | h)", by_hand)
    np.testing.assert_allclose(got.varcorr["g"], expected.varcorr["g"], rtol=1e-4)
    assert got.fixef.iloc[1] == pytest.approx(expected.fixef["p"], rel=1e-5)


def test_a_category_that_the_subsample_lacks_is_left_out_by_name(data: pd.DataFrame) -> None:
    rare = data.assign(
        kind=np.where(np.arange(len(data)) == 7, "rare", np.where(data["x"] > 0, "high", "low"))
    )
    subsample = mfx.Subsample(strategy="rows", n_rows=400, seed=2)
    with pytest.warns(mfx.errors.CollinearWarning, match="kindrare"):
        got = mfx.learn_covariance("y ~ 1 + kind + (1 | g) + (1 | h)", rare, subsample=subsample)
    assert got.fixef.index.tolist() == ["(Intercept)", "kindlow"]
    with pytest.raises(mfx.errors.DataError, match="'kindrare' of factor 'g'"):
        mfx.learn_covariance("y ~ 1 + (1 + kind | g) + (1 | h)", rare, subsample=subsample)


def test_missing_values_weights_and_subsample_together(data: pd.DataFrame) -> None:
    """Weights follow their rows through dropping and sampling."""
    weights = np.random.default_rng(1).uniform(0.5, 2.0, len(data))
    holes = data.copy()
    holes.loc[holes.index[::7], "x"] = np.nan
    subsample = mfx.Subsample(strategy="rows", n_rows=600, seed=2)
    with pytest.warns(mfx.errors.DroppedRowsWarning, match="215 of 1500"):
        got = mfx.learn_covariance(FORMULA, holes, weights=weights, subsample=subsample)
    complete = holes["x"].notna().to_numpy()
    named = holes[complete].assign(w=weights[complete])
    expected = mfx.learn_covariance(FORMULA, named, weights="w", subsample=subsample)
    assert got.loglik == pytest.approx(expected.loglik, abs=1e-9)


def test_per_factor_takes_each_block_from_its_own_fit(data: pd.DataFrame) -> None:
    subsample = mfx.Subsample(n_levels=6, seed=1)
    fit = mfx.learn_covariance(FORMULA, data, subsample=subsample)
    assert set(fit.fits) == {"g", "h"}
    for factor, own in fit.fits.items():
        assert fit.varcorr[factor].equals(own.varcorr[factor])
        assert fit.ranef[factor].equals(own.ranef[factor])
    low, high = sorted(own.varcorr.sigma2 for own in fit.fits.values())
    assert low < fit.varcorr.sigma2 < high
    assert len(fit.standard_errors) == len(fit.varcorr.to_frame())
    assert (fit.standard_errors["se"] > 0).all()
    assert np.isnan(fit.loglik)
    assert fit.fits["g"].n_levels["g"] == 6
    assert "own subsample" in str(fit.summary())


def test_a_sample_with_a_level_for_each_row_is_refused(data: pd.DataFrame) -> None:
    own = data.assign(h=np.arange(len(data)) // 2)
    with pytest.raises(
        mfx.errors.DataError, match=r"20 rows drawn have 20 levels of factor 'h'.*draw more rows"
    ):
        mfx.learn_covariance(FORMULA, own, subsample=mfx.Subsample("rows", n_rows=20))


def test_precision_weights_scale_out(data: pd.DataFrame) -> None:
    """lme4: Var(e) = sigma^2 / w, so weights twice as large double sigma^2 and change nothing else."""
    one = mfx.learn_covariance(FORMULA, data, weights=np.full(len(data), 1.0))
    two = mfx.learn_covariance(FORMULA, data, weights=np.full(len(data), 2.0))
    assert two.varcorr.sigma2 == pytest.approx(2 * one.varcorr.sigma2, rel=1e-5)
    np.testing.assert_allclose(two.varcorr["g"], one.varcorr["g"], rtol=1e-4)
    np.testing.assert_allclose(two.fixef, one.fixef, rtol=1e-5)


def test_row_order_labels_and_units_do_not_matter(data: pd.DataFrame) -> None:
    base = mfx.learn_covariance(FORMULA, data)
    shuffled = data.sample(frac=1.0, random_state=0).assign(g=lambda d: "level " + d["g"].astype(str))
    again = mfx.learn_covariance(FORMULA, shuffled)
    assert again.loglik == pytest.approx(base.loglik, abs=1e-8)
    scaled = mfx.learn_covariance(FORMULA, data.assign(y=1e4 * data["y"], x=1e-3 * data["x"]))
    assert scaled.converged
    assert scaled.sigma == pytest.approx(1e4 * base.sigma, rel=1e-5)
    np.testing.assert_allclose(scaled.varcorr["h"] / 1e8, base.varcorr["h"], rtol=1e-3)

"""`fit`: both stages in one call, and what it refuses."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from problems import frame

import mixedfx as mfx
from mixedfx.errors import SettingError

FORMULA = "y ~ 1 + x + (1 | g) + (1 | h)"


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    return frame(np.random.default_rng(12), 1200)


def test_fit_is_its_two_steps(data: pd.DataFrame) -> None:
    before = data.copy()
    subsample = mfx.Subsample(strategy="rows", n_rows=600, seed=4)
    fit = mfx.fit(FORMULA, data, method="reml", subsample=subsample)
    cov = mfx.learn_covariance(FORMULA, data, method="reml", subsample=subsample)
    coef = mfx.estimate_coefficients(FORMULA, data, cov)
    pd.testing.assert_frame_equal(fit.covariance.varcorr.to_frame(), cov.varcorr.to_frame())
    pd.testing.assert_frame_equal(fit.coefficients.ranef["g"], coef.ranef["g"])
    assert fit.refined is None
    pd.testing.assert_frame_equal(data, before)
    text = str(fit.summary())
    assert "Stage 1" in text
    assert "Stage 2" in text
    assert fit.compare().status in ("ok", "warn", "fail")


def test_auto_takes_small_data_whole(data: pd.DataFrame) -> None:
    fit = mfx.fit(FORMULA, data, method="ml", seed=2)
    assert fit.covariance.n_rows == len(data)
    assert fit.covariance.method == "ml"


def test_covariances_that_were_not_explored_stop_before_stage_2(data: pd.DataFrame) -> None:
    options = {"draws": 10, "chains": 1, "subsample": None}
    with pytest.raises(mfx.errors.NotFreezableError, match="force=True"):
        mfx.fit(FORMULA, data.head(300), method="marginal", **options)


def test_refining_maximises_the_likelihood_of_stage_one(data: pd.DataFrame) -> None:
    fit = mfx.fit(FORMULA, data, method="ml", refine=True)
    assert fit.refined is not None
    assert (fit.covariance.method, fit.refined.method) == ("ml", "ml")
    with pytest.raises(SettingError, match="refine is 'no', but must be True or False"):
        mfx.fit(FORMULA, data, refine="no")  # pyright: ignore[reportArgumentType]


def test_refined_covariances_are_those_of_all_rows(data: pd.DataFrame) -> None:
    fit = mfx.fit(FORMULA, data, method="reml", subsample=mfx.Subsample(fraction=0.6), refine=True)
    assert fit.refined is not None
    exact = mfx.learn_covariance(FORMULA, data)
    errors = exact.standard_errors["se"]
    off = (fit.refined.varcorr.to_frame()["vcov"] - exact.varcorr.to_frame()["vcov"]).abs() / errors
    assert off.max() < 0.05
    assert fit.coefficients.varcorr.to_frame().equals(fit.refined.varcorr.to_frame())
    assert "Refined on all rows" in str(fit.summary())


@pytest.mark.parametrize(
    ("formula", "options", "message"),
    [
        ("y ~ 1 + nothere + (1 | g)", {}, "nothere"),
        ("y ~ 1 + x", {}, "random term"),
        ("y ~ 1 + (1 | g", {}, "bracket|parenthes|closed"),
        ("__import__('os').system('ls') ~ 1 + (1 | g)", {}, "."),
        ("y ~ x.sum() + (1 | g)", {}, "sum|x"),
        ("y ~ {x} + (1 | g)", {}, "{"),
        (FORMULA, {"family": "gama"}, "gama"),
        (FORMULA, {"method": "mcmc"}, "mcmc"),
        (FORMULA.replace("y ~", "share ~"), {"family": "bernoulli", "method": "nuts"}, "share"),
    ],
)
def test_bad_input_names_the_culprit(
    data: pd.DataFrame, formula: str, options: dict[str, str], message: str
) -> None:
    with pytest.raises(mfx.errors.MixedfxError, match=message):
        mfx.fit(formula, data, **({"method": "reml"} | options))


def test_bad_data_name_the_culprit(data: pd.DataFrame) -> None:
    for broken, message in (
        (data.head(0), "no rows"),
        (data.assign(x=np.inf), "x"),
        (data.assign(g=1), "'g'"),
        (data.assign(y=1.0), "'y' is constant"),
    ):
        with pytest.raises(mfx.errors.DataError, match=message):
            mfx.fit(FORMULA, broken, method="reml")

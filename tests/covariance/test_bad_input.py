"""Data at the edge of what can be learned from end in a fit, or in an error that names what is wrong."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx
from mixedfx.covariance.result import CovarianceResult
from mixedfx.errors import CollinearWarning, DataError, DroppedRowsWarning, SettingError

RESPONSES = {"gaussian": "y", "bernoulli": "b", "poisson": "k", "cumulative": "o"}


@pytest.fixture
def data() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    n = 400
    frame = pd.DataFrame({"g": rng.integers(0, 20, n), "x": rng.standard_normal(n), "row": np.arange(n)})
    eta = 0.3 + 0.5 * frame["x"] + rng.standard_normal(20)[frame["g"]]
    frame["y"] = eta + rng.standard_normal(n)
    frame["b"] = (rng.random(n) < 1 / (1 + np.exp(-eta))).astype(int)
    frame["k"] = rng.poisson(np.exp(eta))
    frame["o"] = pd.Categorical(np.digitize(eta + rng.logistic(size=n), [-1, 0.5, 2]), ordered=True)
    return frame


def learn(data: pd.DataFrame, family: str, terms: str, **options: object) -> CovarianceResult:
    return mfx.learn_covariance(f"{RESPONSES[family]} ~ {terms}", data, family=family, **options)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("family", RESPONSES)
@pytest.mark.parametrize("bar", ["(1 | g)", "(1 + x | g)"])
def test_a_level_seen_once(data: pd.DataFrame, family: str, bar: str) -> None:
    data.loc[0, "g"] = 99
    fit = learn(data, family, f"1 + x + {bar}")
    assert fit.converged
    assert fit.varcorr.freezable
    assert np.isfinite([fit.loglik, *fit.fixef, *fit.fixef_se, *fit.varcorr.to_frame()["vcov"]]).all()
    assert np.isfinite(fit.ranef["g"].loc[99]).all()
    # One row says little: the level keeps most of the prior's uncertainty, and no more than that.
    sd, prior = fit.ranef_sd("g")["(Intercept)"], np.sqrt(fit.varcorr["g"].iloc[0, 0])
    assert 0.5 * prior < sd[99] < prior
    assert sd[99] == sd.max()


@pytest.mark.parametrize("terms", ["1 + x + (1 | row)", "1 + x + (1 | g) + (1 | row)"])
def test_every_level_seen_once(data: pd.DataFrame, terms: str) -> None:
    with pytest.raises(DataError, match=r"'row' has 400 coefficients .* take its bar term out"):
        learn(data, "gaussian", terms)
    for family in ("bernoulli", "poisson", "cumulative"):
        fit = learn(data, family, terms)
        assert fit.converged
        assert np.isfinite([fit.loglik, *fit.varcorr.to_frame()["vcov"]]).all()


def test_slopes_of_levels_seen_once_are_too_many(data: pd.DataFrame) -> None:
    pairs = data.assign(pair=data["row"] // 2)
    with pytest.raises(DataError, match=r"'pair' has 400 coefficients .* use fewer slopes"):
        learn(pairs, "gaussian", "1 + x + (1 + x | pair)")


def test_coefficients_without_covariances_are_counted_bar_by_bar(data: pd.DataFrame) -> None:
    """As lme4 does: those of other bars are as if of another factor."""
    triples = data.assign(triple=data["row"] // 3, v=np.cos(data["row"]))
    fit = learn(triples, "gaussian", "1 + x + (1 + x + v || triple)")
    assert fit.converged
    assert fit.n_levels["triple"] * 3 >= fit.n_rows


@pytest.mark.parametrize("family", RESPONSES)
def test_a_factor_of_one_level(data: pd.DataFrame, family: str) -> None:
    with pytest.raises(DataError, match=r"'c' has one level only .*take its bar term out"):
        learn(data.assign(c="a"), family, "1 + x + (1 | c)")


@pytest.mark.parametrize(
    ("family", "value", "message"),
    [
        ("gaussian", 3.5, r"response 'y' is constant \(3.5\).*check that the right column is on the left"),
        ("bernoulli", 0, "response 'b' is always 0; a logistic model needs both outcomes"),
        ("bernoulli", 1, "response 'b' is always 1; a logistic model needs both outcomes"),
        ("bernoulli", "no", r"response 'b' must have two levels .*, but has 1: no"),
        ("poisson", 0, "response 'k' is always 0; a Poisson model needs counts above 0"),
        ("cumulative", "a", r"response 'o' has one category only \(a\); an ordinal model needs two"),
    ],
)
def test_a_constant_response(data: pd.DataFrame, family: str, value: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        learn(data.assign(**{RESPONSES[family]: value}), family, "1 + x + (1 | g)")


@pytest.mark.parametrize("bar", ["(1 | g)", "(1 + x | g)"])
@pytest.mark.parametrize(("family", "value"), [("binomial", 0.5), ("binomial", 0.25), ("poisson", 3)])
def test_a_constant_response_that_can_be_fitted(
    data: pd.DataFrame, bar: str, family: str, value: float
) -> None:
    """Equal proportions and counts are less spread than by chance: no variance between levels."""
    weights = np.full(len(data), 4.0) if family == "binomial" else None
    fit = mfx.learn_covariance(f"c ~ 1 + x + {bar}", data.assign(c=value), family=family, weights=weights)
    assert fit.converged
    assert (fit.varcorr["g"].to_numpy() == 0).all()
    expected = np.log(value) if family == "poisson" else np.log(value / (1 - value))
    np.testing.assert_allclose(fit.fixef, [expected, 0.0], atol=1e-6)


@pytest.mark.parametrize("family", RESPONSES)
def test_collinear_fixed_effects_are_as_if_left_out(data: pd.DataFrame, family: str) -> None:
    with pytest.warns(CollinearWarning, match="determined by the others are dropped: twice"):
        fit = learn(data.assign(twice=2 * data["x"]), family, "1 + x + twice + (1 | g)")
    without = learn(data, family, "1 + x + (1 | g)")
    pd.testing.assert_series_equal(fit.fixef, without.fixef)
    pd.testing.assert_series_equal(fit.fixef_se, without.fixef_se)
    pd.testing.assert_frame_equal(fit.standard_errors, without.standard_errors)
    assert fit.loglik == pytest.approx(without.loglik, abs=1e-9)


@pytest.mark.parametrize("family", RESPONSES)
@pytest.mark.parametrize("weight", [0.0, -1.0, np.inf])
def test_weights_out_of_range(data: pd.DataFrame, family: str, weight: float) -> None:
    weights = np.ones(len(data))
    weights[3] = weight
    with pytest.raises(DataError, match=r"weights must be finite and above 0, but 1 of 400 .* row number 3"):
        learn(data, family, "1 + x + (1 | g)", weights=weights)
    with pytest.raises(DataError, match="column 'w' must be finite and above 0"):
        learn(data.assign(w=weights), family, "1 + x + (1 | g)", weights="w")


@pytest.mark.parametrize("family", RESPONSES)
def test_missing_weights_are_missing_values(data: pd.DataFrame, family: str) -> None:
    data["w"] = 1.0
    data.loc[3, "w"] = np.nan
    with pytest.raises(DataError, match=r"missing values in w \(1\) of 400 rows"):
        learn(data, family, "1 + x + (1 | g)", weights="w", na="raise")
    with pytest.warns(DroppedRowsWarning, match=r"1 of 400 rows dropped: missing values in w \(1\)"):
        fit = learn(data, family, "1 + x + (1 | g)", weights="w")
    without = learn(data.drop(index=3), family, "1 + x + (1 | g)", weights="w")
    assert fit.loglik == pytest.approx(without.loglik, abs=1e-9)


def test_intraclass_correlation_of_slopes_says_what_to_do(data: pd.DataFrame) -> None:
    fit = learn(data, "gaussian", "1 + x + (1 + x | g)")
    with pytest.raises(SettingError, match=r"'g' has slopes \(x\).*pass data="):
        fit.icc()
    with pytest.raises(DataError, match="399 complete rows, but the fit was to 400"):
        fit.icc(data=data.iloc[1:])

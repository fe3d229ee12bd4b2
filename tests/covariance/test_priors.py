"""Priors follow the scale of the data, and may be set by name."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mixedfx.covariance.priors import centring, choose_priors
from mixedfx.design import Design, build_design
from mixedfx.errors import SettingError
from mixedfx.families import get_family

GAUSSIAN = get_family("gaussian")


def design(scale: float = 1.0, unit: float = 1.0, shift: float = 0.0) -> Design:
    rng = np.random.default_rng(0)
    x = rng.standard_normal(200)
    g = rng.integers(0, 10, 200)
    y = scale * (x + rng.standard_normal(200)) + 5
    return build_design("y ~ 1 + x + (1 + x | g)", pd.DataFrame({"y": y, "x": unit * x + shift, "g": g}))


def test_scales_follow_units() -> None:
    base = choose_priors(design(), GAUSSIAN)
    sd = design().y.std()
    assert base.beta_scale[0] == pytest.approx(2.5 * sd)
    assert base.beta_loc == pytest.approx([design().y.mean(), 0])
    assert base.sigma_scale == pytest.approx(sd)
    other = choose_priors(design(scale=10, unit=0.1), GAUSSIAN)
    np.testing.assert_allclose(other.beta_scale, base.beta_scale * [10, 100])
    np.testing.assert_allclose(other.sd_scale["g"], base.sd_scale["g"] * [10, 100])


def test_the_intercept_is_about_the_mean_of_the_columns() -> None:
    beta = np.array([1.0, 2.0])
    for shift in (0.0, 7.0):
        d = design(shift=shift)
        at_mean, slope = centring(d) @ beta
        assert at_mean == pytest.approx((d.predictors.X() @ beta).mean())
        assert slope == 2.0


def test_logit_scales_do_not_see_the_response() -> None:
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"y": rng.integers(0, 2, 100), "g": rng.integers(0, 5, 100)})
    bernoulli = get_family("bernoulli")
    priors = choose_priors(build_design("y ~ 1 + (1 | g)", data, family="bernoulli"), bernoulli)
    assert priors.beta_scale.tolist() == priors.sd_scale["g"].tolist() == [2.5]
    assert priors.sigma_scale is None
    assert set(priors.describe()) == {"beta (Intercept)", "sd_g", "correlations"}


def test_given_values_replace_defaults() -> None:
    base = choose_priors(design(), GAUSSIAN)
    given = {"beta": {"x": 0.5}, "sd_g": {"(Intercept)": 2}, "sigma": 3.0, "lkj": 1}
    priors = choose_priors(design(), GAUSSIAN, given)
    assert priors.beta_scale.tolist() == [base.beta_scale[0], 0.5]
    assert priors.sd_scale["g"].tolist() == [2, base.sd_scale["g"][1]]
    assert (priors.sigma_scale, priors.lkj) == (3.0, 1.0)
    unchanged = {f.name for f in fields(priors)} - {"beta_scale", "sd_scale", "sigma_scale", "lkj"}
    assert all(np.array_equal(getattr(priors, name), getattr(base, name)) for name in unchanged)
    assert choose_priors(design(), GAUSSIAN, {"sd_g": 4}).sd_scale["g"].tolist() == [4, 4]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sd_h": 1}, r"'sd_h'.*beta, sd_g, lkj, sigma"),
        ({"g": 1}, "'g'"),
        ({"sd_g": {"z": 1}}, r"'sd_g' names coefficient 'z'.*\(Intercept\), x"),
        ({"sigma": 0}, "'sigma' is 0"),
        ({"lkj": True}, "'lkj' is True"),
        ({"beta": {"x": np.nan}}, "'beta x' is nan"),
    ],
)
def test_unusable_priors_are_named(given: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        choose_priors(design(), GAUSSIAN, given)

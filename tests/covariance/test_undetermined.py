"""Covariances that the data can't tell, and likelihoods with several maxima."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx

SEVERAL_MAXIMA = [
    (1.8668, "f1", "a1", "b1", 2.4867, 48.1663),
    (2.5412, "f0", "a0", "b6", 0.8458, 51.7359),
    (-2.1256, "f1", "a0", "b0", 0.5124, 52.063),
    (-2.0739, "f0", "a1", "b5", 3.8598, 47.9327),
    (0.8356, "f1", "a2", "b1", 3.3253, 45.5445),
    (1.7714, "f2", "a2", "b1", 0.5871, 45.0865),
    (-0.4824, "f0", "a0", "b6", 2.1581, 50.3239),
    (-1.0083, "f2", "a1", "b2", 1.2709, 45.7997),
    (0.9676, "f0", "a0", "b0", 1.4086, 50.7701),
    (-1.3343, "f1", "a2", "b1", 0.8846, 42.1855),
    (-0.7226, "f2", "a2", "b5", 0.585, 46.2377),
    (0.5595, "f2", "a1", "b4", 3.8047, 46.2313),
]


@pytest.fixture
def plots() -> pd.DataFrame:
    """Three treatments with six plots each and four rows a plot."""
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"t": np.repeat(list("abc"), 24), "h": np.tile(np.repeat(np.arange(6), 4), 3)})
    frame["y"] = rng.standard_normal(72) + rng.standard_normal(18)[np.repeat(np.arange(18), 4)]
    return frame


@pytest.mark.parametrize("rest", ["", "/h"])
def test_a_factor_that_the_fixed_effects_tell_apart(plots: pd.DataFrame, rest: str) -> None:
    """REML knows nothing of its variance, which is said; ML finds 0."""
    with pytest.warns(
        mfx.errors.ConvergenceWarning, match=r"nothing of the variance of '\(Intercept\)' of factor 't'"
    ):
        reml = mfx.learn_covariance(f"y ~ t + (1 | t{rest})", plots)
    assert reml.converged
    assert np.isnan(reml.standard_errors.set_index("grp").loc["t", "se"])
    ml = mfx.learn_covariance(f"y ~ t + (1 | t{rest})", plots, method="ml")
    assert ml.converged
    assert ml.varcorr["t"].iloc[0, 0] == 0
    if rest:
        plain = mfx.learn_covariance("y ~ t + (1 | t:h)", plots)
        # The treatments' variance only widens the intervals of their means.
        assert reml.deviance == pytest.approx(plain.deviance, abs=1e-6)
        assert reml.sigma == pytest.approx(plain.sigma, rel=1e-5)


@pytest.mark.parametrize("family", ["gaussian", "poisson"])
def test_a_slope_on_nothing_is_named(plots: pd.DataFrame, family: str) -> None:
    data = plots.assign(nothing=0.0, y=plots["y"].abs().round() if family == "poisson" else plots["y"])
    with pytest.raises(mfx.errors.DataError, match="'nothing' is 0 in every row"):
        mfx.learn_covariance("y ~ 1 + (1 + nothing | h)", data, family=family)


def test_boundary_without_fixed_effects() -> None:
    rng = np.random.default_rng(1)
    data = pd.DataFrame(
        {"g": rng.integers(0, 5, 40), "h": rng.integers(0, 4, 40), "y": rng.standard_normal(40)}
    )
    fit = mfx.learn_covariance("y ~ 0 + (1 | g) + (1 | h)", data)
    assert fit.converged


def test_the_better_of_two_maxima() -> None:
    """Twelve rows: with both variances 0 the deviance has a minimum of 45.287; lme4 finds 43.5065."""
    data = pd.DataFrame(SEVERAL_MAXIMA, columns=["x", "f", "a", "b", "w", "y"])
    fit = mfx.learn_covariance("y ~ x * f + (1 | a) + (1 | b)", data, method="ml", weights="w")
    assert fit.deviance == pytest.approx(43.5065, abs=1e-3)


def test_other_weights_are_not_the_fits() -> None:
    data = mfx.datasets.load_insteval().head(1000).assign(w=np.linspace(1, 2, 1000))
    fit = mfx.learn_covariance("y ~ service + (1 | s)", data, weights="w")
    plain = mfx.learn_covariance("y ~ 1 + (1 | s)", data, weights="w")
    with pytest.raises(mfx.errors.DataError, match="not those of the fit"):
        mfx.confint(fit, data, parameters="sd")
    with pytest.raises(mfx.errors.DataError, match="not those of the fit"):
        mfx.confint(fit, data.assign(y=data["y"] + 0.1 * data["w"]), weights="w", parameters="sd")
    with pytest.raises(mfx.errors.DataError, match="not those of the fit"):
        mfx.compare_models(plain, fit, data=data)

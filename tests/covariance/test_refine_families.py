"""Refinement from poor places in every family: boundary optima, starts far off, samples that say next to nothing."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx
from mixedfx.errors import DataError, SettingError
from mixedfx.linalg import probes as probing

FORMULA = "y ~ x + (1 | g) + (1 | h)"
FAMILIES = ["gaussian", "bernoulli", "binomial", "poisson", "cumulative"]


@pytest.fixture(params=[True, False], ids=["complete", "random"])
def _probes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small data have complete sets of probes, unless that is forbidden."""
    if not request.param:
        monkeypatch.setattr(probing, "COMPLETE_WORK", 0)


def rows(family: str, sd: float = 0.6, n: int = 1500) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Data whose factor h has this standard deviation, and the model's settings."""
    rng = np.random.default_rng(5)
    g, h, x = rng.integers(0, 50, n), rng.integers(0, 30, n), rng.normal(size=n)
    eta = 0.3 + 0.5 * x + 0.7 * rng.normal(size=50)[g] + sd * rng.normal(size=30)[h]
    data, settings = pd.DataFrame({"g": g, "h": h, "x": x, "eta": eta}), {"family": family}
    p = 1 / (1 + np.exp(-eta))
    if family == "gaussian":
        data["y"] = eta + rng.normal(size=n)
    elif family == "bernoulli":
        data["y"] = (rng.uniform(size=n) < p).astype(int)
    elif family == "binomial":
        data["trials"] = rng.integers(2, 6, n)
        data["y"], settings["weights"] = rng.binomial(data["trials"], p) / data["trials"], "trials"
    elif family == "poisson":
        data["y"] = rng.poisson(np.exp(eta))
    else:
        data["y"] = np.digitize(eta + rng.logistic(size=n), [-1.0, 0.5, 2.0])
    return data, settings


def start(family: str, g: float, h: float) -> mfx.VarCorr:
    entries = [("g", "(Intercept)", g), ("h", "(Intercept)", h)]
    frame = pd.DataFrame(entries, columns=["grp", "var1", "vcov"]).assign(var2=None)
    if family == "gaussian":
        frame.loc[len(frame)] = ["Residual", None, 1.0, None]
    return mfx.VarCorr.from_frame(frame)


def assert_same(found: Any, exact: Any) -> None:
    assert found.converged
    assert found.boundary == exact.boundary
    theirs, ours = exact.standard_errors, found.standard_errors
    assert (ours["se"].isna() == theirs["se"].isna()).all()
    off = (ours["vcov"] - theirs["vcov"]).abs().to_numpy()
    # As in `test_engines_agree`; the few random probes of small data know their error badly.
    assert (off <= 6 * found.stats["monte_carlo_se"] + 0.01 * theirs["se"].fillna(0.0).to_numpy()).all()
    np.testing.assert_allclose(ours["se"].dropna(), theirs["se"].dropna(), rtol=0.02)


@pytest.mark.usefixtures("_probes")
@pytest.mark.parametrize("family", FAMILIES)
def test_a_variance_of_zero(family: str) -> None:
    data, settings = rows(family, sd=0.0)
    # Levels with the same responses each, but for their order; of counts, the same differences from the expected ones.
    by = data["y"] - np.exp(data["eta"]) if family == "poisson" else data["y"]
    levels = np.argsort(np.argsort(by.to_numpy(), kind="stable")) % 30
    data = data.assign(h=levels)
    exact = mfx.learn_covariance(FORMULA, data, **settings)
    assert exact.boundary == ("h (Intercept)",)
    assert_same(mfx.refine_covariance(FORMULA, data, start(family, 0.5, 0.5), **settings), exact)


@pytest.mark.usefixtures("_probes")
@pytest.mark.parametrize(("g", "h"), [(1e-6, 100.0), (0.0, 0.0), (1e4, 1e4)])
@pytest.mark.parametrize("family", FAMILIES)
def test_starts_far_off(family: str, g: float, h: float) -> None:
    data, settings = rows(family)
    exact = mfx.learn_covariance(FORMULA, data, **settings)
    assert_same(mfx.refine_covariance(FORMULA, data, start(family, g, h), **settings), exact)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_sample_that_says_next_to_nothing(family: str) -> None:
    """Two levels of a factor: their variance is 0 or wild, which is a start all the same."""
    data, settings = rows(family)
    sample = mfx.Subsample("levels", factor="h", n_levels=2, seed=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mfx.errors.MixedfxWarning)
        poor = mfx.learn_covariance(FORMULA, data, subsample=sample, **settings)
    exact = mfx.learn_covariance(FORMULA, data, **settings)
    assert not np.allclose(poor.standard_errors["vcov"], exact.standard_errors["vcov"], rtol=0.05)
    assert_same(mfx.refine_covariance(FORMULA, data, poor.varcorr, **settings), exact)


@pytest.mark.parametrize("family", FAMILIES)
def test_factors_without_two_levels(family: str) -> None:
    data, settings = rows(family, n=400)
    with pytest.raises(DataError, match="'h' has one level only"):
        mfx.refine_covariance(FORMULA, data.assign(h=1), start(family, 0.5, 0.5), **settings)
    apart = data.assign(h=data["g"])  # two levels of each, drawn apart, have no row in common
    with pytest.raises(SettingError, match="draw more levels"):
        mfx.learn_covariance(
            FORMULA, apart, subsample=mfx.Subsample("two-way", n_levels=2, seed=3), **settings
        )

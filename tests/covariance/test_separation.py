"""Fixed effects without a finite estimate are named by stage 1 as by stage 2."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx

RESPONSES = {"bernoulli": "b", "binomial": "share", "poisson": "k", "cumulative": "o"}


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    """A shop that is closed has no success, no count, and the lowest grade."""
    rng = np.random.default_rng(1)
    n = 400
    frame = pd.DataFrame({"g": rng.integers(0, 12, n), "x": rng.standard_normal(n)})
    frame["shop"] = np.where(rng.random(n) < 0.2, "closed", "open")
    eta = 0.3 + 0.5 * frame["x"] + 0.7 * rng.standard_normal(12)[frame["g"]]
    success = rng.random((5, n)) < 1 / (1 + np.exp(-eta.to_numpy()))
    closed = frame["shop"] == "closed"
    frame["b"] = np.where(closed, 0, success[0])
    frame["share"] = np.where(closed, 0.0, success.mean(axis=0))
    frame["k"] = np.where(closed, 0, rng.poisson(np.exp(eta)))
    frame["o"] = np.where(closed, 0, np.digitize(eta + rng.logistic(size=n), [-1, 0.5, 2]))
    return frame


@pytest.mark.parametrize("family", RESPONSES)
def test_a_joint_mode_that_is_infinite(data: pd.DataFrame, family: str) -> None:
    """With `nagq` 1 the fixed effects stop somewhere; with 0 their joint mode with the random effects must exist."""
    trials = np.full(len(data), 5.0) if family == "binomial" else None
    with pytest.raises(mfx.errors.DataError, match=r"the data separate.*'shopopen'"):
        mfx.learn_covariance(
            f"{RESPONSES[family]} ~ 1 + x + shop + (1 | g)", data, family=family, nagq=0, weights=trials
        )


@pytest.mark.parametrize("nagq", [1, 5])
@pytest.mark.parametrize("family", RESPONSES)
def test_a_category_with_one_outcome(data: pd.DataFrame, family: str, nagq: int) -> None:
    trials = np.full(len(data), 5.0) if family == "binomial" else None
    formula = f"{RESPONSES[family]} ~ 1 + x + shop + (1 | g)"
    with pytest.warns(mfx.errors.ConvergenceWarning, match=r"the data separate.*'shopopen'") as caught:
        fit = mfx.learn_covariance(formula, data, family=family, nagq=nagq, weights=trials)
    assert not any("'x'" in str(w.message) for w in caught)
    # The other parameters are those of the rows that have more than one outcome.
    rest = data["shop"] == "open"
    without = mfx.learn_covariance(
        f"{RESPONSES[family]} ~ 1 + x + (1 | g)",
        data[rest],
        family=family,
        nagq=nagq,
        weights=None if trials is None else trials[rest],
    )
    assert fit.fixef["x"] == pytest.approx(without.fixef["x"], abs=1e-3)
    assert fit.varcorr["g"].iloc[0, 0] == pytest.approx(without.varcorr["g"].iloc[0, 0], abs=1e-3)


@pytest.mark.parametrize("family", RESPONSES)
def test_nothing_is_said_otherwise(data: pd.DataFrame, family: str) -> None:
    trials = np.full(len(data), 5.0) if family == "binomial" else None
    assert mfx.learn_covariance(
        f"{RESPONSES[family]} ~ 1 + x + (1 | g)", data, family=family, weights=trials
    ).converged


def test_rare_outcomes_do_not_separate(data: pd.DataFrame) -> None:
    rare = data.assign(b=0)
    rare.loc[[5, 70, 100], "b"] = 1
    mfx.learn_covariance("b ~ 1 + x + (1 | g)", rare, family="bernoulli")


@pytest.mark.parametrize("intercept", [0, 1])
@pytest.mark.parametrize("family", RESPONSES)
@pytest.mark.parametrize("seed", [0, 2, 3])
def test_standard_errors_of_what_is_not_separated(family: str, intercept: int, seed: int) -> None:
    """Are those of the other rows, whatever the differences see where the likelihood is flat."""
    rng = np.random.default_rng(seed)
    n = 120
    frame = pd.DataFrame(
        {"g": rng.integers(0, 12, n), "h": rng.integers(0, 5, n), "x": rng.standard_normal(n)}
    )
    eta = 0.5 * frame["x"] + rng.standard_normal(12)[frame["g"]]
    frame["b"] = (eta + rng.logistic(size=n) > 0).astype(int).where(frame["h"] > 0, 1)
    frame["share"] = frame["b"].astype(float)
    frame["k"] = rng.poisson(np.exp(0.3 * eta))
    frame["k"] = frame["k"].where(frame["h"] > 0, 0)
    frame["o"] = (frame["k"] + 1).clip(upper=3).where(frame["h"] > 0, 0)
    formula, rest = f"{RESPONSES[family]} ~ {intercept} + C(h) + x + (1 | g)", frame[frame["h"] > 0]
    trials = {"weights": "trials"} if family == "binomial" else {}
    frame, rest = frame.assign(trials=5.0), rest.assign(trials=5.0)
    with pytest.warns(mfx.errors.ConvergenceWarning, match="the data separate"):
        fit = mfx.learn_covariance(formula, frame, family=family, **trials)  # pyright: ignore[reportArgumentType]
    without = mfx.learn_covariance(formula, rest, family=family, **trials)  # pyright: ignore[reportArgumentType]
    assert fit.fixef_se["x"] == pytest.approx(without.fixef_se["x"], rel=1e-2)
    np.testing.assert_allclose(fit.standard_errors["se"], without.standard_errors["se"], rtol=2e-2)
    separated = "C(h)1" if intercept or family == "cumulative" else "C(h)0"
    assert not fit.fixef_se[separated] < 100  # nan, too

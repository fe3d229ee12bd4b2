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

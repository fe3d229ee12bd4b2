"""Fits that cannot be trusted say so, why, and what to do; what they have is kept."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from problems import frame

import mixedfx as mfx
from mixedfx.coefficients.result import CoefficientsResult
from mixedfx.linalg import memory

ONE_FACTOR = pd.DataFrame([("g", "(Intercept)", None, 0.5)], columns=["grp", "var1", "var2", "vcov"])


def fitted(formula: str, data: pd.DataFrame, family: str = "bernoulli") -> CoefficientsResult:
    return mfx.estimate_coefficients(formula, data, mfx.VarCorr.from_frame(ONE_FACTOR), family=family)


@pytest.mark.parametrize("family", ["bernoulli", "poisson", "cumulative"])
def test_a_category_with_one_outcome_separates(family: str) -> None:
    data = frame(np.random.default_rng(1), 300)
    data["shop"] = np.where(data["k"] == 2, "closed", "open")
    data.loc[data["shop"] == "closed", ["b", "count"]] = 0
    response = {"bernoulli": "b", "poisson": "count", "cumulative": "b"}[family]
    with pytest.warns(mfx.errors.ConvergenceWarning, match="the data separate.*'shopopen'"):
        fit = fitted(f"{response} ~ 1 + x + shop + (1 | g)", data, family)
    assert not fit.converged
    assert "'x'" not in fit.reason
    assert "random effect" in fit.reason
    assert np.isfinite(fit.fixef["x"])
    assert "NOT converged" in str(fit.summary())


def test_fixed_hessian_names_what_separates_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mixedfx.coefficients.fixed_hessian.MOST_STEPS", 50)
    data = frame(np.random.default_rng(1), 300).assign(new=lambda d: (d["k"] == 2) * 1.0)
    data.loc[data["new"] == 1, "b"] = 1
    varcorr = mfx.VarCorr.from_frame(ONE_FACTOR)
    formula, settings = "b ~ 1 + x + new + (1 | g)", {"family": "bernoulli", "solver": "fixed-hessian"}
    with pytest.warns(mfx.errors.ConvergenceWarning, match="the data separate.*'new'"):
        fit = mfx.estimate_coefficients(formula, data, varcorr, **settings)
    assert fit.stats["newton_iterations"] == 50
    assert fit.fixef["new"] < 15  # where its own steps ended


def test_fixed_hessian_that_is_only_slow_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mixedfx.coefficients.fixed_hessian.MOST_STEPS", 3)
    data, varcorr = frame(np.random.default_rng(1), 300), mfx.VarCorr.from_frame(ONE_FACTOR)
    with pytest.warns(mfx.errors.ConvergenceWarning, match="no convergence in 3 steps"):
        mfx.estimate_coefficients(
            "b ~ 1 + x + (1 | g)", data, varcorr, family="bernoulli", solver="fixed-hessian"
        )


def test_a_covariate_that_separates() -> None:
    data = frame(np.random.default_rng(1), 300)
    data["b"] = (data["x"] > 0.2).astype(int)
    with pytest.warns(mfx.errors.ConvergenceWarning, match="'x'"):
        assert not fitted("b ~ 1 + x + (1 | g)", data).converged


def test_rare_outcomes_do_not_separate() -> None:
    data = frame(np.random.default_rng(1), 3000)
    data["b"] = 0
    data.loc[[5, 700], "b"] = 1
    assert fitted("b ~ 1 + x + (1 | g)", data).converged


def test_a_random_effect_never_separates() -> None:
    data = frame(np.random.default_rng(1), 300)
    data.loc[data["g"] == 3, "b"] = 1
    fit = fitted("b ~ 1 + (1 | g)", data)
    assert fit.converged
    assert fit.ranef["g"].loc[3, "(Intercept)"] < 5


def test_overflow_is_told() -> None:
    data = frame(np.random.default_rng(1), 300).assign(w=lambda d: d["h"] * 500.0)
    with pytest.warns(mfx.errors.ConvergenceWarning, match=r"overflow.*scale"):
        fit = fitted("count ~ 1 + offset(w) + (1 | g)", data, "poisson")
    assert not fit.converged


def test_memory_is_estimated_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: 1_000)
    with pytest.raises(mfx.errors.ResourceError, match=r"300 rows.*GiB.*'g' \(11 levels x 1\)"):
        fitted("b ~ 1 + x + (1 | g)", frame(np.random.default_rng(1), 300))
    monkeypatch.setattr(memory, "available_bytes", lambda: None)
    assert fitted("b ~ 1 + x + (1 | g)", frame(np.random.default_rng(1), 300)).converged


@pytest.mark.parametrize(
    ("setting", "value"), [("tol", "a"), ("tol", 2), ("tol", 1e-300), ("start", 3), ("solver", "lu")]
)
def test_settings_are_checked(setting: str, value: object) -> None:
    data = frame(np.random.default_rng(1), 300)
    with pytest.raises(mfx.errors.SettingError, match=setting):
        mfx.estimate_coefficients(
            "b ~ 1 + (1 | g)",
            data,
            mfx.VarCorr.from_frame(ONE_FACTOR),
            family="bernoulli",
            **{setting: value},
        )


def test_one_row_far_out_is_no_separation() -> None:
    data = frame(np.random.default_rng(1), 400)
    data.loc[0, "x"] = 1e6
    data["b"] = (np.random.default_rng(3).random(400) < 1 / (1 + np.exp(-data["x"]))).astype(int)
    assert fitted("b ~ 1 + x + (1 | g)", data).converged


def test_small_weights_are_no_separation() -> None:
    data = frame(np.random.default_rng(1), 400)
    given = mfx.VarCorr.from_frame(ONE_FACTOR)
    fit = mfx.estimate_coefficients(
        "b ~ 1 + x + (1 | g)", data, given, family="bernoulli", weights=np.full(400, 1e-9)
    )
    assert fit.converged


def test_ordered_categories_that_separate() -> None:
    data = frame(np.random.default_rng(1), 400)
    data["grade"] = np.digitize(data["x"], [-1, 1])
    with pytest.warns(mfx.errors.ConvergenceWarning, match="'x'"):
        assert not fitted("grade ~ 1 + x + (1 | g)", data, "cumulative").converged


def test_what_overflowed_can_be_printed() -> None:
    data = frame(np.random.default_rng(1), 300).assign(w=lambda d: d["h"] * 500.0)
    with pytest.warns(mfx.errors.ConvergenceWarning, match="overflow"):
        fit = fitted("count ~ 1 + offset(w) + (1 | g)", data, "poisson")
    assert fit.fixef_se.isna().all()
    assert "NOT converged" in str(fit.summary())


def test_equations_that_cannot_be_solved_end_a_fit_with_what_it_has() -> None:
    rng = np.random.default_rng(0)
    data = pd.DataFrame({"u": rng.integers(0, 40, 600), "i": rng.integers(0, 20, 600)})
    data["p"], data["a"] = rng.standard_normal(20)[data["i"]], rng.standard_normal(40)[data["u"]]
    data["c"] = rng.poisson(2, 600).astype(float)
    data.loc[0, "c"] = 1e12  # a wrong entry, beside counts of 2
    rows = [("u", "(Intercept)", 1.0), ("u", "p", 0.5), ("i", "(Intercept)", 0.7), ("i", "a", 0.2)]
    varcorr = pd.DataFrame(rows, columns=["grp", "var1", "vcov"]).assign(var2=None)
    with pytest.warns(mfx.errors.ConvergenceWarning, match="singular in double precision.*outliers"):
        fit = mfx.estimate_coefficients(
            "c ~ 1 + a + p + (1 + p | u) + (1 + a | i)",
            data,
            mfx.VarCorr.from_frame(varcorr),
            family="poisson",
        )
    assert not fit.converged
    assert np.isfinite(fit.fixef).all()
    assert "NOT converged" in str(fit.summary())

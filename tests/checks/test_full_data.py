"""Sigma on all rows: against REML on all rows, and what cannot be tested."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from two_stages import FORMULA, TwoStages

from mixedfx.checks.explained import Explained
from mixedfx.checks.fisher_step import fisher_step
from mixedfx.checks.full_data import FullData, full_data_estimate
from mixedfx.checks.stage_normal import stage_two_normal
from mixedfx.checks.thresholds import Thresholds
from mixedfx.coefficients import laplace_normal
from mixedfx.coefficients.estimate import estimate_coefficients
from mixedfx.covariance.learn import learn_covariance
from mixedfx.covariance.parameters import ParameterSpace
from mixedfx.datasets import load_verbagg
from mixedfx.errors import ConvergenceWarning
from mixedfx.varcorr import VarCorr


@pytest.fixture(scope="module")
def reml(rows_fit: TwoStages) -> VarCorr:
    return learn_covariance(FORMULA, rows_fit.data).varcorr


def estimate(stages: TwoStages, data: object, **options: object) -> FullData | str:
    settings = {"refined": None, "thresholds": Thresholds(), **options}
    second = stage_two_normal(stages.coef)
    return full_data_estimate(stages.cov, stages.coef, second, data, **settings)  # pyright: ignore[reportArgumentType]


def test_with_the_data_it_is_reml_on_all_rows(rows_fit: TwoStages, reml: VarCorr) -> None:
    found = estimate(rows_fit, rows_fit.data)
    assert isinstance(found, FullData)
    errors = found.standard_errors["se"].to_numpy()
    off = found.varcorr.to_frame()["vcov"] - reml.to_frame()["vcov"]
    # The steps end where the log-likelihood gains less than 0.005: sqrt(2 * 0.005) standard errors.
    assert (np.abs(off) < 0.1 * errors).all()
    assert found.loglik_gain is not None
    assert found.loglik_gain > 0
    assert found.distance == pytest.approx(0, abs=1e-6)
    assert found.moves is not None
    assert set(found.moves) == {"user", "item"}


def test_a_variance_of_which_reml_knows_nothing_has_no_standard_error() -> None:
    """Fixed effects tell the treatments apart, here as in stage 1."""
    rng = np.random.default_rng(3)
    data = pd.DataFrame({"t": np.repeat(list("abc"), 24), "h": np.tile(np.repeat(np.arange(6), 4), 3)})
    data["y"] = rng.standard_normal(72) + rng.standard_normal(18)[np.repeat(np.arange(18), 4)]
    formula = "y ~ t + (1 | t/h)"
    with pytest.warns(ConvergenceWarning, match="nothing of the variance"):
        cov = learn_covariance(formula, data)
    coef = estimate_coefficients(formula, data, cov)
    found = full_data_estimate(cov, coef, stage_two_normal(coef), data, None, Thresholds())
    assert isinstance(found, FullData)
    errors = found.standard_errors.set_index("grp")["se"]
    assert np.isnan(errors["t"])
    np.testing.assert_allclose(errors, cov.standard_errors.set_index("grp")["se"], rtol=1e-4)


@pytest.mark.parametrize("large", [False, True])
def test_without_the_data_one_step_comes_near(
    rows_fit: TwoStages, reml: VarCorr, large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = rows_fit
    if large:  # a new fit: what one has worked out it keeps
        monkeypatch.setattr(laplace_normal, "DENSE_LIMIT", 10)
        stages = replace(rows_fit, coef=estimate_coefficients(FORMULA, rows_fit.data, rows_fit.cov))
    found = estimate(stages, None)
    assert isinstance(found, FullData)
    assert "data=" in found.why
    table = found.standard_errors
    assert "Residual" not in set(table["grp"])
    off = table["vcov"].to_numpy() - reml.to_frame()["vcov"].to_numpy()[:-1]
    # One step ignores that the factors and sigma^2 inform each other.
    assert (np.abs(off) < 0.25 * table["se"].to_numpy()).all()


@pytest.mark.parametrize("times", [0.25, 4.0])
def test_one_step_from_a_wrong_sigma(rows_fit: TwoStages, reml: VarCorr, times: float) -> None:
    frame = rows_fit.cov.varcorr.to_frame()
    frame.loc[frame["grp"] == "item", "vcov"] *= times
    coef = estimate_coefficients(FORMULA, rows_fit.data, VarCorr.from_frame(frame))
    second = stage_two_normal(coef)
    step = fisher_step(second, "item", coef.ranef["item"].to_numpy())
    assert step is not None
    assert step[0][0, 0] == pytest.approx(reml["item"].iloc[0, 0], rel=0.1)


def test_step_stays_semidefinite(rows_fit: TwoStages) -> None:
    second = stage_two_normal(rows_fit.coef)
    # Coefficients of 0 say that the variance is too large, by more than the step from there is exact.
    step = fisher_step(second, "user", np.zeros_like(rows_fit.coef.ranef["user"].to_numpy()))
    assert step is not None
    assert np.linalg.eigvalsh(step[0])[0] >= -1e-12


def test_singular_sigma_is_left_out_of_the_step_but_not_of_the_exact_engine(rows_fit: TwoStages) -> None:
    frame = rows_fit.cov.varcorr.to_frame()
    frame.loc[frame["grp"] == "item", "vcov"] = 0.0
    coef = estimate_coefficients(FORMULA, rows_fit.data, VarCorr.from_frame(frame))
    stages = replace(rows_fit, coef=coef)
    step = estimate(stages, None)
    assert isinstance(step, FullData)
    assert set(step.standard_errors["grp"]) == {"user"}
    exact = estimate(stages, rows_fit.data)
    assert isinstance(exact, FullData)
    assert exact.varcorr["item"].iloc[0, 0] > 0.1


def test_explained_at_another_sigma(rows_fit: TwoStages) -> None:
    frame = rows_fit.coef.varcorr.to_frame()
    frame.loc[frame["grp"] == "user", "vcov"] *= 1.5
    there = estimate_coefficients(FORMULA, rows_fit.data, VarCorr.from_frame(frame))
    here = stage_two_normal(rows_fit.coef)
    own = here.explained["user"]
    expected = stage_two_normal(there).explained["user"]
    assert own is not None
    assert expected is not None
    found = own.at(0.5 * rows_fit.coef.varcorr["user"].to_numpy())
    # Exact but for the other factors, whose levels do not know of this change.
    assert pytest.approx(expected.T, rel=0.01, abs=0.01) == found.T


def test_information_of_a_balanced_factor() -> None:
    # J levels with T = 1 / (Sigma + r): I = J T^2 / 2.
    term_free = np.ones((1, 1), dtype=bool)
    from mixedfx.grouping import Grouping
    from mixedfx.predictors import RandomTerm

    term = RandomTerm(
        Grouping("g", np.zeros(1, dtype=np.int32), pd.RangeIndex(1)),
        ("(Intercept)",),
        np.array([-1], dtype=np.int32),
        term_free,
    )
    T = np.full((50, 1, 1), 0.8)
    information = Explained(T).information(ParameterSpace.of((term,)))
    assert information == pytest.approx(np.array([[50 * 0.64 / 2]]))


def test_weights_given_as_an_array_are_found_again(rows_fit: TwoStages) -> None:
    weights = np.random.default_rng(0).uniform(0.5, 2.0, len(rows_fit.data))
    coef = estimate_coefficients(FORMULA, rows_fit.data, rows_fit.cov, weights=weights)
    found = estimate(replace(rows_fit, coef=coef), rows_fit.data)
    assert isinstance(found, FullData)
    assert found.distance == pytest.approx(0, abs=1e-6)


def test_refined_covariances_are_taken(rows_fit: TwoStages) -> None:
    refined = learn_covariance(FORMULA, rows_fit.data)
    for data in (None, rows_fit.data):
        found = estimate(rows_fit, data, refined=refined)
        assert isinstance(found, FullData)
        assert found.varcorr is refined.varcorr
        assert (found.moves is None) == (data is None)


def test_reasons(rows_fit: TwoStages) -> None:
    nothing = estimate(rows_fit, None)
    assert isinstance(nothing, FullData)
    assert "full data were not given" in nothing.why
    part = estimate(rows_fit, rows_fit.data.iloc[:-1])
    assert isinstance(part, FullData)
    assert "2,699 complete rows" in part.why
    renamed = rows_fit.data.assign(user=rows_fit.data["user"] + 1)
    other = estimate(rows_fit, renamed)
    assert isinstance(other, FullData)
    assert "factor 'user' has other levels" in other.why


def test_without_a_dense_matrix_the_estimate_is_the_same(rows_fit: TwoStages) -> None:
    dense = estimate(rows_fit, rows_fit.data)
    sampled = estimate(rows_fit, rows_fit.data, thresholds=Thresholds(max_coefficients=10))
    assert isinstance(dense, FullData)
    assert isinstance(sampled, FullData)
    off = (sampled.varcorr.to_frame()["vcov"] - dense.varcorr.to_frame()["vcov"]).abs()
    assert (off < 0.1 * dense.standard_errors["se"]).all()
    assert sampled.loglik_gain == pytest.approx(dense.loglik_gain, abs=0.2)
    # Linear systems are solved to 1e-6 there, of the levels' whole modes; it is judged from 0.01 on.
    assert sampled.distance == pytest.approx(0, abs=1e-4)


def test_other_families_by_laplace() -> None:
    data = load_verbagg()
    formula = "r2 ~ 1 + Anger + (1 | id) + (1 | item)"
    cov = learn_covariance(formula, data, family="bernoulli")
    half = cov.varcorr.to_frame().assign(vcov=lambda frame: frame["vcov"] / 2)
    coef = estimate_coefficients(formula, data, VarCorr.from_frame(half), family="bernoulli")
    second = stage_two_normal(coef)
    found = full_data_estimate(cov, coef, second, data, None, Thresholds())
    assert isinstance(found, FullData)
    np.testing.assert_allclose(found.varcorr.to_frame()["vcov"], cov.varcorr.to_frame()["vcov"], rtol=0.02)
    np.testing.assert_allclose(found.standard_errors["se"], cov.standard_errors["se"], rtol=0.1)
    assert found.loglik_gain is not None
    assert found.loglik_gain > 5
    assert found.moves is not None
    assert found.moves["id"] > 0.1
    assert found.distance is None
    nothing = full_data_estimate(cov, coef, second, None, None, Thresholds())
    assert nothing == "the full data were not given (data=)"

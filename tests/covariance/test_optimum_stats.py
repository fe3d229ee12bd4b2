"""What fits tell of their convergence: at optima inside and at the boundary, and where there is none."""

from __future__ import annotations

import goldens
import pytest

import mixedfx as mfx
from mixedfx.covariance.average_information import maximise
from mixedfx.covariance.gaussian import GaussianProblem
from mixedfx.covariance.moments import rough_estimates
from mixedfx.covariance.optimum_stats import optimum_stats
from mixedfx.covariance.result import CovarianceResult
from mixedfx.design import build_design

KEYS = {
    "iterations",
    "evaluations",
    "predicted_gain",
    "newton_decrement",
    "max_scaled_gradient",
    "smallest_eigenvalue",
    "largest_eigenvalue",
    "seconds",
}


def fit(case: str) -> CovarianceResult:
    golden = goldens.load(case)
    return mfx.learn_covariance(
        golden.formula,
        golden.data(),
        family=golden.family,
        weights=golden.weights,
        nagq=1 if golden.nagq is None else golden.nagq,
    )


@pytest.mark.parametrize(
    "case",
    [
        "sleepstudy_reml",
        "dyestuff2",
        "cake_recipe",
        "arabidopsis_log",
        "cbpp_herd",
        "cbpp_nagq9",
        "wine",
        "verbagg_nagq0",
    ],
)
def test_small_at_optima_and_at_boundaries(case: str) -> None:
    """The score of a singular covariance is not zero; in its factor's entries it is."""
    stats = fit(case).stats
    assert set(stats) >= KEYS
    assert stats["max_scaled_gradient"] < 1e-4
    assert stats["newton_decrement"] ** 2 == pytest.approx(2 * abs(stats["predicted_gain"]), abs=1e-15)
    # A matrix with a unit diagonal: its eigenvalues are around 1.
    assert 0 < stats["smallest_eigenvalue"] <= 1 + 1e-12 <= stats["largest_eigenvalue"] + 2e-12


def test_large_where_the_search_is_cut_short() -> None:
    golden = goldens.load("sleepstudy_reml")
    design = build_design(golden.formula, golden.data())
    problem = GaussianProblem.of(design, reml=True)
    start = problem.at(rough_estimates(problem))
    stopped = maximise(start, problem.space, max_iterations=0)
    assert not stopped.converged
    stats = optimum_stats(stopped, problem.space, with_sigma=True)
    assert stats["max_scaled_gradient"] > 0.1
    assert stats["newton_decrement"] > 0.1


def test_units_do_not_matter() -> None:
    golden = goldens.load("sleepstudy_reml")
    plain = fit("sleepstudy_reml").stats
    data = golden.data().assign(Reaction=lambda d: 1e3 * d["Reaction"])
    scaled = mfx.learn_covariance(golden.formula, data).stats
    for key in ("smallest_eigenvalue", "largest_eigenvalue"):
        assert scaled[key] == pytest.approx(plain[key], rel=1e-4)


def test_a_small_eigenvalue_tells_of_parameters_that_are_hardly_told_apart() -> None:
    """Intercept and slope of a feature far from its origin."""
    golden = goldens.load("sleepstudy_reml")
    far = mfx.learn_covariance(golden.formula, golden.data().assign(Days=lambda d: d["Days"] + 100))
    assert far.deviance == pytest.approx(golden.criterion, abs=1e-6)
    assert far.stats["smallest_eigenvalue"] < 0.01 * fit("sleepstudy_reml").stats["smallest_eigenvalue"]

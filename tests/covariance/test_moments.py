"""Where REML begins: each factor alone, and not far from where it ends."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from problems import model

import mixedfx as mfx
from mixedfx.covariance.gaussian import GaussianProblem
from mixedfx.covariance.moments import rough_estimates
from mixedfx.covariance.one_factor import OneFactor
from mixedfx.covariance.parameters import Covariances
from mixedfx.design import build_design


@pytest.mark.parametrize("singular", [False, True])
def test_one_factor_is_the_gaussian_likelihood(singular: bool) -> None:
    """Without fixed effects, ML of one factor: value up to a constant, gradient, average information."""
    m = model("one factor", 3)
    weights = np.random.default_rng(0).uniform(0.5, 2.0, m.design.n_rows)
    data = m.data.assign(w=weights)
    problem = GaussianProblem.of(build_design("y ~ 0 + (1 + x | g)", data, weights="w"), reml=False)
    products = problem.response_products.e[:, :, 0]
    square = float(problem.weights @ problem.y**2)
    alone = OneFactor(problem.space, problem.cross.e, products, square, len(problem.y))
    root = np.array([[0.7, 0.0], [0.3, 0.0 if singular else 0.5]])
    points = [Covariances((k * root @ root.T,), 0.8 + k) for k in (1.0, 2.0)]
    differences = []
    for point in points:
        one, full = alone.at(point), problem.at(point)
        np.testing.assert_allclose(one.gradient(), full.gradient(), rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(
            one.average_information(), full.average_information(), rtol=1e-9, atol=1e-9
        )
        differences.append(one.loglik - full.loglik)
    assert np.ptp(differences) < 1e-9


@pytest.mark.parametrize(
    "formula", ["y ~ 1 + (1 | s) + (1 | d)", "y ~ 1 + service + (1 + service | s) + (1 + service | d)"]
)
def test_start_is_near(formula: str) -> None:
    """Within five standard errors in likelihood's terms (a gain of 25 / 2), where nothing is at a boundary."""
    problem = GaussianProblem.of(build_design(formula, mfx.datasets.load_insteval()), reml=True)
    start = problem.at(rough_estimates(problem))
    best = mfx.learn_covariance(formula, mfx.datasets.load_insteval())
    assert best.loglik - start.loglik < 12.5


@pytest.mark.parametrize("n", [300, 1500])
def test_uncorrelated_coefficients_that_cancel_out(n: int) -> None:
    """With x far from 0 they do in truth, and variances of 0 are a maximum, too: hundreds below the highest."""
    rng = np.random.default_rng(0)
    g, h, x = rng.integers(0, 25, n), rng.integers(0, 6, n), rng.standard_normal(n)
    y = 2 * rng.standard_normal(25)[g] * x + 0.5 * rng.standard_normal(6)[h] + rng.standard_normal(n)
    data = pd.DataFrame({"y": y, "x": x + 30, "g": g, "h": h})
    formula = "y ~ x + (1 + x || g) + (1 | h)"
    large = pd.DataFrame(
        {
            "grp": ["g", "g", "h", "Residual"],
            "var1": ["(Intercept)", "x", "(Intercept)", None],
            "var2": None,
            "vcov": [3600.0, 4.0, 0.25, 1.0],
        }
    )
    again = mfx.learn_covariance(formula, data, start=mfx.VarCorr.from_frame(large))
    got = mfx.learn_covariance(formula, data)
    assert got.loglik == pytest.approx(again.loglik, abs=1e-6)
    assert got.varcorr["g"].loc["x", "x"] > 1

"""What is said of a search that stopped: what the data give reason to think, and not the same for all."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mixedfx.covariance.stopped import collinear_coefficients, why_stopped
from mixedfx.design import Design, build_design


def design(formula: str, **columns: object) -> Design:
    rng = np.random.default_rng(0)
    data = pd.DataFrame({"y": rng.standard_normal(90), "g": np.arange(90) % 6, "x": rng.standard_normal(90)})
    return build_design(formula, data.assign(**columns))


def test_collinear_slopes_that_ran_away() -> None:
    own = design("y ~ x + (1 + x + v | g)", v=lambda d: 2 * d["x"] - 1)
    S = np.diag([1.0, 4e5, 1e5])
    why = why_stopped(own, [S], 1.0, 1e-3)
    assert "'v' is determined by '(Intercept)', 'x' in every row" in why
    assert "'g'" in why
    assert "leave one of them out" in why


def test_coefficients_without_a_covariance_are_told_apart() -> None:
    own = design("y ~ x + (1 + x | g) + (0 + v | g)", v=lambda d: 2 * d["x"])
    assert list(collinear_coefficients(own, own.predictors.terms[0])) == []


def test_a_variance_without_bound() -> None:
    why = why_stopped(design("y ~ 1 + (1 | g)"), [np.array([[1e6]])], 1.0, 1e-3)
    assert "'(Intercept)' of factor 'g' grows without bound" in why


def test_a_column_far_from_its_origin() -> None:
    own = design("y ~ x + (1 + x | g)", x=lambda d: d["x"] + 2000)
    assert "'x', which has a random coefficient for factor 'g', lies far from 0" in why_stopped(
        own, [np.eye(2)], 1.0, 1e-3
    )


@pytest.mark.parametrize("factor", [1e7, 1e-7])
def test_a_column_of_another_size(factor: float) -> None:
    own = design("y ~ x + (1 + x | g)", x=lambda d: d["x"] * factor)
    why = why_stopped(own, [np.diag([1.0, 1 / factor**2])], 1.0, 1e-3)
    assert "'x', which has a random coefficient for factor 'g', is of size" in why
    assert "divide it by" in why


def test_otherwise_how_far_it_is() -> None:
    why = why_stopped(design("y ~ x + (1 + x | g)"), [np.eye(2)], 1.0, 0.02)
    assert "promises 0.02 more" in why
    assert "0.2 standard errors" in why
    assert "Centre" not in why

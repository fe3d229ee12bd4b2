"""What is said of a search that stopped: what the data give reason to think, and not the same for all."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx
from mixedfx.covariance.stopped import why_stopped
from mixedfx.design import build_design


def frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame({"y": rng.standard_normal(90), "g": np.arange(90) % 6, "x": rng.standard_normal(90)})


def why(formula: str, matrices: list[np.ndarray], *, gain: float = 1e-3, **columns: object) -> str:
    design = build_design(formula, frame().assign(**columns))
    return why_stopped(design, matrices, gain, to_explain=1.0, sigma2=1.0)


@pytest.mark.parametrize("family", ["gaussian", "poisson"])
def test_collinear_slopes_are_refused_by_name(family: str) -> None:
    data = frame().assign(v=lambda d: 2 * d["x"] - 1, y=np.arange(90) % 7)
    with pytest.raises(
        mfx.errors.DataError, match=r"'v' is determined by '\(Intercept\)', 'x' .*'g'.*leave one"
    ):
        mfx.learn_covariance("y ~ x + (1 + x + v | g)", data, family=family)
    # Each has a variance of its own where there are no covariances.
    assert mfx.learn_covariance("y ~ x + (1 + x + v || g)", data, family=family).converged


def test_a_variance_without_bound() -> None:
    assert "'(Intercept)' of factor 'g' grows without bound" in why("y ~ 1 + (1 | g)", [np.array([[1e6]])])


def test_variances_that_cancel_out_are_bounded() -> None:
    """An intercept and the slope of a column far from 0: predictors vary by the column's deviations from its mean."""
    slope = np.array([-30.0, 1.0])
    reason = why("y ~ x + (1 + x | g)", [16.0 * np.outer(slope, slope)], x=lambda d: d["x"] + 30)
    assert "bound" not in reason


def test_a_column_far_from_its_origin() -> None:
    reason = why("y ~ x + (1 + x | g)", [np.diag([1e6, 1.0])], x=lambda d: d["x"] + 2000)
    assert "'x', which has a random coefficient for factor 'g', lies far from 0" in reason


@pytest.mark.parametrize("factor", [1e7, 1e-7])
def test_a_column_of_another_size(factor: float) -> None:
    reason = why("y ~ x + (1 + x | g)", [np.diag([1.0, 1 / factor**2])], x=lambda d: d["x"] * factor)
    assert "'x', which has a random coefficient for factor 'g', is of size" in reason
    assert "divide it by" in reason


def test_a_residual_variance_that_vanishes() -> None:
    design = build_design("y ~ x + (1 + x | g)", frame())
    reason = why_stopped(design, [np.eye(2)], 10.0, to_explain=1.0, sigma2=1e-9)
    assert "residual variance is on its way to 0 (1e-09 of 1)" in reason


def test_otherwise_how_far_it_is() -> None:
    reason = why("y ~ x + (1 + x | g)", [np.eye(2)], gain=0.02)
    assert "promises 0.02 more" in reason
    assert "0.2 standard errors" in reason
    assert "Centre" not in reason

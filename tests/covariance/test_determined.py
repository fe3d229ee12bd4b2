"""Responses that leave nothing to learn from are refused by name, and no warning comes before."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx
from mixedfx.errors import DataError


@pytest.fixture
def data() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    n = 200
    frame = pd.DataFrame({"g": rng.integers(0, 10, n), "x": rng.standard_normal(n)})
    levels = rng.standard_normal(10)[frame["g"]]
    frame["fixed"] = 1 + 2 * frame["x"]
    frame["mixed"] = frame["x"] + levels
    frame["noisy"] = frame["mixed"] + 1e-3 * rng.standard_normal(n)
    return frame


@pytest.mark.parametrize("method", ["reml", "ml"])
def test_determined_responses(data: pd.DataFrame, method: str) -> None:
    with pytest.raises(DataError, match="fixed effects reproduce the response 'fixed' exactly"):
        mfx.learn_covariance("fixed ~ 1 + x + (1 | g)", data, method=method)
    with pytest.raises(DataError, match="fixed and random effects reproduce the response 'mixed' exactly"):
        mfx.learn_covariance("mixed ~ 1 + x + (1 | g)", data, method=method)


def test_little_noise_is_no_reason(data: pd.DataFrame) -> None:
    fit = mfx.learn_covariance("noisy ~ 1 + x + (1 | g)", data)
    assert fit.converged
    # 200 rows tell sigma to 1 / sqrt(2 * 189) = 5 %; three of that.
    assert fit.sigma == pytest.approx(1e-3, rel=0.16)


def test_as_many_fixed_effects_as_rows() -> None:
    tiny = pd.DataFrame({"y": [1.0, 2, 4], "x": [0.0, 1, 3], "z": [1.0, 0, 0], "g": [0, 0, 1]})
    with pytest.raises(DataError, match="3 fixed effects for 3 rows"):
        mfx.learn_covariance("y ~ 1 + x + z + (1 | g)", tiny)


@pytest.mark.parametrize("factor", [1e150, 1e-150])
def test_numbers_whose_squares_cannot_be_held(data: pd.DataFrame, factor: float) -> None:
    extreme = data.assign(noisy=data["noisy"] * factor)
    with pytest.raises(DataError, match=r"'noisy' reaches .* divide it by its standard deviation"):
        mfx.learn_covariance("noisy ~ 1 + x + (1 | g)", extreme)

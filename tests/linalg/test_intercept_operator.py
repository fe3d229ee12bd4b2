"""The kernels for intercept-only models give what the general kernels give."""

from __future__ import annotations

import numpy as np
import pytest
from problems import frame

from mixedfx.design import build_design
from mixedfx.linalg.curvature import Curvature
from mixedfx.linalg.intercept_operator import InterceptOperator, row_operator
from mixedfx.linalg.layout import arrange
from mixedfx.linalg.operator import NumbaOperator

FORMULAS = [
    "y ~ 1 + (1 | g)",
    "y ~ 1 + (1 | g) + (1 | h)",
    "y ~ 1 + x + v + (1 | g) + (1 | h) + (1 | k)",
    "y ~ 0 + x + (1 | g) + (1 | h)",
    "y ~ 0 + (1 | k/m)",
]


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("columns", [1, 3])
def test_same_products(formula: str, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "mixedfx.linalg.threads.ROWS_A_THREAD", 50
    )  # so that sums over threads are tested too
    layout = arrange(build_design(formula, frame(np.random.default_rng(3), 400)).predictors)
    fast, general = row_operator(layout), NumbaOperator(layout)
    assert isinstance(fast, InterceptOperator)
    rng = np.random.default_rng(0)
    omega = rng.uniform(0.1, 2.0, layout.n_rows)
    curvature = Curvature.of(omega)
    M = rng.uniform(0.1, 1.0, (layout.n_levels, 1, 1))
    v = rng.standard_normal((layout.n_rest, columns))
    blocks = general.diagonal_blocks(omega)
    one, two = (o.reduced_product(curvature, blocks.e, M, v) for o in (fast, general))
    assert one.shape == two.shape
    np.testing.assert_allclose(one, two, atol=1e-11)
    np.testing.assert_allclose(fast.diagonal_blocks(omega).e, blocks.e, atol=1e-11)
    pairs = [
        (fast.diagonal_blocks(omega).rest, blocks.rest),
        (
            fast.reduced_blocks(curvature, M, blocks.rest),
            general.reduced_blocks(curvature, M, blocks.rest),
        ),
    ]
    for one, two in pairs:
        for a, b in zip(one, two, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-11)


def test_slopes_take_the_general_operator() -> None:
    layout = arrange(
        build_design("y ~ 1 + x + (1 + x | g) + (1 | h)", frame(np.random.default_rng(3))).predictors
    )
    assert isinstance(row_operator(layout), NumbaOperator)
    layout = arrange(
        build_design("y ~ 1 + x + (0 + x | g) + (1 | h)", frame(np.random.default_rng(3))).predictors
    )
    assert isinstance(row_operator(layout), NumbaOperator)

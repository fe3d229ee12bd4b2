"""JAX's products are Numba's: every method of `RowOperator`, on every kind of model, with and without thresholds."""

from __future__ import annotations

import gc

import jax
import numpy as np
import pandas as pd
import pytest
from problems import FORMULAS, frame, model

from mixedfx.design import build_design
from mixedfx.linalg.curvature import Curvature
from mixedfx.linalg.jax_operator import JaxOperator
from mixedfx.linalg.layout import RowLayout, arrange
from mixedfx.linalg.operator import NumbaOperator, Parts
from mixedfx.linalg.random_rows import NO_BLOCKS

COLUMNS = 3
# Both sum the same numbers in another order.
TOLERANCE = 1e-10


def assert_same(one: object, two: object) -> None:
    leaves, structure = jax.tree.flatten(one)
    others, other_structure = jax.tree.flatten(two)
    assert structure == other_structure
    for a, b in zip(leaves, others, strict=True):
        assert isinstance(a, np.ndarray)
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        assert a.flags.writeable
        np.testing.assert_allclose(a, b, atol=TOLERANCE, rtol=TOLERANCE)


def curvature_of(layout: RowLayout, rng: np.random.Generator) -> Curvature:
    omega, share = rng.uniform(0.1, 2.0, layout.n_rows), rng.uniform(0, 1, layout.n_rows)
    if not layout.n_thresholds:
        return Curvature.of(omega)
    m = layout.n_thresholds
    category = rng.integers(0, m + 1, layout.n_rows).astype(np.int8)
    return Curvature(omega, omega * share, category, np.eye(m))


def check(layout: RowLayout) -> None:
    rng = np.random.default_rng(1)
    one, two = JaxOperator(layout), NumbaOperator(layout)
    curvature = curvature_of(layout, rng)
    J, q = layout.n_levels, layout.q
    root = rng.standard_normal((J, q, q))
    M = root @ np.swapaxes(root, 1, 2)
    e, v = rng.standard_normal((J, q, COLUMNS)), rng.standard_normal((layout.n_rest, COLUMNS))
    rows = rng.standard_normal((layout.n_rows, COLUMNS))
    assert_same(one.matvec(Parts(e, v)), two.matvec(Parts(e, v)))
    assert_same(one.rmatvec(rows), two.rmatvec(rows))
    blocks = two.diagonal_blocks(curvature.omega)
    assert_same(one.diagonal_blocks(curvature.omega), blocks)
    assert_same(one.cross(curvature, blocks.e, e), two.cross(curvature, blocks.e, e))
    assert_same(one.level_sums(curvature, blocks.e, v), two.level_sums(curvature, blocks.e, v))
    product = two.reduced_product(curvature, blocks.e, M, v)
    assert_same(one.reduced_product(curvature, blocks.e, M, v), product)
    assert_same(one.reduced_blocks(curvature, M, blocks.rest), two.reduced_blocks(curvature, M, blocks.rest))
    assert_same(one.noise(curvature, 2**61 + 7, COLUMNS), two.noise(curvature, 2**61 + 7, COLUMNS))
    assert_same(one.dense_reduced(curvature.omega, M), two.dense_reduced(curvature.omega, M))
    H = rng.standard_normal((layout.alpha_start, layout.alpha_start))
    assert_same(one.level_quadratic(curvature.omega, H + H.T), two.level_quadratic(curvature.omega, H + H.T))


@pytest.mark.parametrize("kind", sorted(FORMULAS))
def test_same_products(kind: str) -> None:
    check(arrange(model(kind, 4).design.predictors))


def test_thresholds() -> None:
    check(arrange(model("slopes on both", 4).design.predictors).with_thresholds(3))


def test_features_stored_by_level() -> None:
    rng = np.random.default_rng(5)
    data = frame(rng)
    data = data.assign(age=rng.standard_normal(11)[data["g"]], price=rng.standard_normal(7)[data["h"]])
    layout = arrange(build_design("y ~ age + price + x + (1 + price | g) + (1 + age | h)", data).predictors)
    assert [table.shape[1] for table in layout.features.tables] == [1, 1]
    check(layout)


def test_one_column_and_single_precision_weights() -> None:
    layout = arrange(model("crossed", 4).design.predictors)
    rng = np.random.default_rng(2)
    curvature = Curvature.of(rng.uniform(0.1, 2.0, layout.n_rows).astype(np.float32))
    M = np.broadcast_to(np.eye(layout.q), (layout.n_levels, layout.q, layout.q)).copy()
    v = rng.standard_normal((layout.n_rest, 1))
    operators = JaxOperator(layout), NumbaOperator(layout)
    blocks = operators[1].diagonal_blocks(curvature.omega).e
    one, two = (operator.reduced_product(curvature, blocks, M, v) for operator in operators)
    assert_same(one, two)


def test_no_columns() -> None:
    """Standard errors of a model without fixed effects solve for as many right-hand sides."""
    layout = arrange(model("no fixed effects", 4).design.predictors)
    curvature = Curvature.of(np.ones(layout.n_rows))
    e, v = np.zeros((layout.n_levels, layout.q, 0)), np.zeros((layout.n_rest, 0))
    M = np.ones((layout.n_levels, 1, 1))
    one, two = JaxOperator(layout), NumbaOperator(layout)
    assert_same(one.cross(curvature, M, e), two.cross(curvature, M, e))
    assert_same(one.level_sums(curvature, M, v), two.level_sums(curvature, M, v))
    assert_same(one.reduced_product(curvature, M, M, v), two.reduced_product(curvature, M, M, v))


def test_the_callers_precision_is_left_alone() -> None:
    layout = arrange(model("one factor", 4).design.predictors)
    JaxOperator(layout).rmatvec(np.ones((layout.n_rows, COLUMNS)))
    assert not jax.config.jax_enable_x64


def test_weights_cross_to_the_device_once_and_are_dropped_with_their_original() -> None:
    layout = arrange(model("one factor", 4).design.predictors)
    operator = JaxOperator(layout)
    curvature = Curvature.of(np.ones(layout.n_rows))
    v = np.ones((layout.n_rest, COLUMNS))
    first = operator.level_sums(curvature, NO_BLOCKS, v)
    operator.level_sums(curvature, NO_BLOCKS, v)
    assert len(operator.copies) == 1
    curvature = Curvature.of(2 * curvature.omega)
    gc.collect()
    assert len(operator.copies) == 0
    np.testing.assert_allclose(operator.level_sums(curvature, NO_BLOCKS, v), 2 * first)


def test_product_is_compiled_once() -> None:
    """A solver calls it many times, with new weights at every step."""
    from mixedfx.linalg import jax_kernels

    data = pd.DataFrame(frame(np.random.default_rng(11), 90))
    layout = arrange(build_design("y ~ 1 + (1 | g) + (1 | h)", data).predictors)
    operator = JaxOperator(layout)
    M = np.ones((layout.n_levels, 1, 1))
    before = jax_kernels.reduced_product._cache_size()
    for omega in (1.0, 2.0):
        weights = Curvature.of(np.full(layout.n_rows, omega))
        operator.reduced_product(weights, M, M, np.ones((layout.n_rest, 1)))
    assert jax_kernels.reduced_product._cache_size() == before + 1

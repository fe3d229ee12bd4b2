"""Kernels that take a level at a time, for columns of every origin, against dense matrices."""

import numpy as np
import pandas as pd
import pytest

from mixedfx.design import build_design
from mixedfx.linalg.curvature import Curvature
from mixedfx.linalg.layout import RowLayout, arrange
from mixedfx.linalg.operator import FEW_COLUMNS, NumbaOperator, Parts

ROWS, USERS, ITEMS, SHOPS = 600, 40, 25, 7

FORMULAS = {
    "tables": "y ~ 1 + p1 + p2 + p3 + p4 + age + (1 + p1 + p2 + p3 + p4 | user) + (1 + age | item)",
    "more than four neighbours": "y ~ p5 + (0 + p1 + p2 + p3 + p4 + p5 | user) + (1 + age + age2 + x | item)",
    "out of order": "y ~ 0 + p4 + x + p1 + age + (1 + p2 + p1 + x + p4 + age | user) + (0 + p3 + age | item)",
    "no intercept to shift": "y ~ 1 + age + p1 + x + (0 + p1 + x | user) + (1 | item)",
    "three factors": "y ~ size + p1 + age + (1 + p1 + size | user) + (1 + age | item) + (0 + p1 + x | shop)",
    "one factor": "y ~ x + age + (1 + x | user)",
    "rows alone": "y ~ x + z + (1 + x + z | user) + (x + z | item)",
}


def data(*, repeated: bool) -> pd.DataFrame:
    rng = np.random.default_rng(8)
    pairs = rng.permutation(USERS * ITEMS)[:ROWS] if not repeated else rng.integers(0, 200, ROWS)
    user, item, shop = pairs // ITEMS, pairs % ITEMS, rng.integers(0, SHOPS, ROWS)
    columns = {f"p{i}": rng.standard_normal(ITEMS)[item] for i in range(1, 6)}
    columns |= {name: rng.standard_normal(USERS)[user] for name in ("age", "age2")}
    columns |= {name: rng.standard_normal(ROWS) for name in ("y", "x", "z")}
    return pd.DataFrame(
        {"user": user, "item": item, "shop": shop, "size": rng.standard_normal(SHOPS)[shop], **columns}
    )


def dense(layout: RowLayout) -> tuple[np.ndarray, np.ndarray]:
    """(Z_e, D_o), which the operator's `matvec` gives, column by column."""
    operator = NumbaOperator(layout)
    n_e = layout.n_levels * layout.q
    e = np.eye(n_e).reshape(layout.n_levels, layout.q, n_e)
    Z = operator.matvec(Parts(e, np.zeros((layout.n_rest, n_e))))
    none = np.zeros((layout.n_levels, layout.q, layout.n_rest))
    return Z, operator.matvec(Parts(none, np.eye(layout.n_rest)))


@pytest.mark.parametrize("repeated", [False, True])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("kind", sorted(FORMULAS))
def test_products_and_blocks(
    kind: str, threads: int, repeated: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mixedfx.linalg.threads.ROWS_A_THREAD", ROWS // threads + 1)
    layout = arrange(build_design(FORMULAS[kind], data(repeated=repeated)).predictors, "user")
    operator, (Z, D) = NumbaOperator(layout), dense(layout)
    rng = np.random.default_rng(1)
    omega, v = rng.uniform(0.1, 2.0, ROWS), rng.standard_normal((layout.n_rest, 1))
    J, q = layout.n_levels, layout.q
    root = rng.standard_normal((J, q, q))
    M = root @ np.swapaxes(root, 1, 2)
    whole_M = np.zeros((J, q, J, q))
    whole_M[np.arange(J), :, np.arange(J)] = M
    whole_M = whole_M.reshape(J * q, J * q)
    T = np.diag(omega) - (omega[:, None] * Z) @ whole_M @ (omega[:, None] * Z).T
    S = D.T @ T @ D
    blocks = operator.diagonal_blocks(omega)
    whole = (Z.T @ (omega[:, None] * Z)).reshape(J, q, J, q)
    np.testing.assert_allclose(blocks.e, whole[np.arange(J), :, np.arange(J)], atol=1e-11)
    product = operator.reduced_product(Curvature.of(omega), blocks.e, M, v)
    np.testing.assert_allclose(product, S @ v, rtol=1e-11, atol=1e-11 * np.abs(S @ v).max())
    e = rng.standard_normal((J, q, 1))
    crossed = D.T @ (omega * (Z @ e.reshape(-1)))
    found = operator.cross(Curvature.of(omega), blocks.e, e)[:, 0]
    np.testing.assert_allclose(found, crossed, atol=1e-11 * np.abs(crossed).max())
    sums = operator.level_sums(Curvature.of(omega), blocks.e, v)
    np.testing.assert_allclose(sums.ravel(), Z.T @ (omega * (D @ v)[:, 0]), atol=1e-10)
    reduced = operator.reduced_blocks(Curvature.of(omega), M, blocks.rest)
    for block, own, less in zip(layout.rest, blocks.rest, reduced, strict=True):
        levels = np.arange(block.n_levels)
        shape = (block.n_levels, block.q, block.n_levels, block.q)
        for matrix, found in ((D.T @ (omega[:, None] * D), own), (S, less)):
            wanted = matrix[block.slice, block.slice].reshape(shape)[levels, :, levels]
            np.testing.assert_allclose(found, wanted, atol=1e-11 * np.abs(matrix).max())


@pytest.mark.parametrize("kind", sorted(FORMULAS))
def test_thresholds_are_the_same_one_by_one(kind: str) -> None:
    """Kernels for several right-hand sides are independent of those for one."""
    layout = arrange(build_design(FORMULAS[kind], data(repeated=True)).predictors, "user").with_thresholds(3)
    operator, rng = NumbaOperator(layout), np.random.default_rng(2)
    omega, share = rng.uniform(0.1, 2.0, ROWS), rng.uniform(size=ROWS)
    category = rng.integers(0, 4, ROWS).astype(np.int8)
    share[category == 0], share[category == 3] = 1.0, 0.0
    curvature = Curvature(omega, omega * share, category, np.eye(3))
    blocks = operator.diagonal_blocks(omega).e
    M = np.linalg.inv(blocks + np.eye(layout.q))
    e = rng.standard_normal((layout.n_levels, layout.q, FEW_COLUMNS + 1))
    v = rng.standard_normal((layout.n_rest, FEW_COLUMNS + 1))
    wide = operator.cross(curvature, blocks, e)
    one = operator.cross(curvature, blocks, e[:, :, :1])
    np.testing.assert_allclose(one[:, 0], wide[:, 0], atol=1e-11 * np.abs(wide).max())
    wide = operator.reduced_product(curvature, blocks, M, v)
    one = operator.reduced_product(curvature, blocks, M, v[:, :1])
    np.testing.assert_allclose(one[:, 0], wide[:, 0], atol=1e-11 * np.abs(wide).max())
    wide = operator.level_sums(curvature, blocks, v)
    one = operator.level_sums(curvature, blocks, v[:, :1])
    np.testing.assert_allclose(one[:, :, 0], wide[:, :, 0], atol=1e-11 * np.abs(wide).max())

"""Products with Z, and C_bb: against dense matrices."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import DenseModel
from problems import FORMULAS, model

from mixedfx.linalg.elimination import eliminate
from mixedfx.linalg.intercept_operator import row_operator
from mixedfx.linalg.lambdas import Lambdas
from mixedfx.linalg.layout import arrange
from mixedfx.linalg.operator import Parts
from mixedfx.linalg.random_rows import RandomHessian, RandomRows
from mixedfx.varcorr import lower_factor


@pytest.mark.parametrize("kind", sorted(FORMULAS))
@pytest.mark.parametrize("singular", [False, True])
def test_against_dense(kind: str, singular: bool) -> None:
    m = model(kind, 5, singular=singular)
    predictors = m.design.predictors
    layout = arrange(predictors)
    rng = np.random.default_rng(5)
    omega = rng.uniform(0.1, 2.0, layout.n_rows)
    lambdas = Lambdas.of(layout, {name: lower_factor(S) for name, S in m.sigmas.items()})
    rows = RandomRows.of(predictors, layout)
    hessian = RandomHessian.at(rows, lambdas, omega[layout.order])
    dense = DenseModel.of(predictors, m.sigmas)
    C = dense.posterior_covariance(omega, conditional=True)
    Z = dense.Z
    ZL = Z @ dense.Lambda
    expected = np.linalg.slogdet((ZL.T * omega) @ ZL + np.eye(ZL.shape[1]))[1]
    assert hessian.logdet == pytest.approx(expected, abs=1e-9)
    h, quadratic = rows.leverages(hessian.omega, hessian.M, hessian.rest_covariance())
    leverages = np.einsum("ri,ij,rj->r", Z, C, Z)
    np.testing.assert_allclose(layout.in_caller_order(h), leverages, rtol=1e-8, atol=1e-10)
    H = np.zeros((layout.n_rest, layout.n_rest))
    H[: rows.n, : rows.n] = hessian.rest_covariance()
    operator = row_operator(layout)
    np.testing.assert_allclose(quadratic, operator.level_quadratic(hessian.omega, H), rtol=1e-10, atol=1e-12)
    # Z C_bb^-1 Z' s, through all the products.
    s = rng.standard_normal(layout.n_rows)
    x = hessian.solve(lambdas.transpose_times(rows.transpose_times(s[layout.order])))
    image = rows.times(lambdas.times(x), np.zeros(layout.n_rows))
    np.testing.assert_allclose(layout.in_caller_order(image), Z @ C @ Z.T @ s, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("kind", sorted(FORMULAS))
def test_schur_complement_is_the_operators(kind: str) -> None:
    m = model(kind, 6)
    layout = arrange(m.design.predictors)
    lambdas = Lambdas.of(layout, {name: lower_factor(S) for name, S in m.sigmas.items()})
    operator, omega = row_operator(layout), np.random.default_rng(6).uniform(0.1, 2.0, layout.n_rows)
    elimination = eliminate(operator, lambdas, omega)
    rows = RandomRows.of(m.design.predictors, layout)
    np.testing.assert_allclose(rows.level_blocks(omega), elimination.blocks.e, rtol=1e-12)
    expected = np.tril(operator.dense_reduced(omega, elimination.M)[: rows.n, : rows.n])
    np.testing.assert_allclose(rows.schur(omega, elimination.M), expected, rtol=1e-10, atol=1e-12)
    e = np.random.default_rng(7).standard_normal((layout.n_levels, layout.q, 1))
    crossed = rows.cross(omega, e)
    Z_e = rows.times(Parts(e, np.zeros((rows.n, 1))), np.zeros(layout.n_rows))
    np.testing.assert_allclose(crossed, rows.transpose_times(omega * Z_e).rest, rtol=1e-10, atol=1e-12)

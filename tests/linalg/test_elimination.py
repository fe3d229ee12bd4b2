"""The eliminated, deflated system against dense algebra: solutions, log-determinants, inverses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import FORMULAS, Model, dense_order, in_lower_coordinates, model

from mixedfx.linalg.deflation import coarse_directions
from mixedfx.linalg.elimination import Elimination, eliminate
from mixedfx.linalg.lambdas import Lambdas
from mixedfx.linalg.layout import arrange
from mixedfx.linalg.operator import NumbaOperator, Parts
from mixedfx.linalg.reduced import reduced_system
from mixedfx.varcorr import lower_factor

KINDS = sorted(FORMULAS)


def eliminated(m: Model, omega: np.ndarray, eliminate_factor: str | None = None) -> Elimination:
    layout = arrange(m.design.predictors, eliminate_factor)
    lambdas = Lambdas.of(layout, {name: lower_factor(S) for name, S in m.sigmas.items()})
    return eliminate(NumbaOperator(layout), lambdas, omega[layout.order])


@settings(deadline=None, max_examples=40)
@given(kind=st.sampled_from(KINDS), seed=st.integers(0, 10_000), singular=st.booleans())
def test_solve_agrees_with_dense(kind: str, seed: int, singular: bool) -> None:
    m = model(kind, seed, singular=singular)
    rng = np.random.default_rng(seed)
    omega = rng.uniform(0.1, 2.0, m.design.n_rows)
    elimination = eliminated(m, omega)
    layout = elimination.operator.layout
    system = reduced_system(elimination, coarse_directions(layout))
    rhs = Parts(rng.standard_normal((layout.n_levels, layout.q, 3)), rng.standard_normal((layout.n_rest, 3)))
    solution = system.solve(elimination.reduce(rhs), tol=1e-12)
    x = elimination.recover(rhs, solution.x)
    rows = elimination.operator.matvec(elimination.lambdas.times(x))

    dense = in_lower_coordinates(m)
    order = dense_order(layout, dense)
    H = dense.henderson(omega)[np.ix_(order, order)]
    expected = np.linalg.solve(H, np.vstack([rhs.e.reshape(-1, 3), rhs.rest]))
    got = np.vstack([x.e.reshape(-1, 3), x.rest])
    # CG stops at 1e-12 in energy norm; the worst of these systems has a condition number of about 1e4.
    assert np.abs(got - expected).max() < 1e-8 * np.abs(expected).max()
    full = np.hstack([dense.Z @ dense.Lambda, dense.X])[:, order] @ expected
    np.testing.assert_allclose(layout.in_caller_order(rows), full, atol=1e-8 * np.abs(full).max())
    assert solution.converged


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("singular", [False, True])
def test_dense_reduced_matrix(kind: str, singular: bool) -> None:
    m = model(kind, 3, singular=singular)
    omega = np.random.default_rng(1).uniform(0.1, 2.0, m.design.n_rows)
    elimination = eliminated(m, omega)
    layout = elimination.operator.layout
    reduced = reduced_system(elimination, coarse_directions(layout)).dense()
    dense = in_lower_coordinates(m)
    order = dense_order(layout, dense)
    H = dense.henderson(omega)[np.ix_(order, order)]
    n_e = layout.n_levels * layout.q
    logdet = elimination.logdet_e + reduced.logdet_random + reduced.logdet_fixed
    assert logdet == pytest.approx(np.linalg.slogdet(H)[1], abs=1e-9)
    np.testing.assert_allclose(reduced.inverse(with_fixed=True), np.linalg.inv(H)[n_e:, n_e:], atol=1e-10)
    random = len(H) - dense.p
    conditional = np.linalg.inv(H[:random, :random])[n_e:, n_e:]
    kept = reduced.inverse(with_fixed=False)
    np.testing.assert_allclose(kept[: random - n_e, : random - n_e], conditional, atol=1e-10)
    assert not kept[random - n_e :].any()


@pytest.mark.parametrize("kind", KINDS)
def test_products_with_the_reduced_matrix(kind: str) -> None:
    """S v, its diagonal blocks and S E are those of the dense Schur complement."""
    m = model(kind, 5)
    omega = np.random.default_rng(2).uniform(0.1, 2.0, m.design.n_rows)
    elimination = eliminated(m, omega)
    layout = elimination.operator.layout
    dense = in_lower_coordinates(m)
    order = dense_order(layout, dense)
    H = dense.henderson(omega)[np.ix_(order, order)]
    n_e = layout.n_levels * layout.q
    S = H[n_e:, n_e:] - H[n_e:, :n_e] @ np.linalg.solve(H[:n_e, :n_e], H[:n_e, n_e:])
    np.testing.assert_allclose(elimination.product(np.eye(layout.n_rest)), S, atol=1e-10)
    for block, diagonal in zip(layout.rest, elimination.diagonal(), strict=True):
        for j in range(block.n_levels):
            at = slice(block.start + j * block.q, block.start + (j + 1) * block.q)
            np.testing.assert_allclose(diagonal[j], S[at, at], atol=1e-10)


def test_any_factor_can_be_eliminated() -> None:
    m = model("three crossed", 8)
    omega = np.ones(m.design.n_rows)
    logdets = []
    for factor in ("g", "h", "k"):
        elimination = eliminated(m, omega, factor)
        reduced = reduced_system(elimination, coarse_directions(elimination.operator.layout)).dense()
        logdets.append(elimination.logdet_e + reduced.logdet_random + reduced.logdet_fixed)
    assert np.ptp(logdets) < 1e-9


@pytest.mark.parametrize("kind", ["crossed", "nested and crossed"])
def test_adjoint(kind: str) -> None:
    """<D v, r> = <v, D' r>."""
    layout = arrange(model(kind, 2).design.predictors)
    operator = NumbaOperator(layout)
    rng = np.random.default_rng(0)
    v = Parts(rng.standard_normal((layout.n_levels, layout.q, 2)), rng.standard_normal((layout.n_rest, 2)))
    r = rng.standard_normal((layout.n_rows, 2))
    back = operator.rmatvec(r)
    left = np.einsum("rm,rm->m", operator.matvec(v), r)
    right = np.einsum("jim,jim->m", v.e, back.e) + np.einsum("im,im->m", v.rest, back.rest)
    np.testing.assert_allclose(left, right, rtol=1e-12)

"""Cross products formed once, and the exact system made of them, against dense algebra."""

from __future__ import annotations

import numpy as np
import pytest
from problems import FORMULAS, Model, dense_order, in_lower_coordinates, model

from mixedfx.covariance.conditional import LevelInverses
from mixedfx.covariance.traces import exact_traces
from mixedfx.linalg import components, exact_system
from mixedfx.linalg.cross_products import CrossProducts
from mixedfx.linalg.exact_system import ExactSystem
from mixedfx.linalg.lambdas import Lambdas
from mixedfx.linalg.layout import arrange
from mixedfx.linalg.operator import NumbaOperator, Parts
from mixedfx.varcorr import lower_factor

KINDS = sorted(FORMULAS)
SCALE = 1.7


def exact(m: Model, weights: np.ndarray) -> ExactSystem:
    layout = arrange(m.design.predictors)
    lambdas = Lambdas.of(layout, {name: lower_factor(S) for name, S in m.sigmas.items()})
    cross = CrossProducts.of(NumbaOperator(layout), weights[layout.order])
    return ExactSystem.at(cross, lambdas, SCALE)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("singular", [False, True])
def test_against_dense(kind: str, singular: bool) -> None:
    m = model(kind, 4, singular=singular)
    rng = np.random.default_rng(1)
    weights = rng.uniform(0.1, 2.0, m.design.n_rows)
    system = exact(m, weights)
    layout = system.cross.layout
    dense = in_lower_coordinates(m)
    order = dense_order(layout, dense)
    H = dense.henderson(SCALE * weights)[np.ix_(order, order)]
    n_e = layout.n_levels * layout.q

    logdet = system.logdet_e + system.rest.logdet_random + system.rest.logdet_fixed
    assert logdet == pytest.approx(np.linalg.slogdet(H)[1], abs=1e-9)
    rhs = Parts(rng.standard_normal((layout.n_levels, layout.q, 3)), rng.standard_normal((layout.n_rest, 3)))
    flat = np.vstack([rhs.e.reshape(-1, 3), rhs.rest])
    expected = np.linalg.solve(H, flat)
    x = system.solve(rhs)
    np.testing.assert_allclose(np.vstack([x.e.reshape(-1, 3), x.rest]), expected, atol=1e-9)
    np.testing.assert_allclose(system.inner_products(rhs), flat.T @ expected, rtol=1e-9)
    flat = system.random_inverse()
    expected = np.linalg.inv(H[: len(H) - layout.p, : len(H) - layout.p])[n_e:, n_e:]
    for group in system.cross.components.groups:
        for columns, got in zip(group.columns, group.of(flat), strict=True):
            np.testing.assert_allclose(np.tril(got), np.tril(expected[np.ix_(columns, columns)]), atol=1e-10)
    root, n = system.rest.fixed_root(), layout.beta_start
    with_fixed = np.linalg.inv(H)[n_e:, n_e:]
    with_fixed[:n, :n] -= expected
    np.testing.assert_allclose(root @ root.T, with_fixed, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_systems_take_turns_in_one_memory(kind: str) -> None:
    m = model(kind, 5)
    weights = np.random.default_rng(1).uniform(0.1, 2.0, m.design.n_rows)
    first = exact(m, weights)
    cross, layout = first.cross, first.cross.layout
    rng = np.random.default_rng(2)
    rhs = Parts(rng.standard_normal((layout.n_levels, layout.q, 1)), rng.standard_normal((layout.n_rest, 1)))
    x = first.solve(rhs)
    second = ExactSystem.at(cross, first.lambdas, 2.0 * SCALE)
    other = second.solve(rhs)
    assert not np.allclose(other.rest, x.rest)
    inverse = first.random_inverse().copy()
    for system, expected in ((first, x), (second, other), (first, x)):
        again = system.solve(rhs)
        np.testing.assert_array_equal(again.e, expected.e)
        np.testing.assert_array_equal(again.rest, expected.rest)
    second.random_inverse()
    n = cross.components.n
    diagonal = cross.components.row[:n] + cross.components.place
    np.testing.assert_array_equal(first.random_inverse()[diagonal], inverse[diagonal])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("singular", [False, True])
@pytest.mark.parametrize("with_fixed", [False, True])
@pytest.mark.parametrize("large", [False, True])
def test_traces(
    kind: str, singular: bool, with_fixed: bool, large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """sum_j Z_kj' T Z_kj with T from the dense V."""
    if large:  # parts one by one, a few columns at a time
        monkeypatch.setattr(components, "LARGE", 2)
        monkeypatch.setattr(exact_system, "COLUMNS", 5)
    m = model(kind, 6, singular=singular)
    weights = np.random.default_rng(2).uniform(0.1, 2.0, m.design.n_rows)
    dense = in_lower_coordinates(m)
    ZL = dense.Z @ dense.Lambda
    V_inverse = np.linalg.inv(ZL @ ZL.T + np.diag(1 / (SCALE * weights)))
    VX = V_inverse @ dense.X
    taken = VX @ np.linalg.solve(dense.X.T @ VX, VX.T) if with_fixed and dense.p else 0.0
    whole = dense.Z.T @ (V_inverse - taken) @ dense.Z
    traces = exact_traces(LevelInverses.of(exact(m, weights)), with_fixed=with_fixed)
    for term in m.design.predictors.terms:
        own = whole[dense.blocks[term.name], dense.blocks[term.name]]
        levels = own.reshape(term.grouping.n_levels, term.q, term.grouping.n_levels, term.q)
        expected = np.einsum("jajb->ab", levels)
        np.testing.assert_allclose(traces[term.name], expected, rtol=1e-7, atol=1e-9 * np.abs(expected).max())


@pytest.mark.parametrize("kind", KINDS)
def test_squared_norms(kind: str) -> None:
    m = model(kind, 2)
    weights = np.random.default_rng(3).uniform(0.1, 2.0, m.design.n_rows)
    cross = exact(m, weights).cross
    dense = in_lower_coordinates(m)
    columns = [dense.Z[:, dense.blocks[b.name]][:, i :: b.q] for b in cross.layout.blocks for i in range(b.q)]
    expected = [[np.sum((a.T @ (weights[:, None] * b)) ** 2) for b in columns] for a in columns]
    np.testing.assert_allclose(cross.squared_norms(), expected, rtol=1e-10, atol=1e-12)

"""Deflation keeps CG short where shifts of whole factors are nearly free."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from problems import FORMULAS, model

from mixedfx.design import build_design
from mixedfx.linalg.deflation import (
    coarse_directions,
    coarse_space,
    symmetric_pseudo_inverse,
)
from mixedfx.linalg.elimination import eliminate
from mixedfx.linalg.lambdas import Lambdas
from mixedfx.linalg.layout import arrange
from mixedfx.linalg.nesting import nestings
from mixedfx.linalg.operator import NumbaOperator
from mixedfx.linalg.reduced import ReducedSystem, reduced_system
from mixedfx.varcorr import lower_factor


def system(formula: str, data: pd.DataFrame, sd: float, *, deflate: bool = True) -> ReducedSystem:
    layout = arrange(build_design(formula, data).predictors)
    terms = layout.blocks
    lambdas = Lambdas.of(layout, {t.name: sd * np.eye(t.q) for t in terms})
    directions = coarse_directions(layout)
    if not deflate:
        directions = replace(directions, nestings=())
    return reduced_system(eliminate(NumbaOperator(layout), lambdas, np.ones(layout.n_rows)), directions)


def crossed(n: int = 4000) -> pd.DataFrame:
    rng = np.random.default_rng(4)
    outer = rng.integers(0, 6, n)
    return pd.DataFrame(
        {
            "y": rng.standard_normal(n),
            "user": rng.integers(0, 300, n),
            "item": rng.integers(0, 100, n),
            "shop": outer,
            "clerk": outer * 10 + rng.integers(0, 10, n),
        }
    )


def test_deflation_keeps_cg_short_where_shifts_are_free() -> None:
    """With sd 30 a shift of all users costs next to nothing: S's condition number is above 1e5."""
    s = system("y ~ 1 + (1 | user) + (1 | item)", crossed(), 30.0)
    b = np.random.default_rng(0).standard_normal((s.reduction.operator.layout.n_rest, 1))
    solution = s.solve(b, tol=1e-10)
    assert np.linalg.cond(s.reduction.product(np.eye(len(b)))) > 1e5
    assert solution.iterations < 30
    assert np.abs(s.reduction.product(solution.x) - b).max() < 1e-7 * np.abs(b).max()


def nested(n: int = 6000) -> pd.DataFrame:
    """Clerks within shops, both beside the larger factor user."""
    rng = np.random.default_rng(4)
    shop = rng.integers(0, 60, n)
    data = {"y": rng.standard_normal(n), "x": rng.standard_normal(n), "user": rng.integers(0, 900, n)}
    return pd.DataFrame(data | {"shop": shop, "clerk": shop * 10 + rng.integers(0, 10, n)})


@pytest.mark.parametrize("formula", ["(1 | clerk) + (1 | shop)", "(1 + x | clerk) + (1 + x | shop)"])
def test_null_directions_of_nested_factors(formula: str) -> None:
    """S N = N, one direction a shop and shared coefficient; with them CG is as short as with crossed factors."""
    s = system(f"y ~ 1 + x + (1 + x | user) + {formula}", nested(), 3.0)
    N = s.coarse.N.toarray()
    assert N.shape[1] == 60 * (2 if "x" in formula else 1)
    np.testing.assert_allclose(s.reduction.product(N), N, atol=1e-8)
    b = np.random.default_rng(0).standard_normal((s.reduction.operator.layout.n_rest, 1))
    without = system(f"y ~ 1 + x + (1 + x | user) + {formula}", nested(), 3.0, deflate=False)
    assert s.solve(b, tol=1e-10).iterations < 0.5 * without.solve(b, tol=1e-10).iterations


def test_a_factor_two_steps_up_adds_nothing() -> None:
    data = nested().assign(town=lambda d: d["shop"] // 6)
    layout = arrange(
        build_design("y ~ 1 + (1 | user) + (1 | clerk) + (1 | shop) + (1 | town)", data).predictors
    )
    names = [block.name for block in layout.rest]
    assert {(names[s.inner], names[s.outer]) for s in nestings(layout)} == {
        ("clerk", "shop"),
        ("shop", "town"),
    }


def test_pseudo_inverse_does_not_depend_on_units() -> None:
    rng = np.random.default_rng(1)
    root = rng.standard_normal((4, 6))
    A = root @ root.T
    scale = np.array([1e-6, 1.0, 1e5, 10.0])
    inverse = symmetric_pseudo_inverse(A * np.outer(scale, scale)) * np.outer(scale, scale)
    np.testing.assert_allclose(inverse, np.linalg.inv(A), rtol=1e-9)


def test_pseudo_inverse_drops_null_directions() -> None:
    A = np.array([[1.0, 1.0], [1.0, 1.0]])
    np.testing.assert_allclose(A @ symmetric_pseudo_inverse(A) @ A, A, atol=1e-14)


@pytest.mark.parametrize("kind", sorted(FORMULAS))
@pytest.mark.parametrize("singular", [False, True])
def test_coarse_space(kind: str, singular: bool) -> None:
    """S G from few columns is S times G, S N is N, and what `split` leaves is orthogonal to both."""
    m = model(kind, 4, singular=singular)
    layout = arrange(m.design.predictors)
    lambdas = Lambdas.of(layout, {name: lower_factor(S) for name, S in m.sigmas.items()})
    omega = np.random.default_rng(0).uniform(0.1, 2.0, layout.n_rows)
    elimination = eliminate(NumbaOperator(layout), lambdas, omega)
    space = coarse_space(elimination, coarse_directions(layout))
    np.testing.assert_allclose(space.SG, elimination.product(space.G), atol=1e-10)
    N = space.N.toarray()
    np.testing.assert_allclose(elimination.product(N), N, atol=1e-9 * max(np.abs(N).max(initial=0.0), 1.0))
    b = np.random.default_rng(1).standard_normal((layout.n_rest, 2))
    x, residual = space.split(b)
    np.testing.assert_allclose(b - elimination.product(x), residual, atol=1e-8)
    for E in (N, space.G):
        np.testing.assert_allclose(E.T @ residual, 0.0, atol=1e-8 * max(np.abs(E).max(initial=0.0), 1.0))

"""Deflation keeps CG short where shifts of whole factors are nearly free."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from problems import FORMULAS, model

from mixedfx.design import build_design
from mixedfx.linalg.deflation import coarse_directions, coarse_space, symmetric_pseudo_inverse
from mixedfx.linalg.elimination import eliminate
from mixedfx.linalg.lambdas import Lambdas
from mixedfx.linalg.layout import arrange
from mixedfx.linalg.operator import NumbaOperator
from mixedfx.linalg.reduced import ReducedSystem, reduced_system
from mixedfx.varcorr import lower_factor


def system(formula: str, data: pd.DataFrame, sd: float, *, deflate: bool) -> ReducedSystem:
    layout = arrange(build_design(formula, data).predictors)
    terms = layout.blocks
    lambdas = Lambdas.of(layout, {t.name: sd * np.eye(t.q) for t in terms})
    directions = coarse_directions(layout)
    if not deflate:
        kept = slice(directions.E.shape[1] - layout.p, None)
        directions = replace(directions, E=directions.E[:, kept], members=directions.members[kept])
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


def test_deflation_shortens_cg() -> None:
    rng = np.random.default_rng(0)
    counts = {}
    for deflate in (False, True):
        s = system("y ~ 1 + (1 | user) + (1 | item)", crossed(), 30.0, deflate=deflate)
        b = rng.standard_normal((s.reduction.operator.layout.n_rest, 1))
        solution = s.solve(b, tol=1e-10)
        counts[deflate] = solution.iterations
        residual = s.reduction.product(solution.x) - b
        assert np.abs(residual).max() < 1e-7 * np.abs(b).max()
    assert counts[True] < counts[False]


def test_nested_factor_has_a_direction_per_outer_level() -> None:
    """clerk within shop, both beside the larger factor user: 6 directions for clerk, 1 for shop, 1 for beta."""
    layout = arrange(build_design("y ~ 1 + (1 | user) + (1 | clerk) + (1 | shop)", crossed()).predictors)
    E = coarse_directions(layout).E
    assert E.shape[1] == 6 + 1 + 1
    assert np.linalg.matrix_rank(E) == 8


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
def test_images_of_the_coarse_directions(kind: str) -> None:
    """S E from few columns is S times E."""
    m = model(kind, 4)
    layout = arrange(m.design.predictors)
    lambdas = Lambdas.of(layout, {name: lower_factor(S) for name, S in m.sigmas.items()})
    omega = np.random.default_rng(0).uniform(0.1, 2.0, layout.n_rows)
    elimination = eliminate(NumbaOperator(layout), lambdas, omega)
    directions = coarse_directions(layout)
    space = coarse_space(elimination, directions)
    np.testing.assert_allclose(space.SE, elimination.product(directions.E), atol=1e-10)
    assert directions.F.shape[1] <= directions.E.shape[1]

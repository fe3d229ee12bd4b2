"""What the data say about levels, against dense matrices."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from problems import frame

from mixedfx.covariance.information import LevelInformation, level_information
from mixedfx.covariance.likelihood import fit_gaussian
from mixedfx.covariance.reference import Reference, reference_point
from mixedfx.design import Design, build_design
from mixedfx.families import get_family

Floats = NDArray[np.float64]


def informed(formula: str, family: str = "gaussian") -> tuple[Design, Reference, dict[str, LevelInformation]]:
    design = build_design(formula, frame(np.random.default_rng(12), 150), family=family)
    reference = reference_point(design, get_family(family))
    return design, reference, level_information(design, reference)


def dense_Z(design: Design, name: str) -> Floats:
    """(N, J q), level by level."""
    term = next(t for t in design.predictors.terms if t.name == name)
    Z = np.zeros((design.n_rows, term.grouping.n_levels, term.q))
    Z[np.arange(design.n_rows), term.grouping.codes] = design.predictors.z(term)
    return Z.reshape(design.n_rows, -1)


def diagonal_blocks(matrix: Floats, q: int) -> Floats:
    J = len(matrix) // q
    return np.einsum("jajb->jab", matrix.reshape(J, q, J, q))


def test_the_reference_of_reml_has_its_conditional_modes() -> None:
    design, _, _ = informed("y ~ 1 + x + (1 + x | g) + (1 | h)")
    reml = fit_gaussian(design, reml=True)
    reference = reference_point(design, get_family("gaussian"), reml.varcorr)
    assert reference.sigma2 == reml.varcorr.sigma2
    for term, b in zip(design.predictors.terms, reference.b, strict=True):
        # Backfitting stops after some sweeps; the coordinates need a fraction of a posterior sd, here 0.3.
        np.testing.assert_allclose(b, reml.ranef[term.name], atol=0.02)


@pytest.mark.parametrize("family", ["gaussian", "bernoulli"])
def test_moment_estimates_are_of_the_right_size(family: str) -> None:
    """Data with variances 0.49 and 0.25; 11 and 7 levels say no more than this."""
    response = "b" if family == "bernoulli" else "y"
    _, reference, _ = informed(f"{response} ~ 1 + x + (1 | g) + (1 | h)", family)
    assert all(0.01 < Sigma[0, 0] < 2.0 for Sigma in reference.Sigma)
    assert np.isfinite(reference.gradient).all()
    assert (reference.weights > 0).all()


def test_crossed_factors_keep_their_own_information() -> None:
    design, reference, found = informed("y ~ 1 + x + (1 + x | g) + (1 | h)")
    for name, levels in found.items():
        Z = dense_Z(design, name)
        q = levels.Sigma.shape[0]
        full = diagonal_blocks(Z.T @ (reference.weights[:, None] * Z), q)
        np.testing.assert_allclose(levels.precision, full, atol=1e-9)
        assert levels.couplings == ()


def test_nested_factors_are_integrated_out_exactly() -> None:
    """A of the outer factor is the diagonal of its Schur complement, and so is what fixed effects leave of its mean."""
    design, reference, found = informed("y ~ 1 + x + (1 + x | k) + (1 + x | k:m)")
    assert list(found) == ["k", "k:m"]
    assert [c.name for c in found["k:m"].couplings] == ["k"]
    W = reference.weights[:, None]
    X, outer, inner = design.predictors.X(), dense_Z(design, "k"), dense_Z(design, "k:m")
    Sigma = found["k:m"].Sigma
    penalised = inner.T @ (W * inner) + np.kron(np.eye(inner.shape[1] // 2), np.linalg.inv(Sigma))

    def schur(left: Floats, right: Floats) -> Floats:
        return left.T @ (W * right) - left.T @ (W * inner) @ np.linalg.solve(penalised, inner.T @ (W * right))

    np.testing.assert_allclose(found["k"].precision, diagonal_blocks(schur(outer, outer), 2), atol=1e-8)
    left = schur(outer, outer) - schur(outer, X) @ np.linalg.solve(schur(X, X), schur(X, outer))
    # Levels of k do not share levels of k:m, so that schur(outer, outer) is block-diagonal.
    V = np.kron(found["k"].patterns, np.eye(2))
    residual = found["k"].shift_residual.reshape(V.shape[1], -1)
    np.testing.assert_allclose(residual, V.T @ left @ V, atol=1e-8)


def test_the_middle_of_three_nested_factors() -> None:
    """Integrating out the innermost changes what couples the other two; the outermost comes out as in one step."""
    rng = np.random.default_rng(13)
    a = rng.integers(0, 4, 400)
    b = a * 5 + rng.integers(0, 5, 400)
    c = b * 6 + rng.integers(0, 6, 400)
    y = rng.standard_normal(400)
    design = build_design(
        "y ~ 1 + (1 | a) + (1 | b) + (1 | c)", pd.DataFrame({"y": y, "a": a, "b": b, "c": c})
    )
    reference = reference_point(design, get_family("gaussian"))
    found = level_information(design, reference)
    W = reference.weights[:, None]
    inner = np.hstack([dense_Z(design, "b"), dense_Z(design, "c")])
    penalty = np.repeat(
        [1 / found["b"].Sigma[0, 0], 1 / found["c"].Sigma[0, 0]],
        [dense_Z(design, "b").shape[1], dense_Z(design, "c").shape[1]],
    )
    outer = dense_Z(design, "a")
    cross = inner.T @ (W * outer)
    schur = outer.T @ (W * outer) - cross.T @ np.linalg.solve(inner.T @ (W * inner) + np.diag(penalty), cross)
    np.testing.assert_allclose(found["a"].precision[:, 0, 0], np.diag(schur), rtol=1e-8)


def test_only_one_of_two_crossed_factors_inside_a_third_is_integrated_out() -> None:
    rng = np.random.default_rng(14)
    school = rng.integers(0, 5, 500)
    pupil, teacher = school * 30 + rng.integers(0, 30, 500), school * 12 + rng.integers(0, 12, 500)
    data = pd.DataFrame({"y": rng.standard_normal(500), "school": school, "pupil": pupil, "teacher": teacher})
    design = build_design("y ~ 1 + (1 | school) + (1 | pupil) + (1 | teacher)", data)
    found = level_information(design, reference_point(design, get_family("gaussian")))
    assert [c.name for c in found["pupil"].couplings] == ["school"]
    assert found["teacher"].couplings == ()


def test_fixed_effects_absorb_level_means_and_contextual_covariates() -> None:
    rng = np.random.default_rng(15)
    g = np.repeat(np.arange(20), 8)
    age = rng.standard_normal(20)[g]
    data = pd.DataFrame({"y": rng.standard_normal(160), "g": g, "age": age})
    design = build_design("y ~ 1 + age + (1 | g)", data)
    levels = level_information(design, reference_point(design, get_family("gaussian")))["g"]
    assert levels.patterns.shape == (20, 2)
    np.testing.assert_allclose(levels.patterns.T @ levels.patterns, np.eye(2), atol=1e-12)
    np.testing.assert_allclose(levels.shift_residual, 0, atol=1e-9)
    unknown = build_design("y ~ 0 + (1 | g)", data)
    own = level_information(unknown, reference_point(unknown, get_family("gaussian")))["g"]
    np.testing.assert_allclose(own.shift_residual, own.shift_precision)

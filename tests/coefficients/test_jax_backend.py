"""Fits by JAX are fits by Numba: coefficients, standard errors, draws, and what becomes of them."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import pytest
from problems import FORMULAS, RESPONSES, frame

import mixedfx as mfx
from mixedfx.coefficients import backend as backends
from mixedfx.coefficients.backend import NUMBA, JaxBackend, choose_backend
from mixedfx.coefficients.problem import Point, Problem
from mixedfx.coefficients.result import CoefficientsResult
from mixedfx.design import Design, build_design
from mixedfx.families import get_family

# Kinds of models are spread over the families, because each pair is compiled anew. Singular: of a variance of 0, or
# of a correlation of 1.
CASES = [
    ("gaussian", "three crossed", False),
    ("bernoulli", "nested and crossed", True),
    ("binomial", "crossed", True),
    ("poisson", "offset", False),
    ("cumulative", "slopes on both", False),
]
# Both do the same arithmetic, sums in another order, and take the same steps.
TOLERANCE = 1e-10
# Standard errors and draws come from solutions to 1e-8 in energy norm: one more iteration of CG shows there.
OF_SOLUTIONS = 1e-7


@dataclass(frozen=True, eq=False)
class Case:
    """Data and covariances of a family on one of `FORMULAS`."""

    formula: str
    data: pd.DataFrame
    family: str
    weights: str | None
    varcorr: mfx.VarCorr

    @classmethod
    def of(cls, family: str, kind: str, *, singular: bool = False) -> Case:
        rng = np.random.default_rng(17)
        data = frame(rng, 160)
        data["grade"] = np.digitize(data["y"] + rng.logistic(size=len(data)), [0.0, 1.5, 3.0])
        response = {**RESPONSES, "cumulative": "grade"}[family]
        formula = FORMULAS[kind].replace("y ~", f"{response} ~")
        weights = "trials" if family == "binomial" else None
        rows: list[tuple[object, ...]] = []
        for position, term in enumerate(build_design(formula, data, family=family).predictors.terms):
            root = rng.standard_normal((term.q, term.q))
            if singular and position == 0:
                root[:, 0] = 0.0
            S, names = 0.5 * root @ root.T, term.names
            pairs = [(i, j) for i in range(term.q) for j in range(i + 1)]
            rows += [(term.name, names[i], names[j] if j != i else None, S[i, j]) for i, j in pairs]
        if family == "gaussian":
            rows.append(("Residual", None, None, 0.8))
        varcorr = mfx.VarCorr.from_frame(pd.DataFrame(rows, columns=["grp", "var1", "var2", "vcov"]))
        return cls(formula, data, family, weights, varcorr)

    def design(self) -> Design:
        return build_design(self.formula, self.data, family=get_family(self.family), weights=self.weights)

    def fit(self, backend: str) -> CoefficientsResult:
        return mfx.estimate_coefficients(
            self.formula,
            self.data,
            self.varcorr,
            family=self.family,
            weights=self.weights,
            backend=backend,
        )


@pytest.mark.parametrize(("family", "kind", "singular"), CASES)
def test_same_fit(family: str, kind: str, singular: bool) -> None:
    case = Case.of(family, kind, singular=singular)
    one, two = case.fit("jax"), case.fit("numba")
    assert (one.stats["backend"], two.stats["backend"]) == ("jax", "numba")
    assert one.converged, one.reason
    assert one.stats["newton_iterations"] == two.stats["newton_iterations"]
    assert one.stats["objective"] == pytest.approx(two.stats["objective"], rel=1e-12)
    np.testing.assert_allclose(one.fixef, two.fixef, atol=TOLERANCE)
    np.testing.assert_allclose(one.fixef_se, two.fixef_se, rtol=OF_SOLUTIONS)
    if family == "cumulative":
        assert one.thresholds is not None
        assert two.thresholds is not None
        np.testing.assert_allclose(one.thresholds, two.thresholds, atol=TOLERANCE)
    for factor, expected in two.ranef.items():
        pd.testing.assert_index_equal(one.ranef[factor].index, expected.index)
        np.testing.assert_allclose(one.ranef[factor], expected, atol=TOLERANCE)
        for conditional in (False, True):
            np.testing.assert_allclose(
                one.ranef_sd(factor, conditional=conditional),
                two.ranef_sd(factor, conditional=conditional),
                rtol=OF_SOLUTIONS,
                atol=TOLERANCE,
            )


@pytest.mark.parametrize(
    ("family", "kind", "start_u"),
    [
        ("poisson", "offset", 0.0),
        ("poisson", "offset", 20.0),  # many steps back
        ("poisson", "offset", -10.0),  # Newton's step goes far too far, and is halved
        ("cumulative", "slopes on both", 0.0),
        ("cumulative", "slopes on both", 500.0),  # nothing bends
    ],
)
def test_same_levels(family: str, kind: str, start_u: float) -> None:
    """One projection, from near and from far."""
    case = Case.of(family, kind)
    found = []
    for backend in (NUMBA, JaxBackend()):
        problem = Problem.of(case.design(), get_family(family), case.varcorr, backend=backend)
        start = problem.start()
        start = Point(start.e + start_u, start.rest)
        found.append(backend.solve_levels(problem, start, problem.alpha(start.rest)))
    one, two = found
    assert one.unsolved == two.unsolved == 0.0
    assert one.objective == pytest.approx(two.objective, rel=1e-12)
    for name in ("u", "M", "omega", "upper", "gradient", "squares", "alpha_slope", "alpha_bend"):
        a, b = getattr(one, name), getattr(two, name)
        assert a.dtype == b.dtype
        # Each level stops at a squared decrement of 1e-13 before its last step, which leaves about its square.
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9, err_msg=name)
    pairs = zip((one.blocks.e, *one.blocks.rest), (two.blocks.e, *two.blocks.rest), strict=True)
    for a, b in pairs:
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


def test_many_rows_have_curvatures_in_single_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    for solver in ("level_solver", "jax_level_solver"):
        monkeypatch.setattr(f"mixedfx.coefficients.{solver}.SINGLE_PRECISION_ROWS", 100)
    case = Case.of("cumulative", "slopes on both")
    one, two = case.fit("jax"), case.fit("numba")
    curvatures = [fit.mixture.components[0].normal.elimination.curvature for fit in (one, two)]
    for name in ("omega", "upper"):
        a, b = (getattr(curvature, name) for curvature in curvatures)
        assert a.dtype == b.dtype == np.float32
        np.testing.assert_allclose(a, b, rtol=1e-6)  # a last digit may be rounded the other way
    # Steps differ with that digit; both end at a scaled gradient of 1e-8.
    np.testing.assert_allclose(one.fixef, two.fixef, atol=1e-8)
    np.testing.assert_allclose(one.ranef["g"], two.ranef["g"], atol=1e-8)


def test_draws_saving_and_new_levels(tmp_path: Path) -> None:
    case = Case.of("cumulative", "slopes on both")
    one, two = case.fit("jax"), case.fit("numba")
    draws = [fit.draws(5, seed=3)["posterior"] for fit in (one, two)]
    for name in ("beta", "alpha", "b_g", "b_h"):
        np.testing.assert_allclose(draws[0][name], draws[1][name], rtol=OF_SOLUTIONS, atol=OF_SOLUTIONS)
    one.save(tmp_path)
    loaded = mfx.load_coefficients(tmp_path)
    assert loaded.stats["backend"] == "jax"
    np.testing.assert_allclose(loaded.ranef_sd("g"), one.ranef_sd("g"), rtol=OF_SOLUTIONS)
    rows = case.data.head(9)
    np.testing.assert_array_equal(loaded.predict(rows), one.predict(rows))
    new = rows.assign(g=999)
    np.testing.assert_allclose(one.fold_in(new)["g"], two.fold_in(new)["g"], atol=TOLERANCE)


def test_auto_takes_the_accelerator_for_many_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    many = backends.ROWS_FOR_AN_ACCELERATOR
    monkeypatch.setattr(backends, "has_accelerator", lambda: True)
    assert choose_backend("auto", many).name == "jax"
    assert choose_backend("auto", many - 1).name == "numba"
    assert choose_backend("numba", many).name == "numba"
    monkeypatch.setattr(backends, "has_accelerator", lambda: False)
    assert choose_backend("auto", many).name == "numba"
    assert choose_backend("jax", 10).name == "jax"


def test_an_accelerator_is_what_jax_computes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [group])
    for device, expected in (("gpu", True), ("tpu", True), ("cpu", False)):
        monkeypatch.setattr(jax, "default_backend", lambda device=device: device)
        assert backends.has_accelerator() is expected
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [])  # noqa: ARG005
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)  # noqa: ARG005
    monkeypatch.setitem(sys.modules, "jax", None)  # importing it would fail
    assert not backends.has_accelerator()


def test_unknown_backend_is_named() -> None:
    case = Case.of("gaussian", "crossed")
    with pytest.raises(mfx.errors.SettingError, match=r"'cuda'.*auto, numba, jax"):
        case.fit("cuda")

"""Properties of random formulas on random data: rows, order of rows, labels, and a journey through JSON."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from mixedfx.design import Design, build_design
from mixedfx.errors import CollinearWarning
from mixedfx.formula.spec import DesignSpec
from mixedfx.predictors import Predictors

N = 90


def make_data(seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    # Every category and level in the first rows, so that subsets of formulas never meet a factor of one level.
    cycle = np.arange(N)
    data = pd.DataFrame(
        {
            "y": rng.standard_normal(N),
            "x": rng.standard_normal(N),
            "z": rng.exponential(size=N),
            "kind": pd.Categorical(np.array(list("abc"))[cycle % 3], categories=list("dcba")),
            "stud": pd.Categorical(cycle // 3 % 4, ordered=True),
            "flag": cycle % 5 < 2,
            "mode": np.array(["self", "other"])[cycle // 7 % 2],
            "g": cycle // 2 % 6 + 100,
            "h": [f"h{k}" for k in rng.integers(0, 12, N)],
        }
    )
    return data.iloc[rng.permutation(N)].reset_index(drop=True)


variables = st.sampled_from(
    [
        "x",
        "z",
        "kind",
        "stud",
        "flag",
        "mode",
        "log(z)",
        "scale(x)",
        "poly(z, 2)",
        "I(x^2 - z)",
        "factor(g)",
        "C(mode)",
    ]
)
products = st.lists(variables, min_size=1, max_size=3, unique=True).flatmap(
    lambda parts: st.sampled_from([":", "*", " + ", "/"]).map(lambda operator: operator.join(parts))
)
intercepts = st.sampled_from(["1", "0", "-1"])


@st.composite
def formulas(draw: st.DrawFn) -> str:
    fixed = [draw(intercepts), *draw(st.lists(products, max_size=3))]
    groups = draw(
        st.lists(st.sampled_from(["g", "h", "h:mode", "mode/g"]), min_size=1, max_size=2, unique=True)
    )
    bars = []
    for group in groups:
        slopes = draw(st.lists(variables, max_size=2, unique=True))
        bar = draw(st.sampled_from(["|", "||"]))
        bars.append(f"({' + '.join(['1', *slopes])} {bar} {group})")
    offset = draw(st.sampled_from([[], ["offset(x)"], ["offset(scale(z))"]]))
    return "y ~ " + " + ".join([*fixed, *offset, *bars]).replace("+ -", "- ")


def build(formula: str, data: pd.DataFrame) -> Design:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CollinearWarning)
        return build_design(formula, data)


def assert_rows(whole: Predictors, part: Predictors, rows: np.ndarray, tolerance: float = 0.0) -> None:
    """`part` is `whole` at `rows`, to `tolerance` relative to the size of each column."""
    assert part.fixed_names == whole.fixed_names
    assert np.array_equal(part.fixed_columns, whole.fixed_columns)
    scale = np.abs(whole.features).max(axis=0, initial=1.0)
    assert (np.abs(part.features - whole.features[rows]) <= tolerance * scale).all()
    np.testing.assert_allclose(part.offset, whole.offset[rows], rtol=0, atol=10 * tolerance)
    for a, b in zip(whole.terms, part.terms, strict=True):
        assert (a.name, a.names, a.columns.tolist()) == (b.name, b.names, b.columns.tolist())
        assert np.array_equal(a.free, b.free)
        assert a.grouping.levels.equals(b.grouping.levels)
        assert np.array_equal(a.grouping.codes[rows], b.grouping.codes)


@settings(max_examples=60, deadline=None)
@given(formulas(), st.integers(0, 50), st.lists(st.integers(0, N - 1), min_size=1, max_size=10))
def test_any_rows_are_encoded_as_in_the_fit(formula: str, seed: int, rows: list[int]) -> None:
    data = make_data(seed)
    design = build(formula, data)
    spec = DesignSpec.from_dict(json.loads(json.dumps(design.spec.to_dict())))
    assert_rows(design.predictors, spec.encode(data.iloc[rows]), np.array(rows))


@settings(max_examples=40, deadline=None)
@given(formulas(), st.integers(0, 50), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(formula: str, seed: int, random: object) -> None:
    data = make_data(seed)
    order = np.random.default_rng(random.getrandbits(32)).permutation(N)  # pyright: ignore
    # Means and norms are summed in another order, so transforms agree to rounding only.
    assert_rows(build(formula, data).predictors, build(formula, data.iloc[order]).predictors, order, 1e-11)


@settings(max_examples=40, deadline=None)
@given(formulas(), st.integers(0, 50))
def test_a_column_is_stored_once(formula: str, seed: int) -> None:
    p = build(formula, make_data(seed)).predictors
    stored = [p.fixed_columns, *(term.columns for term in p.terms)]
    assert sorted({int(c) for columns in stored for c in columns} - {-1}) == list(range(p.features.shape[1]))
    for names, columns in [(p.fixed_names, p.fixed_columns), *((t.names, t.columns) for t in p.terms)]:
        assert len(set(names)) == len(names) == len(columns)


@settings(max_examples=40, deadline=None)
@given(formulas(), st.integers(0, 50))
def test_fixed_effects_are_independent_and_span_all(formula: str, seed: int) -> None:
    data = make_data(seed)
    p = build(formula, data).predictors
    X = p.X() / np.linalg.norm(p.X(), axis=0)
    assert np.linalg.matrix_rank(X, tol=1e-9) == X.shape[1]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text(alphabet="abAB1:_ é", min_size=1, max_size=4), min_size=2, unique=True, max_size=12))
def test_string_levels_are_sorted_by_code_point(labels: list[str]) -> None:
    data = pd.DataFrame({"g": labels * 2, "y": np.arange(2.0 * len(labels))})
    grouping = build("y ~ (1 | g)", data).predictors.terms[0].grouping
    assert grouping.levels.tolist() == sorted(labels)
    assert grouping.levels[grouping.codes].tolist() == data["g"].tolist()
    assert grouping.counts().tolist() == [2] * len(labels)

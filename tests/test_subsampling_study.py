"""The subsampling study: what one step on all rows says, its lines and its page. No claim about strategies."""

from __future__ import annotations

import pandas as pd
import pytest

import mixedfx as mfx
from benchmarks.problem import Sources
from benchmarks.subsampling.cases import CASES, Case
from benchmarks.subsampling.one_step import OneStep
from benchmarks.subsampling.page import page
from benchmarks.subsampling.study import study
from mixedfx.design import build_design

FORMULA = "y ~ 1 + (1 | s) + (1 | d)"


@pytest.mark.parametrize("family", ["gaussian", "bernoulli"])
def test_one_step_from_a_wrong_start_is_near_the_maximum(family: str) -> None:
    data = mfx.datasets.load_insteval().head(20_000)
    if family == "bernoulli":
        data = data.assign(y=(data["y"] >= 4).astype(int))
    sample = data.sample(6000, random_state=0).sort_index()
    frozen = mfx.learn_covariance(FORMULA, sample, family=family)
    best = mfx.learn_covariance(FORMULA, data, family=family)
    one_step = OneStep.of(build_design(FORMULA, data, family=family)).estimate(frozen)
    target = best.standard_errors
    off = (frozen.standard_errors["vcov"] - target["vcov"]).abs()
    left = (pd.Series(one_step) - target["vcov"]).abs()
    # Within the sampling error of all rows, and nearer than the start where that was farther than a standard error.
    assert (left < target["se"]).all()
    assert (left < off)[off > target["se"]].all()


def test_lines_and_page() -> None:
    case = next(case for case in CASES if case.name == "insteval")
    small = Case(case.name, case.about, case.formula, case.family, lambda s: case.load(s).head(8000), 0.4)
    rows = pd.DataFrame(list(study(small, Sources(), n_seeds=2, n_scored=1, say=lambda _: None)))
    assert set(rows["strategy"]) == {
        "per-factor",
        "per-factor, stratified",
        "levels of s",
        "levels of d",
        "two-way",
        "rows",
        "core",
    }
    assert rows.groupby("group")["full"].nunique().tolist() == [1, 1, 1]
    own = rows[(rows["strategy"] == "per-factor") & (rows["group"] == "d")]["frozen"].tolist()
    assert own == rows[(rows["strategy"] == "levels of d") & (rows["group"] == "d")]["frozen"].tolist()
    assert rows.loc[rows["seed"] == 0, "score"].notna().all()
    text = page(rows)
    assert text.count("\n| ") == 1 + 2 * 7
    assert "## insteval" in text

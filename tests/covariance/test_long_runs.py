"""E[Sigma] of real data against long runs of NUTS, which are kept with the benchmarks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx
from benchmarks.problem import Sources
from benchmarks.results import RESULTS
from benchmarks.sampling import CASES, Case

LAPLACES_BIAS = 0.15
"""In posterior standard deviations: VerbAgg's levels have 24 rows or more."""


@pytest.mark.slow
@pytest.mark.parametrize("method", ["nuts", "marginal"])
@pytest.mark.parametrize("case", [c for c in CASES if c.reference], ids=lambda c: c.name)
def test_means_are_those_of_a_long_run(case: Case, method: str) -> None:
    table = pd.read_csv(Path(RESULTS) / "mcmc" / "long-runs.csv")
    long = table[table["case"] == case.name].reset_index(drop=True)
    fit = mfx.learn_covariance(case.formula, case.load(Sources()), family=case.family, method=method, seed=77)
    assert fit.converged, fit.varcorr.why
    own = fit.standard_errors
    assert own["grp"].tolist() == long["grp"].tolist()
    off = (own["vcov"] - long["vcov"]).abs()
    allowed = 4 * np.hypot(own["mcse"], long["mcse"])
    if method == "marginal" and case.family != "gaussian":
        allowed += LAPLACES_BIAS * long["se"]
    assert (off < allowed).all()
    # Where covariances are well known, the mode of the posterior is near the optimum of the likelihood.
    likelihood = mfx.learn_covariance(case.formula, case.load(Sources()), family=case.family)
    shift = (own["vcov"] - likelihood.varcorr.to_frame()["vcov"]).abs() / own["se"]
    assert (shift < 1.0).all()

"""The job of two models on VerbAgg, as it comes with the project."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from goldens import load

from mixedfx.pipeline.config import DataTable, load_jobs
from mixedfx.pipeline.runner import run_job

JOBS = load_jobs(Path(__file__).parents[2] / "pipelines" / "verbagg.toml")


@pytest.mark.parametrize("name", list(JOBS))
def test_its_models_run_and_their_stages_agree(name: str, tmp_path: Path) -> None:
    results = run_job(JOBS[name], tmp_path / name, progress=False)
    assert results.check is not None
    assert results.status == "ok", results.check.verdict
    assert results.check.scores is not None
    assert results.check.scores.set_index("score").loc["log score", "difference"] > 0.05
    assert {"predictive", "ranef", "pit"} <= {plot.name for plot in results.check.plots}
    assert "odds of" in results.check.levels["says"].iloc[0]
    assert (tmp_path / name / "report.md").read_text().startswith("# Stages agree: `r")


@pytest.mark.parametrize(("name", "case"), [("bernoulli", "verbagg_laplace"), ("ordinal", "verbagg_ordinal")])
def test_with_all_rows_stage_one_is_that_of_r(name: str, case: str, tmp_path: Path) -> None:
    job = JOBS[name].model_copy(update={"data": DataTable(dataset="verbagg")})
    results = run_job(job, tmp_path / name, until="covariance", progress=False)
    assert results.covariance is not None
    expected = load(case)
    errors = results.covariance.standard_errors["se"].to_numpy()
    # As the README states: estimates to 1e-4 of their standard errors.
    off = (results.covariance.varcorr.to_frame()["vcov"] - expected.varcorr["vcov"]).to_numpy() / errors
    assert np.abs(off).max() < 1e-4
    beta = (results.covariance.fixef - expected.fixef) / results.covariance.fixef_se
    assert beta.abs().max() < 1e-4

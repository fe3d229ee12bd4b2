"""A whole job with the real stages: the same numbers as the functions it calls, and again from its artefacts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx
from mixedfx.errors import SettingError
from mixedfx.frames import read_columns
from mixedfx.pipeline import steps
from mixedfx.pipeline.config import Job, parse_job
from mixedfx.pipeline.runner import run_job

FORMULA = "y ~ 1 + x + (1 + x | user) + (1 | item)"


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    """800 ratings of 40 items by 60 users, slopes of users on x, levels labelled by text and by number."""
    rng = np.random.default_rng(5)
    user, item, x = rng.integers(0, 60, 800), rng.integers(0, 40, 800), rng.standard_normal(800)
    b = rng.standard_normal((60, 2)) * [0.8, 0.4]
    y = (
        1
        + 0.5 * x
        + b[user, 0]
        + b[user, 1] * x
        + 0.6 * rng.standard_normal(40)[item]
        + rng.standard_normal(800)
    )
    return pd.DataFrame({"user": [f"u{k}" for k in user], "item": item + 100, "x": x, "y": y})


@pytest.fixture(scope="module")
def job(data: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Job:
    path = tmp_path_factory.mktemp("data") / "ratings.parquet"
    data.to_parquet(path)
    sample = {"strategy": "per-factor", "n_levels": 30}
    return parse_job({"formula": FORMULA, "seed": 2, "data": {"path": str(path)}, "subsample": sample})


def test_a_job_gives_what_the_functions_give(job: Job, data: pd.DataFrame, tmp_path: Path) -> None:
    results = run_job(job, tmp_path / "run")
    sample = mfx.Subsample(strategy="per-factor", n_levels=30, seed=2)
    covariance = mfx.learn_covariance(FORMULA, data, subsample=sample, seed=2)
    coefficients = mfx.estimate_coefficients(FORMULA, data, covariance)
    assert results.covariance is not None
    assert results.coefficients is not None
    # The same computation on the same machine.
    pd.testing.assert_frame_equal(results.covariance.standard_errors, covariance.standard_errors, rtol=1e-10)
    pd.testing.assert_series_equal(results.coefficients.fixef, coefficients.fixef, rtol=1e-10)
    assert [draw.n_levels[draw.factor or ""] for draw in results.draws] == [30, 30]

    again = run_job(job, tmp_path / "run", resume=True)
    assert all(record.reused for record in again.manifest.steps.values())
    assert again.coefficients is not None
    assert again.check is not None
    pd.testing.assert_series_equal(again.coefficients.predict(data), results.coefficients.predict(data))
    assert again.check.verdict == results.check.verdict if results.check else False

    table = pd.read_csv(tmp_path / "run" / "covariance" / "covariances.csv")
    assert mfx.VarCorr.from_frame(table).to_frame()["vcov"].tolist() == table["vcov"].tolist()
    modes = pd.read_parquet(next((tmp_path / "run" / "coefficients").glob("ranef-*.parquet")))
    assert len(modes) == 60


@pytest.mark.slow
def test_a_job_with_mcmc_comes_back_from_its_artefacts(job: Job, tmp_path: Path) -> None:
    table = {"method": "nuts", "draws": 300, "warmup": 300, "chains": 2, "force": True}
    job = parse_job({**job.model_dump(exclude_none=True), "covariance": table})
    first = run_job(job, tmp_path / "run")
    (tmp_path / "run" / "check" / "step.json").unlink()
    second = run_job(job, tmp_path / "run", resume=True)
    assert second.manifest.steps["covariance"].reused
    assert not second.manifest.steps["check"].reused
    assert first.check is not None
    assert second.check is not None
    pd.testing.assert_frame_equal(first.check.summary, second.check.summary, rtol=1e-6)


def test_refined_covariances_are_stage_twos(job: Job, data: pd.DataFrame, tmp_path: Path) -> None:
    refining = parse_job({**job.model_dump(exclude_none=True), "refine": {"accuracy": 0.01}})
    results = run_job(refining, tmp_path / "run")
    assert results.refined is not None
    assert results.coefficients is not None
    assert results.check is not None
    exact = mfx.learn_covariance(FORMULA, data)
    off = (results.refined.standard_errors["vcov"] - exact.standard_errors["vcov"]).abs()
    assert (off < 0.05 * exact.standard_errors["se"]).all()
    assert results.coefficients.varcorr.to_frame()["vcov"].to_numpy() == pytest.approx(
        results.refined.varcorr.to_frame()["vcov"].to_numpy()
    )
    assert "Covariances, refined on all rows" in results.report.read_text(encoding="utf-8")
    again = run_job(refining, tmp_path / "run", until="coefficients", resume=True)
    assert again.manifest.steps["refine"].reused
    finer = parse_job({**job.model_dump(exclude_none=True), "refine": {"accuracy": 0.005}})
    steps = run_job(finer, tmp_path / "run", until="refine", resume=True).manifest.steps
    assert steps["covariance"].reused
    assert not steps["refine"].reused


def test_refine_wants_its_table(job: Job, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"no table \[refine\]"):
        run_job(job, tmp_path / "run", until="refine")


def test_replicates_of_a_planned_size(job: Job, data: pd.DataFrame, tmp_path: Path) -> None:
    table = {"strategy": "levels", "factor": "user", "target_se": 0.6, "replicates": 2}
    tables = {"formula": FORMULA, "seed": 2, "data": {"path": job.data.path}, "subsample": table}
    results = run_job(parse_job(tables), tmp_path / "run", until="covariance")
    covariance = mfx.learn_covariance(FORMULA, data, subsample=mfx.Subsample(**table, seed=2), seed=2)
    assert results.covariance is not None
    pd.testing.assert_frame_equal(results.covariance.standard_errors, covariance.standard_errors, rtol=1e-10)
    assert [draw.replicate for draw in results.draws] == [0, 1]
    assert all(draw.n_levels["user"] < 60 for draw in results.draws)
    rows = [fit.rows for fit in covariance.replicates]
    assert all(np.array_equal(draw.rows, own) for draw, own in zip(results.draws, rows, strict=True))
    again = run_job(parse_job(tables), tmp_path / "run", until="covariance", resume=True)
    assert again.manifest.steps["subsample"].reused
    assert [len(draw.rows) for draw in again.draws] == [len(draw.rows) for draw in results.draws]
    report = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "2 replicates with" in report
    assert "from the spread of replicates" in report


def test_stage_one_of_a_job_reads_its_sample_alone(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of Parquet files, where nothing is held out; the rows and the result are those of data in memory."""
    whole: list[object] = []

    def counted(data: object, columns: tuple[str, ...]) -> pd.DataFrame:
        whole.append(data)
        return read_columns(data, columns)

    monkeypatch.setattr(steps, "read_columns", counted)
    run_job(job, tmp_path / "run", until="covariance")
    assert not whole
    run_job(job, tmp_path / "run", until="coefficients", resume=True)
    assert len(whole) == 1

"""Runs of jobs: what is written, what is used again, what is refused, and what a failure leaves behind."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from standins import Stages

from mixedfx.errors import ConvergenceError, DataError, DroppedRowsWarning, NotFreezableError, SettingError
from mixedfx.pipeline.config import CoefficientsTable, CovarianceTable, DataTable, Job
from mixedfx.pipeline.runner import run_job


def manifest(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "manifest.json").read_text())


def fail(error: BaseException) -> Any:
    def raise_error() -> None:
        raise error

    return raise_error


def test_a_run_writes_every_steps_artefacts(job: Job, stages: Stages, tmp_path: Path) -> None:
    results = run_job(job, tmp_path / "run")
    assert stages.calls == ["covariance", "coefficients", "check"]
    assert results.check is not None
    files = {p.relative_to(tmp_path / "run").as_posix() for p in (tmp_path / "run").rglob("*") if p.is_file()}
    assert files == {
        ".lock",
        "manifest.json",
        "report.html",
        "report.md",
        "subsample/draws.json",
        "subsample/rows-item.parquet",
        "subsample/rows-user.parquet",
        "covariance/covariances.csv",
        "covariance/fixef.csv",
        "covariance/ranef-item.parquet",
        "covariance/ranef-user.parquet",
        "covariance/result.json",
        "coefficients/coefficients.json",
        "coefficients/ranef-item.parquet",
        "coefficients/ranef-user.parquet",
        "coefficients/varcorr.csv",
        "check/compared-covariances.csv",
        "check/stages.png",
        "check/levels.csv",
        "check/summary.csv",
        "check/verdict.json",
        *(f"{step}/step.json" for step in ("subsample", "covariance", "coefficients", "check")),
    }
    record = manifest(tmp_path / "run")
    assert record["status"] == "done"
    assert [step["status"] for step in record["steps"].values()] == ["done"] * 4
    assert (record["data"]["rows"], record["data"]["held_out"]) == (54, 6)
    assert record["versions"]["numpy"] == np.__version__


def test_the_stages_get_the_jobs_settings(job: Job, stages: Stages, tmp_path: Path) -> None:
    job = job.model_copy(update={"covariance": CovarianceTable(method="nuts", draws=7, force=True)})
    run_job(job, tmp_path / "run")
    given = stages.arguments["covariance"]
    assert (given["method"], given["draws"], given["force"], given["seed"]) == ("nuts", 7, True, 3)
    assert "warmup" not in given
    assert (given["subsample"].n_levels, given["subsample"].seed) == (4, 3)
    assert len(given["data"]) == 54
    assert "unused" not in given["data"]
    assert stages.arguments["coefficients"]["tol"] == 1e-8
    held = stages.arguments["check"]["holdout"]
    whole = pd.concat([given["data"], held]).sort_index()
    assert list(whole.index) == list(range(60))


def test_resume_goes_on_where_a_killed_run_was(job: Job, stages: Stages, folder: Path) -> None:
    stages.before["coefficients"] = fail(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        run_job(job, folder)
    assert manifest(folder)["status"] == "failed"
    stages.before.clear()
    stages.calls.clear()
    results = run_job(job, folder, resume=True)
    assert stages.calls == ["coefficients", "check"]
    assert results.manifest.steps["covariance"].reused
    assert not results.manifest.steps["coefficients"].reused
    stages.calls.clear()
    again = run_job(job, folder, resume=True)
    assert stages.calls == []
    assert again.check is not None
    assert results.check is not None
    pd.testing.assert_frame_equal(again.check.summary, results.check.summary)
    assert again.check.plots == results.check.plots


def test_a_run_is_the_same_from_artefacts_as_from_memory(job: Job, stages: Stages, folder: Path) -> None:
    first = run_job(job, folder)
    second = run_job(job, folder, resume=True)
    assert stages.calls == ["covariance", "coefficients", "check"]
    assert first.covariance is not None
    assert second.covariance is not None
    pd.testing.assert_frame_equal(first.covariance.standard_errors, second.covariance.standard_errors)
    assert [vars(d).keys() for d in first.draws] == [vars(d).keys() for d in second.draws]
    for a, b in zip(first.draws, second.draws, strict=True):
        np.testing.assert_array_equal(a.rows, b.rows)
        assert (a.factor, a.sampled, a.n_levels) == (b.factor, b.sampled, b.n_levels)


CHANGES: list[tuple[str, dict[str, Any], list[str]]] = [
    ("stage 2", {"coefficients": CoefficientsTable(tol=1e-6)}, ["coefficients", "check"]),
    ("stage 1", {"covariance": CovarianceTable(method="ml")}, ["covariance", "check"]),
    ("the seed", {"seed": 4}, ["covariance", "coefficients", "check"]),
    ("the formula", {"formula": "y ~ 1 + (1 | user) + (1 | item)"}, ["covariance", "coefficients", "check"]),
    ("the subsample", {"subsample": None}, ["covariance", "check"]),
]


@pytest.mark.parametrize(("what", "update", "rerun"), CHANGES, ids=[change[0] for change in CHANGES])
def test_a_change_reruns_what_depends_on_it(
    what: str, update: dict[str, Any], rerun: list[str], job: Job, stages: Stages, folder: Path
) -> None:
    # The stand-in learns the same covariances in any case, and stage 2 depends on nothing else of stage 1.
    run_job(job, folder)
    stages.calls.clear()
    changed = job.model_copy(update=update)
    with pytest.raises(SettingError, match=r"another job; it differs in .*--resume"):
        run_job(changed, folder)
    run_job(changed, folder, resume=True)
    assert stages.calls == rerun, what


def test_changed_data_rerun_everything_and_unused_columns_nothing(
    job: Job, stages: Stages, tmp_path: Path, data_file: Path
) -> None:
    run_job(job, tmp_path / "run")
    stages.calls.clear()
    frame = pd.read_parquet(data_file)
    frame.assign(unused=2).to_parquet(data_file)
    run_job(job, tmp_path / "run", resume=True)
    assert stages.calls == []
    frame.assign(y=frame["y"] + 1).to_parquet(data_file)
    run_job(job, tmp_path / "run", resume=True)
    assert stages.calls == ["covariance", "coefficients", "check"]


def test_moved_data_rerun_nothing(job: Job, stages: Stages, tmp_path: Path, data_file: Path) -> None:
    run_job(job, tmp_path / "run")
    stages.calls.clear()
    moved = data_file.rename(tmp_path / "moved.parquet")
    table = DataTable(path=str(moved), holdout=0.1)
    run_job(job.model_copy(update={"data": table}), tmp_path / "run", resume=True)
    assert stages.calls == []


def test_covariances_edited_by_hand_are_used(job: Job, stages: Stages, folder: Path) -> None:
    stages.freezable = False
    with pytest.raises(NotFreezableError):
        run_job(job, folder)
    table = folder / "covariance" / "covariances.csv"
    frame = pd.read_csv(table)
    frame.loc[0, "vcov"] = 0.75
    frame.to_csv(table, index=False)
    stages.calls.clear()
    results = run_job(job, folder, resume=True)
    assert stages.calls == ["coefficients", "check"]
    assert stages.arguments["coefficients"]["varcorr"]["user"].iloc[0, 0] == 0.75
    assert results.manifest.steps["covariance"].edited == ("covariances.csv",)
    assert "This table was edited by hand" in results.report.read_text()


def test_damaged_artefacts_are_made_again(job: Job, stages: Stages, folder: Path) -> None:
    run_job(job, folder)
    (folder / "covariance" / "ranef-user.parquet").write_bytes(b"")
    (folder / "check" / "verdict.json").unlink()
    stages.calls.clear()
    run_job(job, folder, resume=True)
    assert stages.calls == ["covariance", "check"]


def test_without_resume_everything_runs_anew(job: Job, stages: Stages, folder: Path) -> None:
    run_job(job, folder)
    run_job(job, folder)
    assert stages.calls == ["covariance", "coefficients", "check"] * 2


def test_a_folder_with_other_things_is_left_alone(job: Job, stages: Stages, folder: Path) -> None:
    folder.mkdir()
    (folder / "thesis.docx").write_text("years of work")
    for resume in (False, True):
        with pytest.raises(SettingError, match="not a run's"):
            run_job(job, folder, resume=resume)
    assert [path.name for path in folder.iterdir()] == ["thesis.docx"]
    assert stages.calls == []


@pytest.mark.parametrize("inside", [False, True])
def test_an_output_that_is_a_file_is_refused(job: Job, stages: Stages, folder: Path, inside: bool) -> None:
    folder.write_text("years of work")
    with pytest.raises(SettingError, match=r"the output folder .*run.* give another --output"):
        run_job(job, folder / "below" if inside else folder)
    assert folder.read_text() == "years of work"
    assert stages.calls == []


def test_not_freezable_stops_before_the_coefficients(job: Job, stages: Stages, folder: Path) -> None:
    stages.freezable = False
    with pytest.raises(NotFreezableError, match=r"R-hat of Sigma_user is 1\.3 .*\n.*--resume.*force = true"):
        run_job(job, folder)
    assert stages.calls == ["covariance"]
    record = manifest(folder)
    assert record["status"] == "stopped"
    assert "R-hat" in record["error"]
    assert (folder / "covariance" / "covariances.csv").is_file()
    report = (folder / "report.html").read_text()
    assert "Stopped" in report
    assert "R-hat of Sigma_user is 1.3" in report


def test_a_failed_step_leaves_what_was_done_and_says_why(job: Job, stages: Stages, folder: Path) -> None:
    stages.before["coefficients"] = fail(ConvergenceError("stage 2 stalled: raise tol"))
    with pytest.raises(ConvergenceError):
        run_job(job, folder)
    record = manifest(folder)
    assert record["status"] == "failed"
    assert record["steps"]["coefficients"]["error"] == "ConvergenceError: stage 2 stalled: raise tol"
    assert (folder / "covariance" / "step.json").is_file()
    assert not (folder / "coefficients").exists()
    assert "stage 2 stalled" in (folder / "report.html").read_text()


def test_data_that_cannot_be_read_are_recorded(job: Job, stages: Stages, tmp_path: Path) -> None:
    gone = job.model_copy(update={"data": DataTable(path=str(tmp_path / "gone.parquet"))})
    with pytest.raises(DataError, match="gone"):
        run_job(gone, tmp_path / "run")
    assert manifest(tmp_path / "run")["status"] == "failed"
    assert "gone.parquet" in manifest(tmp_path / "run")["error"]
    assert stages.calls == []


def test_warnings_are_kept_once_and_do_not_reach_the_caller(job: Job, stages: Stages, folder: Path) -> None:
    def warn() -> None:
        warnings.warn("7 rows dropped", DroppedRowsWarning, stacklevel=1)

    stages.before = {"covariance": warn, "coefficients": warn}
    results = run_job(job, folder)  # the test run turns warnings into errors
    assert results.manifest.warnings == ("7 rows dropped",)
    assert "7 rows dropped" in results.report.read_text()


@pytest.mark.usefixtures("stages")
def test_a_holdout_without_rows_is_refused(job: Job, tmp_path: Path, data_file: Path) -> None:
    tiny = job.model_copy(update={"data": DataTable(path=str(data_file), holdout=0.001)})
    with pytest.raises(DataError, match=r"data\.holdout = 0\.001 holds 0 of 60 rows out"):
        run_job(tiny, tmp_path / "run")


def test_a_run_can_end_early(job: Job, stages: Stages, folder: Path) -> None:
    results = run_job(job, folder, until="covariance")
    assert stages.calls == ["covariance"]
    assert results.status == "open"
    assert "run up to covariance" in results.report.read_text()

"""Run a job: each step in turn, its artefacts kept, and used again where nothing they rest on changed."""

from __future__ import annotations

import logging
import os
import platform
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import mixedfx as mfx
from mixedfx.covariance.result import CovarianceResult
from mixedfx.covariance.saved import COVARIANCES, load_covariance, save_covariance
from mixedfx.errors import MixedfxError, NotFreezableError, SettingError
from mixedfx.pipeline import steps
from mixedfx.pipeline.artefacts import (
    StepRecord,
    changed_files,
    digest,
    hash_file,
    locked,
    package_version,
    peak_memory_mb,
    read_json,
    read_record,
    versions,
    write_folder,
    write_json,
    write_text,
)
from mixedfx.pipeline.config import Job
from mixedfx.pipeline.markdown import short_report
from mixedfx.pipeline.results import FORMAT, Manifest, RunResults
from mixedfx.pipeline.sections.page import page
from mixedfx.progress import Report, reporter

logger = logging.getLogger("mixedfx")

STEPS = ("subsample", "covariance", "refine", "coefficients", "check")
MANIFEST = "manifest.json"


def run_job(
    job: Job,
    folder: str | Path | None = None,
    *,
    resume: bool = False,
    until: str = STEPS[-1],
    progress: bool | Report | None = None,
) -> RunResults:
    """Run a job's steps, and write its report.

    Parameters
    ----------
    job
        From `mixedfx.pipeline.config.load_job`.
    folder
        Where artefacts go; the job's ``output.folder`` by default.
    resume
        Use a finished step's artefacts again where its settings, data, upstream artefacts and the package's
        version are those it was made with. A ``covariances.csv`` edited since then counts as the covariance
        step's result. Without it every step runs anew and replaces what an earlier run of this job left.
    until
        The last step to run.
    progress
        As in `mixedfx.progress.reporter`.

    Returns
    -------
    RunResults
        Its `check` is None where `until` ends earlier.

    Raises
    ------
    SettingError
        The folder holds something else, or a run of another job and `resume` is not set, or is in use.
    NotFreezableError
        Stage 1 did not establish the covariances; its artefacts and a report are written all the same.
    MixedfxError
        Whatever ended a step; the artefacts of earlier steps stay, and the manifest has the error.

    Examples
    --------
    >>> from mixedfx.pipeline.config import load_job
    >>> results = run_job(load_job("pipelines/insteval.toml"))  # doctest: +SKIP
    >>> results.check.status  # doctest: +SKIP
    'ok'
    """
    if until == "refine" and job.refine is None:
        raise SettingError("the job has no table [refine]; add one, with accuracy = 1e-3 for example")
    folder = Path(folder or job.output.folder or "runs/job")
    _check_folder(folder, job, resume)
    with locked(folder), reporter(progress) as report:
        return _Run(job, folder, resume, report).go(until)


def _check_folder(folder: Path, job: Job, resume: bool) -> None:
    """Refuse to write among foreign files, and over a run of another job unless that is to be resumed."""
    if folder.exists() and not folder.is_dir():
        raise SettingError(f"the output folder {folder} is a file; give another --output")
    if not folder.exists() or not any(name for name in os.listdir(folder) if name != ".lock"):
        return
    earlier = read_json(folder / MANIFEST)
    if earlier is None or earlier.get("format") != FORMAT:
        raise SettingError(
            f"the output folder {folder} holds files that are not a run's; give another --output"
        )
    changed = _differences(earlier["job"], _settings(job))
    if changed and not resume:
        raise SettingError(
            f"{folder} holds a run of another job; it differs in {', '.join(changed)}. Give --resume to use "
            "its unchanged steps again and replace the others, or another --output"
        )


def _settings(job: Job) -> dict[str, Any]:
    """What makes two runs in one folder runs of the same job: everything but the folder."""
    return job.model_dump(exclude={"output"})


def _differences(earlier: Mapping[str, Any], now: Mapping[str, Any], path: str = "") -> list[str]:
    found: list[str] = []
    for key in dict.fromkeys([*earlier, *now]):
        a, b = earlier.get(key), now.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            found += _differences(a, b, f"{path}{key}.")
        elif a != b:
            found.append(f"{path}{key}")
    return found


class _Run:
    """A run in progress: `results` grows step by step, and the manifest on disk follows it."""

    def __init__(self, job: Job, folder: Path, resume: bool, report: Report) -> None:
        self.job = job
        self.folder = folder
        self.resume = resume
        self.report = report
        machine = {"system": platform.platform(), "processor": platform.machine(), "cores": os.cpu_count()}
        manifest = Manifest(_settings(job), "running", _now(), versions(), machine)
        self.results = RunResults(job, folder, manifest)

    def go(self, until: str) -> RunResults:
        try:
            self._steps(until)
        except BaseException as error:
            status = "stopped" if isinstance(error, NotFreezableError) else "failed"
            self._record(status=status, finished=_now(), error=_error_text(error))
            if isinstance(error, MixedfxError) and self.results.covariance is not None:
                self._write_report()
            raise
        self._record(status="done", finished=_now())
        self._write_report()
        return self.results

    def _steps(self, until: str) -> None:
        job = self.job
        self._record()
        data = steps.read_data(job)
        held = 0 if data.holdout is None else len(data.holdout)
        about = {"source": data.source, "hash": data.hash, "rows": data.n_rows, "held_out": held}
        self._record(data=about)
        self._keep(data=data)
        model = {
            "formula": job.formula,
            "family": job.family,
            "weights": job.weights,
            "na": job.na,
            "data": data.hash,
            "holdout": None if job.data.holdout is None else [job.data.holdout, job.seed],
        }
        sample = None if job.subsample is None else vars(job.subsample.build(job.seed))
        draws = self._step(
            "subsample",
            {**model, "subsample": sample},
            lambda: steps.draw_subsample(job, data),
            steps.save_subsample,
            steps.load_subsample,
        )
        self._keep(draws=draws)
        if until == "subsample":
            return
        covariance = self._step(
            "covariance",
            {**model, "subsample": sample, "covariance": job.covariance.model_dump(), "seed": job.seed},
            lambda: steps.learn(job, data, self.report),
            save_covariance,
            load_covariance,
        )
        if self.results.manifest.steps["covariance"].edited:
            # Whoever edits the table vouches for it.
            covariance = replace(covariance, varcorr=replace(covariance.varcorr, freezable=True, why=""))
        self._keep(covariance=covariance)
        if until == "covariance":
            return
        steps.require_freezable(covariance)
        frozen = hash_file(self.folder / "covariance" / COVARIANCES)
        refined = self._refined(model, data, covariance, frozen)
        if until == "refine":
            return
        if refined is not None:
            steps.require_freezable(refined)
            frozen = hash_file(self.folder / "refine" / COVARIANCES)
        coefficients = self._step(
            "coefficients",
            {**model, "covariances": frozen, "coefficients": job.coefficients.model_dump()},
            lambda: steps.estimate(job, data, refined or covariance, self.report),
            lambda result, folder: result.save(folder),
            mfx.load_coefficients,
        )
        self._keep(coefficients=coefficients)
        if until == "coefficients":
            return
        made = {name: record.inputs for name, record in self.results.manifest.steps.items()}
        outcome = self._step(
            "check",
            {
                **model,
                "covariances": frozen,
                "steps": made,
                "checks": job.checks.model_dump(),
                "layout": steps.CHECK_LAYOUT,
            },
            lambda: steps.check(job, data, covariance, coefficients, refined),
            steps.save_check,
            steps.load_check,
        )
        self._keep(check=outcome)

    def _refined(
        self,
        model: Mapping[str, Any],
        data: steps.JobData,
        covariance: CovarianceResult,
        frozen: str,
    ) -> CovarianceResult | None:
        """The covariances refined on all rows, where the job has a table ``[refine]``."""
        job = self.job
        if job.refine is None:
            return None
        refined = self._step(
            "refine",
            {
                **model,
                "covariances": frozen,
                "refine": job.refine.model_dump(),
                "method": job.covariance.method,
                "seed": job.seed,
            },
            lambda: steps.refine(job, data, covariance, self.report),
            save_covariance,
            load_covariance,
        )
        if self.results.manifest.steps["refine"].edited:
            refined = replace(refined, varcorr=replace(refined.varcorr, freezable=True, why=""))
        self._keep(refined=refined)
        return refined

    def _step[T](
        self,
        name: str,
        inputs: Mapping[str, Any],
        compute: Callable[[], T],
        save: Callable[[T, Path], None],
        load: Callable[[Path], T],
    ) -> T:
        """The step's result, from its artefacts where they may be used again, else computed and saved."""
        key = digest({"step": name, "version": package_version("mixedfx"), **inputs})
        folder = self.folder / name
        record = read_record(folder) if self.resume else None
        if record is not None and record.inputs == key:
            edited = changed_files(folder, record)
            if set(edited) <= {COVARIANCES}:
                self._record_step(replace(record, reused=True, edited=tuple(edited)))
                if edited:
                    logger.warning("%s: %s was edited; it is used as it is now", name, COVARIANCES)
                logger.info("%s: used again, its inputs have not changed", name)
                return load(folder)
        logger.info("%s: started", name)
        record = StepRecord(name, "running", key, _now())
        self._record_step(record)
        start = time.perf_counter()
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                value = compute()
            self._take_warnings(caught)
            record = replace(
                record,
                status="done",
                seconds=time.perf_counter() - start,
                peak_memory_mb=peak_memory_mb(),
            )
            record = write_folder(folder, lambda new: save(value, new), record)
        except BaseException as error:
            seconds = time.perf_counter() - start
            self._record_step(replace(record, status="failed", seconds=seconds, error=_error_text(error)))
            raise
        self._record_step(record)
        logger.info("%s: done in %.1f s", name, record.seconds)
        return value

    def _take_warnings(self, caught: list[warnings.WarningMessage]) -> None:
        """Log each new warning, and keep it for the manifest and the report."""
        known = self.results.manifest.warnings
        new = [text for text in dict.fromkeys(str(w.message) for w in caught) if text not in known]
        for text in new:
            logger.warning("%s", text)
        self._record(warnings=(*known, *new))

    def _keep(self, **outputs: Any) -> None:
        self.results = replace(self.results, **outputs)

    def _record_step(self, record: StepRecord) -> None:
        self._record(steps={**self.results.manifest.steps, record.step: record})

    def _record(self, **fields: Any) -> None:
        self.results = replace(self.results, manifest=replace(self.results.manifest, **fields))
        write_json(self.folder / MANIFEST, self.results.manifest.to_json())

    def _write_report(self) -> None:
        write_text(self.results.report, page(self.results))
        write_text(self.results.short_report, short_report(self.results))


def _error_text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")

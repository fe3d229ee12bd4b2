"""What a run has so far: the job, the results of its finished steps, and the record for the manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixedfx.covariance.result import CovarianceResult
from mixedfx.pipeline.artefacts import StepRecord
from mixedfx.pipeline.config import Job
from mixedfx.pipeline.steps import CheckOutcome, JobData
from mixedfx.subsample import Draw

if TYPE_CHECKING:
    from mixedfx.coefficients.result import CoefficientsResult

FORMAT = "mixedfx-run/1"


@dataclass(frozen=True)
class Manifest:
    """The record of a run.

    Attributes
    ----------
    job
        The job's settings, defaults filled in.
    status
        "running", "done" (as far as was asked for), "stopped" (covariances could not be frozen) or "failed".
    started, finished
        UTC times.
    versions, machine
        Of the packages; of the machine.
    data
        Source, hash of the columns used, rows fitted and held out.
    steps
        Name -> record, in the order run.
    warnings
        Every warning of the run, each once.
    error
        Type and message of the error that ended the run.
    """

    job: Mapping[str, Any]
    status: str
    started: str
    versions: Mapping[str, str]
    machine: Mapping[str, Any]
    finished: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    steps: Mapping[str, StepRecord] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    error: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The manifest as nested dicts."""
        return {"format": FORMAT, **asdict(self)}


@dataclass(frozen=True, eq=False)
class RunResults:
    """The job and what its steps came to; None for steps that were not reached.

    Attributes
    ----------
    job, folder, manifest
        What was asked for, where the artefacts are, and the record.
    data, draws, covariance, coefficients, check
        Outputs of the steps.
    """

    job: Job
    folder: Path
    manifest: Manifest
    data: JobData | None = None
    draws: tuple[Draw, ...] = ()
    covariance: CovarianceResult | None = None
    coefficients: CoefficientsResult | None = None
    check: CheckOutcome | None = None

    @property
    def report(self) -> Path:
        """The report's file."""
        return self.folder / "report.html"

    @property
    def short_report(self) -> Path:
        """The report in short, for a pull request or a chat."""
        return self.folder / "report.md"

    @property
    def status(self) -> str:
        """The verdict's; "stopped" where an error came before it, "open" where it was not to be reached."""
        if self.check is not None:
            return self.check.status
        return "stopped" if self.manifest.error else "open"

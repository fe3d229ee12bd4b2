"""The command line: ``mixedfx run JOB.toml``, one command a step, and ``mixedfx predict``.

Exit status: 0; 2 for an error that says what to do (bad setting, bad data, covariances that could not be
frozen); 3 where the run is complete but its verdict, or that of one of its models, is "fail".
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mixedfx.errors import MixedfxError

FAILED_VERDICT = 3

app = typer.Typer(
    name="mixedfx",
    help="Mixed models with huge crossed random effects: covariances from a sample, coefficients for all.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

JobFile = Annotated[Path, typer.Argument(metavar="JOB.toml", help="The job: formula, data and settings.")]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="Folder of the run, instead of the job's output.folder.")
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress; errors and the result only.")]


class Kind(StrEnum):
    """Scales that `predict` writes."""

    RESPONSE = "response"
    LINK = "link"
    CLASS = "class"


class NewLevels(StrEnum):
    """What `predict` does with levels that the fit did not have."""

    POPULATION = "population"
    ERROR = "error"


@app.command()
def run(
    job: JobFile,
    output: Output = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Use finished steps again where what they rest on has not changed."),
    ] = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Run a whole job: subsample, covariance, coefficients, check, report.

    A killed run goes on with --resume. Without it all steps run anew and replace those of an earlier run of
    the same job; a folder with a run of another job is refused.
    """
    _run(job, output, "check", resume, quiet, debug)


@app.command()
def covariance(job: JobFile, output: Output = None, quiet: Quiet = False, debug: Debug = False) -> None:
    """Stage 1 of a job: learn the covariances (steps that are up to date are used again)."""
    _run(job, output, "covariance", True, quiet, debug)


@app.command()
def refine(job: JobFile, output: Output = None, quiet: Quiet = False, debug: Debug = False) -> None:
    """Refine the covariances on all rows, for a job with a table `refine`.

    It starts from covariance/covariances.csv, which may be edited first. Steps that are up to date are used again.
    """
    _run(job, output, "refine", True, quiet, debug)


@app.command()
def coefficients(job: JobFile, output: Output = None, quiet: Quiet = False, debug: Debug = False) -> None:
    """Stage 2 of a job: estimate all coefficients at the covariances in covariance/covariances.csv.

    That file may be edited first. Steps that are up to date are used again.
    """
    _run(job, output, "coefficients", True, quiet, debug)


@app.command()
def check(job: JobFile, output: Output = None, quiet: Quiet = False, debug: Debug = False) -> None:
    """Compare the stages of a job (steps that are up to date are used again)."""
    _run(job, output, "check", True, quiet, debug)


@app.command()
def report(job: JobFile, output: Output = None, quiet: Quiet = False, debug: Debug = False) -> None:
    """Write report.html of a job anew (steps that are up to date are used again, others are run)."""
    _run(job, output, "check", True, quiet, debug)


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(help="A saved fit: the coefficients folder of a run.")],
    data: Annotated[Path, typer.Argument(help="Rows to predict: Parquet or CSV, file or folder.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write: .parquet or .csv.")],
    interval: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Also lower and upper limits of this coverage, e.g. 0.9."),
    ] = None,
    kind: Annotated[Kind, typer.Option("--type", help="Scale of the prediction.")] = Kind.RESPONSE,
    new_levels: Annotated[
        NewLevels, typer.Option(help="Levels the fit did not have: the population's mean, or an error.")
    ] = NewLevels.POPULATION,
    debug: Debug = False,
) -> None:
    """Predict new rows from a saved fit; writes one row a row of the data, in its order."""
    with _errors_shown(debug):
        from mixedfx.pipeline.prediction import write_predictions

        n = write_predictions(
            model, data, output, interval=interval, kind=kind.value, new_levels=new_levels.value
        )
        typer.echo(f"{n:,} predictions: {output}")


def _run(job: Path, output: Path | None, until: str, resume: bool, quiet: bool, debug: bool) -> None:
    with _errors_shown(debug):
        _log_to_stderr(logging.WARNING if quiet else logging.INFO)
        from mixedfx.pipeline.conclusion import conclusion
        from mixedfx.pipeline.config import load_jobs
        from mixedfx.pipeline.runner import run_job

        statuses = []
        for name, own in load_jobs(job).items():
            folder = None if output is None else output / name
            results = run_job(own, folder, resume=resume, until=until, progress=not quiet)
            typer.echo(f"{name}: {own.formula}\n{conclusion(results)}\n" if name else conclusion(results))
            statuses.append(results.status)
    if "fail" in statuses:
        raise typer.Exit(FAILED_VERDICT)


@contextmanager
def _errors_shown(debug: bool) -> Iterator[None]:
    """Print an error of the package as a short red message instead of a traceback; exit status 2."""
    try:
        yield
    except MixedfxError as error:
        if debug:
            raise
        typer.secho(f"error: {error}", fg=typer.colors.RED, err=True)
        raise typer.Exit(2) from None


class _StderrHandler(logging.Handler):
    """Writes to what `sys.stderr` is now: progress bars put themselves in its place while they are shown."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stderr, flush=True)


def _log_to_stderr(level: int) -> None:
    logger = logging.getLogger("mixedfx")
    logger.setLevel(level)
    if not any(isinstance(handler, _StderrHandler) for handler in logger.handlers):
        handler = _StderrHandler()
        terminal = sys.stderr.isatty()
        form = "%(message)s" if terminal else "%(asctime)s %(levelname)s %(message)s"
        handler.setFormatter(logging.Formatter(form))
        logger.addHandler(handler)

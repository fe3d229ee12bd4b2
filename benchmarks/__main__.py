"""Benchmarks: `run`, `list`, `table`; studies: `coverage`, `refinement`, `report`, `subsampling`, `mcmc`,
`formulations`, `sbc`, `agreement`.

From the repository's root.
"""

from __future__ import annotations

from datetime import UTC, datetime
from fnmatch import fnmatch
from pathlib import Path
from typing import Annotated

import typer

from benchmarks import studies
from benchmarks.libraries import LIBRARIES, Interpreters, Library
from benchmarks.machine import describe_machine, git_commit, load_average, pin_cores
from benchmarks.options import Folder, MovieLens, Name, console, matching, say
from benchmarks.problem import Problem, Sources
from benchmarks.problems import PROBLEMS
from benchmarks.results import RESULTS, read_results, write_results
from benchmarks.run import Row, Settings, run_problem
from benchmarks.table import print_tables

TODAY = f"{datetime.now(UTC):%Y-%m-%d}"

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__, pretty_exceptions_enable=False)


@app.command("run")
def run(
    problems: Annotated[
        list[str] | None, typer.Argument(help="Names or patterns such as 'insteval-*'; all by default.")
    ] = None,
    libraries: Annotated[
        str, typer.Option(help="Comma-separated, in the order in which they run first.")
    ] = ",".join(LIBRARIES),
    name: Name = TODAY,
    results: Folder = RESULTS,
    repetitions: Annotated[int, typer.Option(min=0, help="Warm fits of each library.")] = 5,
    threads: Annotated[int, typer.Option(min=1, help="Threads and cores for each library.")] = 2,
    limit: Annotated[float, typer.Option(help="Seconds that one fit may take.")] = 120.0,
    compile: Annotated[bool, typer.Option(help="Measure the first fit without compiled code too.")] = True,
    movielens: MovieLens = None,
    python: Annotated[
        str, typer.Option(envvar="MIXEDFX_BENCH_PYTHON", help="Python that has the other libraries.")
    ] = str(Path(__file__).parent / ".venv" / "bin" / "python"),
    rscript: Annotated[str, typer.Option(help="Rscript that has lme4.")] = "Rscript",
    note: Annotated[str, typer.Option(help="Kept in config.yaml.")] = "",
) -> None:
    """Measure libraries on problems, write results/NAME and print tables."""
    chosen = _matching(problems or ["*"])
    contenders = [_library(library) for library in libraries.split(",")]
    settings = Settings(repetitions, threads, limit, compile)
    sources = Sources.of(movielens)
    pin_cores(threads)
    config = {
        "name": name,
        "date": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "note": note,
        "commit": git_commit(),
        "repetitions": repetitions,
        "threads": threads,
        "limit": limit,
        "machine": describe_machine(),
        "load_before": load_average(),
        "problems": {},
    }
    if config["load_before"] > 0.5:
        say(f"The machine is busy (load {config['load_before']}): times will be too long.")
    rows: list[Row] = []
    for problem in chosen:
        outcome = run_problem(problem, contenders, Interpreters(python, rscript), sources, settings, say)
        rows += outcome.rows
        config["problems"][problem.name] = outcome.description
        # After every problem: what is done is kept if a later one is interrupted.
        write_results(results / name, rows, config)
    print_tables(read_results(results / name), console)
    say(f"Written to {results / name}")


STUDIES = (
    studies.coverage,
    studies.refinement,
    studies.report,
    studies.subsampling,
    studies.mcmc,
    studies.formulations,
    studies.sbc,
)
for study in STUDIES:
    app.command(study.__name__)(study)


@app.command("agreement")
def agreement_page(
    cases: Annotated[
        list[str] | None, typer.Argument(help="Names or patterns of golden models; all by default.")
    ] = None,
    output: Annotated[Path, typer.Option(help="The page.")] = Path(__file__).parent / "agreement.md",
) -> None:
    """Fit every model of tests/golden and write R's numbers and ours side by side."""
    import mixedfx as mfx
    from benchmarks.agreement import agreement, test_names, tests_agreement, versions
    from benchmarks.agreement_page import page
    from tests import goldens

    def chosen(names: list[str]) -> list[str]:
        return [name for name in names if any(fnmatch(name, pattern) for pattern in cases or ["*"])]

    names = chosen(goldens.cases())
    if not names:
        raise typer.BadParameter(f"no such golden model; there are: {', '.join(goldens.cases())}")
    models = []
    for name in names:
        models.append(agreement(name))
        say(f"{name:28} " + "  ".join(f"{kind} {value:.0e}" for kind, value in models[-1].overview().items()))
    tests = list(tests_agreement(chosen(test_names())))
    output.write_text(page(models, tests, versions(names), mfx.__version__), encoding="utf-8")
    say(f"Written to {output}")


@app.command("list")
def list_all() -> None:
    """Name all problems and libraries."""
    for problem in PROBLEMS.values():
        say(f"{problem.name:28} {problem.task:13} {problem.family:10} {problem.formula}")
    say(f"\nlibraries: {', '.join(LIBRARIES)}")


@app.command("table")
def table(
    name: Annotated[str, typer.Argument(help="Folder in --results.")],
    results: Annotated[Path, typer.Option(help="Where that folder is.")] = RESULTS,
) -> None:
    """Print the tables of an earlier run."""
    print_tables(read_results(results / name), console)


def _matching(patterns: list[str]) -> list[Problem]:
    for pattern in patterns:
        if not any(fnmatch(name, pattern) for name in PROBLEMS):
            raise typer.BadParameter(f"no problem '{pattern}'; there are: {', '.join(PROBLEMS)}")
    return matching(PROBLEMS.values(), patterns)


def _library(name: str) -> Library:
    if name not in LIBRARIES:
        raise typer.BadParameter(f"no library '{name}'; there are: {', '.join(LIBRARIES)}")
    return LIBRARIES[name]


if __name__ == "__main__":
    app()

"""Benchmarks: `run`, `list`, `table`; studies: `coverage`, `refinement`, `report`, `subsampling`, `mcmc`,
`formulations`, `sbc`, `agreement`.

From the repository's root.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from fnmatch import fnmatch
from pathlib import Path
from typing import Annotated, Literal, cast

import numpy as np
import pandas as pd
import typer
from rich.console import Console

from benchmarks.libraries import LIBRARIES, Interpreters, Library
from benchmarks.machine import describe_machine, git_commit, load_average, pin_cores
from benchmarks.problem import Problem, Sources, Unavailable
from benchmarks.problems import PROBLEMS
from benchmarks.results import RESULTS, read_config, read_results, write_config, write_results
from benchmarks.run import Row, Settings, run_problem
from benchmarks.table import print_tables

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__, pretty_exceptions_enable=False)
# Tables need some 160 characters, which files and pipes can take.
console = Console() if Console().is_terminal else Console(width=160)


def say(text: str) -> None:
    """Print as it is: "[...]" is no markup here, and lines are not broken."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


@app.command("run")
def run(
    problems: Annotated[
        list[str] | None, typer.Argument(help="Names or patterns such as 'insteval-*'; all by default.")
    ] = None,
    libraries: Annotated[
        str, typer.Option(help="Comma-separated, in the order in which they run first.")
    ] = ",".join(LIBRARIES),
    name: Annotated[str, typer.Option(help="Of the folder in --results.")] = f"{datetime.now(UTC):%Y-%m-%d}",
    results: Annotated[Path, typer.Option(help="Where that folder goes.")] = RESULTS,
    repetitions: Annotated[int, typer.Option(min=0, help="Warm fits of each library.")] = 5,
    threads: Annotated[int, typer.Option(min=1, help="Threads and cores for each library.")] = 2,
    limit: Annotated[float, typer.Option(help="Seconds that one fit may take.")] = 120.0,
    compile: Annotated[bool, typer.Option(help="Measure the first fit without compiled code too.")] = True,
    movielens: Annotated[
        str | None,
        typer.Option(envvar="MIXEDFX_MOVIELENS", help="Folder of MovieLens Parquet files, or 'download'."),
    ] = None,
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
    source = cast(Literal["download"], movielens) if movielens == "download" else movielens
    sources = Sources(Path(source) if source not in (None, "download") else source)
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


@app.command("coverage")
def coverage_study(
    data_sets: Annotated[int, typer.Option(min=2, help="Simulated data sets a family.")] = 200,
    name: Annotated[str, typer.Option(help="Of the folder in --results.")] = "coverage",
    results: Annotated[Path, typer.Option(help="Where that folder goes.")] = RESULTS,
) -> None:
    """Measure how often stage 2's 90 % intervals hold the truth, family by family, and write results/NAME."""
    from benchmarks.coverage import FAMILIES, coverage

    rows = []
    for row in coverage(FAMILIES, data_sets):
        rows.append(asdict(row))
        say(
            f"{row.family:12} {row.kind:20} {row.covered:7.2%} +- {row.standard_error:.2%} of {row.coefficients:,}"
        )
    folder = results / name
    folder.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv(folder / "coverage.csv", index=False, float_format="%.5f")
    config = {"data_sets": data_sets, "commit": git_commit(), "machine": describe_machine()}
    write_config(folder, config)
    say(f"Written to {folder}")


@app.command("refinement")
def refinement_study(
    families: Annotated[str, typer.Option(help="Comma-separated.")] = "gaussian,bernoulli",
    share: Annotated[float, typer.Option(min=1e-3, max=1, help="Of MovieLens-32M's rows and levels.")] = 1.0,
    seeds: Annotated[int, typer.Option(min=1, help="Sets of probes.")] = 2,
    threads: Annotated[int, typer.Option(min=1, help="Threads and cores.")] = 2,
    name: Annotated[str, typer.Option(help="Of the folder in --results.")] = "refinement",
    results: Annotated[Path, typer.Option(help="Where that folder goes.")] = RESULTS,
) -> None:
    """Refine covariances on a simulation of MovieLens-32M's shape, and write results/NAME."""
    pin_cores(threads)
    from benchmarks.refinement import refinement

    folder = results / name
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "share": share,
        "threads": threads,
        "commit": git_commit(),
        "machine": describe_machine(),
        "load_before": load_average(),
    }
    rows = []
    for family in families.split(","):
        for row in refinement(family, share, seeds):
            rows.append(asdict(row))
            say(
                f"{row.family:10} seed {row.seed} {row.seconds:7.1f} s {row.peak_gib:5.2f} GiB  {row.entry:9}"
                f"{row.estimate:9.5f} se {row.se:.5f} (truth {row.truth:.5f}; Monte Carlo {row.monte_carlo_se:.1e})"
            )
        # After every family: what is done is kept if a later one is interrupted.
        pd.DataFrame(rows).to_csv(folder / "refinement.csv", index=False, float_format="%.7g")
        write_config(folder, config)
    say(f"Written to {folder}")


@app.command("report")
def report_study(
    families: Annotated[str, typer.Option(help="Comma-separated.")] = "gaussian,bernoulli",
    share: Annotated[float, typer.Option(min=1e-3, max=1, help="Of 5,000,000 rows and 10^6 users.")] = 1.0,
    threads: Annotated[int, typer.Option(min=1, help="Threads and cores.")] = 2,
    name: Annotated[str, typer.Option(help="Of the folder in --results.")] = "report",
    results: Annotated[Path, typer.Option(help="Where that folder goes.")] = RESULTS,
) -> None:
    """Time comparison, plots and report of jobs with a million users, and write results/NAME."""
    pin_cores(threads)
    from benchmarks.report import reports

    folder = results / name
    folder.mkdir(parents=True, exist_ok=True)
    config = {"share": share, "threads": threads, "commit": git_commit(), "machine": describe_machine()}
    config["load_before"] = load_average()
    rows = []
    for row in reports(share, tuple(families.split(","))):
        rows.append(asdict(row))
        say(
            f"{row.family:10}{row.model:11}{row.check_seconds:7.1f} s + page {row.page_seconds:.1f} s "
            f"{row.megabytes:6.2f} MB {row.peak_gib:5.2f} GiB  {row.status}"
        )
        pd.DataFrame(rows).to_csv(folder / "report.csv", index=False, float_format="%.4g")
        write_config(folder, config)
    say(f"Written to {folder}")


@app.command("subsampling")
def subsampling_study(
    cases: Annotated[
        list[str] | None, typer.Argument(help="Names or patterns such as 'movielens-*'; all by default.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=2, help="Draws of each strategy.")] = 16,
    scored: Annotated[int, typer.Option(min=1, help="How many of them are scored on held-out rows.")] = 4,
    movielens: Annotated[
        str | None,
        typer.Option(envvar="MIXEDFX_MOVIELENS", help="Folder of MovieLens Parquet files, or 'download'."),
    ] = None,
    name: Annotated[str, typer.Option(help="Of the folder in --results.")] = "subsampling",
    results: Annotated[Path, typer.Option(help="Where that folder goes.")] = RESULTS,
    output: Annotated[Path, typer.Option(help="The page.")] = Path(__file__).parent
    / "subsampling"
    / "README.md",
) -> None:
    """Compare covariances from subsamples with those of all rows; write results/NAME and a page of tables."""
    from benchmarks.subsampling.cases import CASES
    from benchmarks.subsampling.page import page
    from benchmarks.subsampling.study import study

    chosen = [case for case in CASES if any(fnmatch(case.name, pattern) for pattern in cases or ["*"])]
    if not chosen:
        raise typer.BadParameter(f"no such case; there are: {', '.join(case.name for case in CASES)}")
    source = cast(Literal["download"], movielens) if movielens == "download" else movielens
    sources = Sources(Path(source) if source not in (None, "download") else source)
    folder = results / name
    folder.mkdir(parents=True, exist_ok=True)
    table = folder / "subsampling.csv"
    kept = pd.read_csv(table) if table.exists() else pd.DataFrame()
    for case in chosen:
        try:
            rows = pd.DataFrame([asdict(row) for row in study(case, sources, seeds, scored, say)])
        except Unavailable as reason:
            say(f"{case.name}: skipped, {reason}")
            continue
        # After every case: what is done is kept, and cases that are not run again keep their lines.
        others = kept[kept["case"] != case.name] if len(kept) else kept
        kept = pd.concat([others, rows], ignore_index=True)
        kept.to_csv(table, index=False, float_format="%.6g")
        runs = read_config(folder)
        runs[case.name] = {"seeds": seeds, "scored": scored, "commit": git_commit()}
        write_config(folder, runs | {"machine": describe_machine()})
    if len(kept):
        output.write_text(page(kept), encoding="utf-8")
        say(f"Written to {table} and {output}")


@app.command("mcmc")
def sampling_study(
    cases: Annotated[
        list[str] | None, typer.Argument(help="Names or patterns such as 'verbagg-*'; all by default.")
    ] = None,
    methods: Annotated[str, typer.Option(help="Comma-separated.")] = "nuts,marginal,vi",
    seeds: Annotated[int, typer.Option(min=1, help="Fits of each method.")] = 3,
    threads: Annotated[int, typer.Option(min=1, help="Threads and cores.")] = 2,
    reference: Annotated[bool, typer.Option(help="Make the long runs again, where they are kept.")] = False,
    movielens: Annotated[
        str | None,
        typer.Option(envvar="MIXEDFX_MOVIELENS", help="Folder of MovieLens Parquet files, or 'download'."),
    ] = None,
    name: Annotated[str, typer.Option(help="Of the folder in --results.")] = "mcmc",
    results: Annotated[Path, typer.Option(help="Where that folder goes.")] = RESULTS,
) -> None:
    """Sample the posteriors of some models by each method; effective draws a second, and agreement with a long run."""
    pin_cores(threads)
    from benchmarks.sampling import CASES, long_run, sampling

    source = cast(Literal["download"], movielens) if movielens == "download" else movielens
    sources = Sources(Path(source) if source not in (None, "download") else source)
    folder = results / name
    folder.mkdir(parents=True, exist_ok=True)
    kept, long = (_table(folder / file) for file in ("mcmc.csv", "long-runs.csv"))
    for case in (c for c in CASES if any(fnmatch(c.name, pattern) for pattern in cases or ["*"])):
        try:
            data = case.load(sources)
        except Unavailable as reason:
            say(f"{case.name}: skipped, {reason}")
            continue
        load = load_average()
        own = long[long["case"] == case.name] if len(long) else long
        if case.reference and (reference or not len(own)):
            others = long[long["case"] != case.name] if len(long) else long
            own = long_run(case, data)
            long = pd.concat([others, own], ignore_index=True)
            long.to_csv(folder / "long-runs.csv", index=False, float_format="%.6g")
        rows = []
        for row in sampling(case, data, tuple(methods.split(",")), seeds, own if len(own) else None):
            rows.append(asdict(row))
            say(
                f"{row.case:16} {row.method:9} seed {row.seed} {row.seconds:6.1f} s"
                f" ({row.compile_seconds:4.1f} compiling;"
                f" {row.cpu_seconds:5.1f} of processors)"
                f" ESS {row.ess:6.0f}, {row.ess_per_second:6.1f} a second  R-hat {row.r_hat:.4f}  k {row.pareto_k:.2f}"
                f"  z {row.z:.1f}  shift {row.shift:.2f}"
            )
        if not rows:
            continue
        again = {(row["case"], row["method"], row["seed"]) for row in rows}
        if len(kept):
            same = [key in again for key in zip(kept["case"], kept["method"], kept["seed"], strict=True)]
            kept = kept[~np.array(same)]
        kept = pd.concat([kept, pd.DataFrame(rows)], ignore_index=True)
        # After every case: what is done is kept, and what is not run again keeps its lines.
        kept.to_csv(folder / "mcmc.csv", index=False, float_format="%.5g")
        run = {"threads": threads, "load_before": load, "commit": git_commit()}
        write_config(folder, read_config(folder) | {case.name: run, "machine": describe_machine()})
    say(f"Written to {folder}")


@app.command("formulations")
def formulation_study(
    movielens: Annotated[
        str | None,
        typer.Option(envvar="MIXEDFX_MOVIELENS", help="Folder of MovieLens Parquet files, or 'download'."),
    ] = None,
    name: Annotated[str, typer.Option(help="Of the folder in --results.")] = "mcmc",
    results: Annotated[Path, typer.Option(help="Where that folder goes.")] = RESULTS,
) -> None:
    """NUTS in the usual coordinates and in mixedfx's, on slopes of InstEval and of MovieLens-100K."""
    from benchmarks.formulations import USERS, formulations
    from benchmarks.sampling import CASES

    source = cast(Literal["download"], movielens) if movielens == "download" else movielens
    sources = Sources(Path(source) if source not in (None, "download") else source)
    folder = results / name
    folder.mkdir(parents=True, exist_ok=True)
    kept = _table(folder / "formulations.csv")
    for case in (c for c in CASES if c.name in ("insteval-slopes", "ml100k-slopes")):
        try:
            data = case.load(sources)
        except Unavailable as reason:
            say(f"{case.name}: skipped, {reason}")
            continue
        if case.name == "ml100k-slopes":
            users = np.random.default_rng(0).choice(data["user"].unique(), USERS, replace=False)
            data = data[data["user"].isin(users)]
        rows = []
        for row in formulations(case, data):
            rows.append(asdict(row))
            say(
                f"{row.case:16} {row.formulation:28} ESS {row.ess:6.0f}  R-hat {row.r_hat:.3f}  steps {row.steps:6.1f}"
                f"  {row.ess_per_gradient:6.2f} per 1,000 gradients  {row.divergences} divergences  {row.seconds:.0f} s"
            )
        kept = kept[kept["case"] != case.name] if len(kept) else kept
        kept = pd.concat([kept, pd.DataFrame(rows)], ignore_index=True)
        kept.to_csv(folder / "formulations.csv", index=False, float_format="%.5g")
        run = {"commit": git_commit()}
        write_config(folder, read_config(folder) | {f"formulations {case.name}": run})
    say(f"Written to {folder}")


def _table(file: Path) -> pd.DataFrame:
    return pd.read_csv(file) if file.exists() else pd.DataFrame()


@app.command("sbc")
def simulation_based_calibration(
    data_sets: Annotated[int, typer.Option(min=10, help="Simulated data sets.")] = 200,
    family: Annotated[str, typer.Option(help="Of the response.")] = "gaussian",
    method: Annotated[str, typer.Option(help="nuts, marginal or vi.")] = "nuts",
    name: Annotated[str, typer.Option(help="Of the folder in --results.")] = "sbc",
    results: Annotated[Path, typer.Option(help="Where that folder goes.")] = RESULTS,
) -> None:
    """Rank true covariances among the draws of their posteriors; ranks are uniform where the sampler is right."""
    from benchmarks.calibration import calibration

    rows = []
    for row in calibration(family, method, data_sets):
        rows.append(asdict(row) | {"counts": " ".join(map(str, row.counts))})
        say(f"{row.entry:24} {' '.join(f'{count:4d}' for count in row.counts)}   p = {row.p_value:.3f}")
    folder = results / name
    folder.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv(folder / f"{family}-{method}.csv", index=False, float_format="%.5f")
    run = {"data_sets": data_sets, "commit": git_commit()}
    write_config(folder, read_config(folder) | {f"{family}-{method}": run, "machine": describe_machine()})
    say(f"Written to {folder}")


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
    return [p for p in PROBLEMS.values() if any(fnmatch(p.name, pattern) for pattern in patterns)]


def _library(name: str) -> Library:
    if name not in LIBRARIES:
        raise typer.BadParameter(f"no library '{name}'; there are: {', '.join(LIBRARIES)}")
    return LIBRARIES[name]


if __name__ == "__main__":
    app()

"""Commands that measure mixedfx alone: each study writes tables and config.yaml into results/NAME."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from benchmarks.machine import describe_machine, git_commit, load_average, pin_cores
from benchmarks.options import Folder, MovieLens, Name, Threads, matching, say
from benchmarks.problem import Sources, Unavailable
from benchmarks.results import RESULTS, add_to_config, read_table, write_config, write_table

Families = Annotated[str, typer.Option(help="Comma-separated.")]


def coverage(
    data_sets: Annotated[int, typer.Option(min=2, help="Simulated data sets a family.")] = 200,
    name: Name = "coverage",
    results: Folder = RESULTS,
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
    write_table(folder / "coverage.csv", rows, "%.5f")
    write_config(folder, {"data_sets": data_sets, "commit": git_commit(), "machine": describe_machine()})
    say(f"Written to {folder}")


def refinement(
    families: Families = "gaussian,bernoulli",
    share: Annotated[float, typer.Option(min=1e-3, max=1, help="Of MovieLens-32M's rows and levels.")] = 1.0,
    seeds: Annotated[int, typer.Option(min=1, help="Sets of probes.")] = 2,
    threads: Threads = 2,
    name: Name = "refinement",
    results: Folder = RESULTS,
) -> None:
    """Refine covariances on a simulation of MovieLens-32M's shape, and write results/NAME."""
    pin_cores(threads)
    from benchmarks.refinement import refinement

    folder, rows, config = results / name, [], _measured(share, threads)
    for family in families.split(","):
        for row in refinement(family, share, seeds):
            rows.append(asdict(row))
            say(
                f"{row.family:10} seed {row.seed} {row.seconds:7.1f} s {row.peak_gib:5.2f} GiB  {row.entry:9}"
                f"{row.estimate:9.5f} se {row.se:.5f} (truth {row.truth:.5f}; Monte Carlo {row.monte_carlo_se:.1e})"
            )
        # After every family: what is done is kept if a later one is interrupted.
        write_table(folder / "refinement.csv", rows, "%.7g")
        write_config(folder, config)
    say(f"Written to {folder}")


def report(
    families: Families = "gaussian,bernoulli",
    share: Annotated[float, typer.Option(min=1e-3, max=1, help="Of 5,000,000 rows and 10^6 users.")] = 1.0,
    threads: Threads = 2,
    name: Name = "report",
    results: Folder = RESULTS,
) -> None:
    """Time comparison, plots and report of jobs with a million users, and write results/NAME."""
    pin_cores(threads)
    from benchmarks.report import reports

    folder, rows, config = results / name, [], _measured(share, threads)
    for row in reports(share, tuple(families.split(","))):
        rows.append(asdict(row))
        say(
            f"{row.family:10}{row.model:11}{row.check_seconds:7.1f} s + page {row.page_seconds:.1f} s "
            f"{row.megabytes:6.2f} MB {row.peak_gib:5.2f} GiB  {row.status}"
        )
        write_table(folder / "report.csv", rows, "%.4g")
        write_config(folder, config)
    say(f"Written to {folder}")


def subsampling(
    cases: Annotated[
        list[str] | None, typer.Argument(help="Names or patterns such as 'movielens-*'; all by default.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=2, help="Draws of each strategy.")] = 16,
    scored: Annotated[int, typer.Option(min=1, help="How many of them are scored on held-out rows.")] = 4,
    movielens: MovieLens = None,
    name: Name = "subsampling",
    results: Folder = RESULTS,
    output: Annotated[Path, typer.Option(help="The page.")] = Path(__file__).parent
    / "subsampling"
    / "README.md",
) -> None:
    """Compare covariances from subsamples with those of all rows; write results/NAME and a page of tables."""
    from benchmarks.subsampling.cases import CASES
    from benchmarks.subsampling.page import page
    from benchmarks.subsampling.study import study

    chosen = matching(CASES, cases)
    if not chosen:
        raise typer.BadParameter(f"no such case; there are: {', '.join(case.name for case in CASES)}")
    sources = Sources.of(movielens)
    folder = results / name
    file = folder / "subsampling.csv"
    for case in chosen:
        try:
            rows = [asdict(row) for row in study(case, sources, seeds, scored, say)]
        except Unavailable as reason:
            say(f"{case.name}: skipped, {reason}")
            continue
        write_table(file, rows, "%.6g", keys=("case",))
        run = {"seeds": seeds, "scored": scored, "commit": git_commit()}
        add_to_config(folder, {case.name: run, "machine": describe_machine()})
    table = read_table(file)
    if len(table):
        output.write_text(page(table), encoding="utf-8")
        say(f"Written to {file} and {output}")


def mcmc(
    cases: Annotated[
        list[str] | None, typer.Argument(help="Names or patterns such as 'verbagg-*'; all by default.")
    ] = None,
    methods: Annotated[str, typer.Option(help="Comma-separated.")] = "nuts,marginal,vi",
    seeds: Annotated[int, typer.Option(min=1, help="Fits of each method.")] = 3,
    threads: Threads = 2,
    reference: Annotated[bool, typer.Option(help="Make the long runs again, where they are kept.")] = False,
    movielens: MovieLens = None,
    name: Name = "mcmc",
    results: Folder = RESULTS,
) -> None:
    """Sample the posteriors of some models by each method; effective draws a second, and agreement with a long run."""
    pin_cores(threads)
    from benchmarks.sampling import CASES, long_run, sampling

    sources = Sources.of(movielens)
    folder = results / name
    for case in matching(CASES, cases):
        try:
            data = case.load(sources)
        except Unavailable as reason:
            say(f"{case.name}: skipped, {reason}")
            continue
        load = load_average()
        long = read_table(folder / "long-runs.csv")
        own = long[long["case"] == case.name] if len(long) else long
        if case.reference and (reference or not len(own)):
            own = long_run(case, data)
            write_table(folder / "long-runs.csv", own, "%.6g", keys=("case",))
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
        write_table(folder / "mcmc.csv", rows, "%.5g", keys=("case", "method", "seed"))
        run = {"threads": threads, "load_before": load, "commit": git_commit()}
        add_to_config(folder, {case.name: run, "machine": describe_machine()})
    say(f"Written to {folder}")


def formulations(movielens: MovieLens = None, name: Name = "mcmc", results: Folder = RESULTS) -> None:
    """NUTS in the usual coordinates and in mixedfx's, on slopes of InstEval and of MovieLens-100K."""
    from benchmarks.formulations import USERS, formulations
    from benchmarks.sampling import CASES

    sources = Sources.of(movielens)
    folder = results / name
    for case in matching(CASES, ["insteval-slopes", "ml100k-slopes"]):
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
        write_table(folder / "formulations.csv", rows, "%.5g", keys=("case",))
        add_to_config(folder, {f"formulations {case.name}": {"commit": git_commit()}})
    say(f"Written to {folder}")


def sbc(
    data_sets: Annotated[int, typer.Option(min=10, help="Simulated data sets.")] = 200,
    family: Annotated[str, typer.Option(help="Of the response.")] = "gaussian",
    method: Annotated[str, typer.Option(help="nuts, marginal or vi.")] = "nuts",
    name: Name = "sbc",
    results: Folder = RESULTS,
) -> None:
    """Rank true covariances among the draws of their posteriors; ranks are uniform where the sampler is right."""
    from benchmarks.calibration import calibration

    rows = []
    for row in calibration(family, method, data_sets):
        rows.append(asdict(row) | {"counts": " ".join(map(str, row.counts))})
        say(f"{row.entry:24} {' '.join(f'{count:4d}' for count in row.counts)}   p = {row.p_value:.3f}")
    folder = results / name
    write_table(folder / f"{family}-{method}.csv", rows, "%.5f")
    run = {"data_sets": data_sets, "commit": git_commit()}
    add_to_config(folder, {f"{family}-{method}": run, "machine": describe_machine()})
    say(f"Written to {folder}")


def _measured(share: float, threads: int) -> dict[str, object]:
    """Configuration of what is timed."""
    return {
        "share": share,
        "threads": threads,
        "commit": git_commit(),
        "machine": describe_machine(),
        "load_before": load_average(),
    }

"""Run libraries on a problem, side by side: repetitions take turns, so that a busy moment hits all alike."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.answer import IncompleteAnswer
from benchmarks.case import Case, Model, write_case, write_for_r
from benchmarks.encode import encode
from benchmarks.libraries import Interpreters, Library
from benchmarks.objective import Judge, Judged
from benchmarks.problem import Problem, Sources, Unavailable
from benchmarks.process import Failed, LibraryProcess, Skipped, TooSlow
from mixedfx.design import Design, build_design
from mixedfx.errors import MixedfxError
from mixedfx.formula import parse_formula
from mixedfx.frames import read_columns

Say = Callable[[str], None]

# A library's process may take this many seconds to read the data and arrange them.
READY_LIMIT = 600.0


@dataclass(frozen=True)
class Settings:
    """How to measure.

    Attributes
    ----------
    repetitions
        Warm fits of each library.
    threads
        Threads, and processor cores, that each may use.
    limit
        Seconds that one fit may take; and a library is not asked again once its fits took longer together.
    compile
        Also measure the first fit of a machine that has no compiled code yet, of libraries that compile.
    """

    repetitions: int = 5
    threads: int = 2
    limit: float = 120.0
    compile: bool = True


@dataclass(frozen=True)
class Row:
    """One line of results.csv: a fit, or the reason why there is none.

    Attributes
    ----------
    status
        "ok", "skipped" (the library cannot fit this), "failed" or "timeout"; `reason` says more.
    kind
        "compile": first fit in a fresh process without compiled code from earlier; "cold": first fit in a fresh
        process, import of the library included; "memory": the second, in which memory is measured; "warm": a later
        one, in which only time is.
    memory_bytes
        Peak during the fit above what the process held before it, the data included; NaN where not measured.
    objective, gap, parameter_gap
        Of the first fit's answer, and how far it is from the best answer to this problem: see `benchmarks.objective`.
    details
        What the library tells of its work, as JSON.
    """

    problem: str
    task: str
    rows: int
    library: str
    version: str
    status: str
    reason: str = ""
    kind: str = ""
    repetition: int = 0
    seconds: float = np.nan
    memory_bytes: float = np.nan
    objective: float = np.nan
    gap: float = np.nan
    parameter_gap: float = np.nan
    details: str = ""


@dataclass(frozen=True)
class Outcome:
    """What a run of one problem gives: rows for results.csv, and a description for config.yaml."""

    rows: list[Row]
    description: dict[str, Any]


@dataclass(eq=False)
class _Contender:
    """A library at work on a problem."""

    library: Library
    process: LibraryProcess
    rows: list[Row] = field(default_factory=list)
    active: bool = True

    @property
    def spent(self) -> float:
        """Seconds of its fits so far, compiling apart."""
        return sum(row.seconds for row in self.rows if row.status == "ok" and row.kind != "compile")


def run_problem(
    problem: Problem,
    libraries: Sequence[Library],
    interpreters: Interpreters,
    sources: Sources,
    settings: Settings,
    say: Say,
) -> Outcome:
    """Measure every library on one problem."""
    description: dict[str, Any] = {"formula": problem.formula, "family": problem.family, "task": problem.task}
    if problem.varcorr:
        description["varcorr"] = [list(row) for row in problem.varcorr]
    try:
        data = problem.load(sources)
    except Unavailable as error:
        say(f"{problem.name}: skipped: {error}")
        blank = Row(problem.name, problem.task, 0, "", "", "skipped", str(error))
        return Outcome([replace(blank, library=library.name) for library in libraries], description)
    parsed = parse_formula(problem.formula)
    data = read_columns(data, (*parsed.response_columns, *parsed.columns))
    design = build_design(problem.formula, data, family=problem.family, na="raise")
    levels = {term.name: term.grouping.n_levels for term in design.predictors.terms}
    sizes = ", ".join(f"{count:,} {name}" for name, count in levels.items())
    say(f"{problem.name}: {problem.formula}  [{problem.family}; {design.n_rows:,} rows; {sizes}]")
    with tempfile.TemporaryDirectory(prefix="mixedfx-bench-") as folder:
        case = _write(problem, data, design, Path(folder), libraries)
        del data
        contenders = _measure(case, libraries, interpreters, settings, say)
        rows = _judged(problem, design, case, contenders)
    return Outcome(rows, description | {"rows": design.n_rows, "levels": levels})


def _write(
    problem: Problem, data: pd.DataFrame, design: Design, folder: Path, libraries: Sequence[Library]
) -> Case:
    model = Model(problem.name, problem.formula, problem.family, problem.task)
    varcorr = problem.varcorr_frame() if problem.varcorr else None
    case = write_case(folder, model, data, varcorr, encode(problem, design))
    if any(library.reads_csv for library in libraries):
        write_for_r(case)
    return case


def _measure(
    case: Case, libraries: Sequence[Library], interpreters: Interpreters, settings: Settings, say: Say
) -> list[_Contender]:
    contenders: list[_Contender] = []
    with ExitStack() as stack:
        for library in libraries:
            if settings.compile and library.compiles:
                with _process(case, library, interpreters, settings) as first:
                    once = _Contender(library, first)
                    _ask(case, once, "compile", 0, say)
                compiled = [row for row in once.rows if row.status == "ok"]
            else:
                compiled = []
            process = stack.enter_context(_process(case, library, interpreters, settings))
            contenders.append(_Contender(library, process, compiled))
            for kind in ("cold", "memory"):
                _ask_again(case, contenders[-1], kind, 0, settings, say)
        for repetition in range(1, settings.repetitions + 1):
            first = repetition % len(contenders)
            for contender in contenders[first:] + contenders[:first]:
                _ask_again(case, contender, "warm", repetition, settings, say)
    return contenders


@contextmanager
def _process(
    case: Case, library: Library, interpreters: Interpreters, settings: Settings
) -> Iterator[LibraryProcess]:
    # Compiled code goes to a folder of this run, so that "compile" finds none and "cold" finds what "compile" left.
    cache = {"NUMBA_CACHE_DIR": str(case.folder / "compiled")} if settings.compile else {}
    command = library.command(interpreters, case.model, case.folder)
    log = case.folder / f"{library.name}.log"
    with LibraryProcess(command, log, settings.threads, settings.limit, cache) as process:
        yield process


def _ask_again(
    case: Case, contender: _Contender, kind: str, repetition: int, settings: Settings, say: Say
) -> None:
    """One more fit, unless the library has failed or has had its time."""
    if contender.active and contender.spent < settings.limit:
        _ask(case, contender, kind, repetition, say)


def _ask(case: Case, contender: _Contender, kind: str, repetition: int, say: Say) -> None:
    """One fit, recorded; a contender that fails is not asked again."""
    process = contender.process
    row = Row(
        case.model.name,
        case.model.task,
        case.encoded.n_rows,
        contender.library.name,
        "",
        "ok",
        kind=kind,
        repetition=repetition,
    )
    try:
        if kind in ("compile", "cold"):
            process.start(READY_LIMIT)
        result = process.fit("memory" if kind == "memory" else "fit")
        memory = np.nan if result["memory"] is None else float(result["memory"])
        row = replace(
            row, seconds=float(result["seconds"]), memory_bytes=memory, details=json.dumps(result["details"])
        )
        say(f"  {contender.library.name:12} {kind:8} {row.seconds:9.3f} s")
    except (Skipped, Failed, TooSlow) as error:
        status = {Skipped: "skipped", Failed: "failed", TooSlow: "timeout"}[type(error)]
        row = replace(row, status=status, reason=str(error))
        contender.active = False
        say(f"  {contender.library.name:12} {status}: {error}")
    contender.rows.append(replace(row, version=process.version))


def _judged(problem: Problem, design: Design, case: Case, contenders: Sequence[_Contender]) -> list[Row]:
    """The rows of all contenders with objectives and gaps."""
    judge = Judge(problem, design, case.encoded)
    verdicts: dict[str, Judged] = {}
    rows: list[Row] = []
    for contender in contenders:
        name = contender.library.name
        path = case.folder / f"answer-{name}.csv"
        if path.exists():
            try:
                verdicts[name] = judge(path)
            except (IncompleteAnswer, MixedfxError) as error:
                contender.rows = [replace(row, status="failed", reason=str(error)) for row in contender.rows]
        rows += contender.rows
    if not verdicts:
        return rows
    best = min(verdicts.values(), key=lambda verdict: verdict.objective)
    return [
        row
        if row.status != "ok"
        else replace(
            row,
            objective=verdicts[row.library].objective,
            gap=verdicts[row.library].objective - best.objective,
            parameter_gap=verdicts[row.library].parameter_gap(best),
        )
        for row in rows
    ]

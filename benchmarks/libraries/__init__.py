"""The registry of libraries, and how the process of each is started."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.case import Model


@dataclass(frozen=True)
class Interpreters:
    """Programs that run the libraries: Python of this project, Python with the other libraries, Rscript."""

    others: str
    rscript: str
    own: str = sys.executable


@dataclass(frozen=True)
class Library:
    """One library; its adapter is the file ``bench_<name>`` in this folder.

    `compiles`: it compiles code on its first use on a machine and keeps it on disk.
    """

    name: str
    command: Callable[[Interpreters, Model, Path], list[str]]
    reads_csv: bool = False
    compiles: bool = False


def _own(name: str, *, compiles: bool = False) -> Library:
    def command(programs: Interpreters, _: Model, folder: Path) -> list[str]:
        return [programs.own, "-m", "benchmarks.worker", name, str(folder)]

    return Library(name, command, compiles=compiles)


def _other(name: str) -> Library:
    def command(programs: Interpreters, _: Model, folder: Path) -> list[str]:
        return [programs.others, "-m", "benchmarks.worker", name, str(folder)]

    return Library(name, command)


def _r(name: str) -> Library:
    script = str(Path(__file__).with_name(f"bench_{name}.R"))

    def command(programs: Interpreters, model: Model, folder: Path) -> list[str]:
        return [programs.rscript, script, str(folder), model.formula, model.family, model.task]

    return Library(name, command, reads_csv=True)


LIBRARIES: dict[str, Library] = {
    library.name: library
    for library in (
        _own("mixedfx", compiles=True),
        _own("refine", compiles=True),
        _r("lme4"),
        _r("ordinal"),
        _other("glmm"),
        _other("mixedlm"),
        _other("gpboost"),
        _other("sklearn_l2"),
        _other("statsmodels"),
        _own("zeros"),
    )
}

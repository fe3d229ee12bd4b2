"""Results as tables to read: one a problem, times beside the objective reached, and ratios to mixedfx."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import median

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.run import Row

REFERENCE = "mixedfx"
HEADINGS = (
    "compile s",
    "cold s",
    "warm s",
    "min .. max",
    "x mixedfx",
    "MiB",
    "bytes/row",
    "gap",
    "parameter gap",
)


@dataclass(frozen=True)
class Line:
    """One library on one problem.

    Attributes
    ----------
    rows
        Rows of results.csv.
    """

    rows: tuple[Row, ...]

    @property
    def fits(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.status == "ok")

    def seconds(self, kind: str) -> list[float]:
        return [row.seconds for row in self.fits if row.kind == kind]

    @property
    def time(self) -> float:
        """Median warm seconds; the first fit's for a library too slow to be asked again; NaN where there is no fit."""
        times = self.seconds("warm") or self.seconds("cold")
        return median(times) if times else np.nan

    @property
    def memory_bytes(self) -> float:
        """Of the second fit; of the first, which loads the library too, where there is no second."""
        by_kind = {row.kind: row.memory_bytes for row in self.fits}
        return by_kind.get("memory", by_kind.get("cold", np.nan))

    @property
    def note(self) -> str:
        return "; ".join(f"{row.status}: {row.reason}" for row in self.rows if row.status != "ok")


def print_tables(rows: Sequence[Row], console: Console) -> None:
    """Print a table for each problem."""
    for _, of_problem in groupby(rows, lambda row: row.problem):
        lines = [Line(tuple(group)) for _, group in groupby(of_problem, lambda row: row.library)]
        console.print(_table(lines))


def _table(lines: Sequence[Line]) -> Table:
    first = lines[0].rows[0]
    objectives = [line.fits[0].objective for line in lines if line.fits]
    best = f", best objective {min(objectives):.6f}" if objectives else ""
    table = Table("library", title=f"{first.problem} ({first.task}, {first.rows:,} rows{best})")
    for heading in HEADINGS:
        table.add_column(heading, justify="right")
    table.add_column("")
    reference = next((line.time for line in lines if line.rows[0].library == REFERENCE), np.nan)
    for line in lines:
        table.add_row(
            f"{line.rows[0].library} {line.rows[-1].version}", *_numbers(line, reference), line.note
        )
    return table


def _numbers(line: Line, reference: float) -> list[str]:
    """The line's entries under `HEADINGS`."""
    if not line.fits:
        return [""] * len(HEADINGS)
    fit, warm = line.fits[0], line.seconds("warm")
    return [
        *("".join(f"{seconds:.3f}" for seconds in line.seconds(kind)) for kind in ("compile", "cold")),
        f"{median(warm):.3f}" if warm else "",
        f"{min(warm):.3f} .. {max(warm):.3f}" if warm else "",
        _number(line.time / reference, ".2f"),
        _number(line.memory_bytes / 2**20, ".1f"),
        _number(line.memory_bytes / fit.rows, ".0f"),
        _number(fit.gap, ".2g"),
        _number(fit.parameter_gap, ".1g"),
    ]


def _number(value: float, form: str) -> str:
    return "" if np.isnan(value) else format(value, form)

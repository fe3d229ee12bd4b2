"""The plain report of a run: one HTML file that needs nothing else, in the order in which a reader asks."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

STATUS_WORDS = {
    "ok": "Stages agree",
    "warn": "Read before use",
    "fail": "Do not use",
    "stopped": "Stopped",
    "open": "Not reached",
}

NAMES = {"cg": "CG", "newton": "Newton", "r hat": "R-hat", "ess": "effective size"}
"""How words of the code's names are written."""

NUMBER = re.compile(r"([-+]?[\d,.]+(e[-+]?\d+)?%?)?")


@dataclass(frozen=True)
class Table:
    """A table of text, ready to be shown."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    @property
    def numeric(self) -> tuple[bool, ...]:
        """Which columns hold numbers only, and are set flush right."""
        cells = zip(*self.rows, strict=True)
        return tuple(all(NUMBER.fullmatch(cell) for cell in column) for column in cells)


@dataclass(frozen=True)
class Plot:
    """A picture: its short name, what it shows, how to read it, and its PNG."""

    name: str
    title: str
    note: str
    png: bytes

    @property
    def data_uri(self) -> str:
        return "data:image/png;base64," + base64.b64encode(self.png).decode("ascii")


@dataclass(frozen=True)
class Section:
    """A part of the report: text, then facts (label, value), tables and plots; empty parts are left out."""

    name: str
    title: str
    text: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    tables: tuple[Table, ...] = ()
    plots: tuple[Plot, ...] = field(default=())


def render(title: str, subtitle: str, status: str, sections: Sequence[Section]) -> str:
    """The report as one HTML page; all text is escaped.

    Parameters
    ----------
    title, subtitle
        What was fitted, and to what, in a line each.
    status
        The verdict's "ok", "warn" or "fail"; "stopped" for a run that an error ended before its verdict,
        "open" for one that was not to get there.
    sections
        In the order in which they are shown; the first is the verdict.
    """
    environment = Environment(
        loader=PackageLoader("mixedfx.pipeline"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template("report.html.jinja")
    word = STATUS_WORDS.get(status, status)
    return template.render(title=title, subtitle=subtitle, status=status, status_word=word, sections=sections)


def table_of(frame: pd.DataFrame, title: str = "", note: str = "", limit: int = 60) -> Table:
    """A frame as a `Table`: its columns, each with numbers of one precision, at most `limit` rows."""
    columns = [_show_column(column.head(limit)) for _, column in frame.items()]
    if len(frame) > limit:
        note = f"{note} The first {limit} of {len(frame):,} rows; the run's folder has all.".strip()
    names = tuple(str(column) for column in frame.columns)
    return Table(title, names, tuple(zip(*columns, strict=True)), note)


def side_by_side(frame: pd.DataFrame, note: str = "") -> Table:
    """A table of several methods: the heading of one stands over its estimate, and what follows, "its ..." in the
    frame, is its own."""
    table = table_of(frame, note=note)
    return replace(table, columns=tuple(name.removeprefix("its ") for name in table.columns))


def _show_column(column: pd.Series) -> list[str]:
    """Values as text, floats of similar size with the same decimals so that they can be compared."""
    values = column.tolist()
    sizes = [abs(v) for v in values if isinstance(v, float) and math.isfinite(v) and v != 0]
    if not sizes or all(size.is_integer() for size in sizes) or max(sizes) > 1e5 * min(sizes):
        return [show(value) for value in values]
    decimals = min(max(3 - math.floor(math.log10(min(sizes))), 0), 6)
    fixed = [isinstance(value, float) and math.isfinite(value) for value in values]
    return [f"{v:z,.{decimals}f}" if f else show(v) for v, f in zip(values, fixed, strict=True)]


def facts_of(values: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Statistics as label and text, in their order; nested and empty values are left out."""
    simple = {key: value for key, value in values.items() if isinstance(value, str | int | float | bool)}
    return tuple((words(key), show(value)) for key, value in simple.items() if value != "")


def words(name: str) -> str:
    """A name of the code as words: "newton_iterations" is "Newton iterations"."""
    text = name.replace("_", " ").strip()
    for word, written in NAMES.items():
        text = re.sub(rf"\b{word}\b", written, text)
    return text


def show(value: Any) -> str:
    """A value as a reader wants it: four digits, thousands set apart, nothing for a missing value."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or value is pd.NA or value is pd.NaT:
        return ""
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return _show_float(value)
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:  # numpy's scalars
        return show(value.item())
    return str(value)


def _show_float(value: float) -> str:
    if math.isnan(value):
        return ""
    if value.is_integer() and abs(value) < 1e15:
        return f"{value:,.0f}"
    if abs(value) >= 1e6:
        return f"{value:,.0f}"
    if abs(value) >= 1000:
        return f"{value:,.1f}"
    return f"{value:.4g}"

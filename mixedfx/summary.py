"""What ``summary()`` returns: headed tables and lines, as text in a terminal and as HTML in a notebook."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape

import pandas as pd

WIDTH = 80
"""Of a terminal. Tables are as wide as they have to be."""


@dataclass(frozen=True, eq=False)
class Section:
    """A heading over lines of text and at most one table; an empty heading prints none."""

    heading: str
    lines: tuple[str, ...] = ()
    table: pd.DataFrame | None = None
    show_index: bool = True


@dataclass(frozen=True, eq=False)
class Summary:
    """A title and sections; ``str()`` and ``print()`` give text, notebooks show HTML.

    Examples
    --------
    >>> print(Summary("Fit", (Section("Rows", ("3 rows",)),)))
    Fit
    <BLANKLINE>
    Rows:
    3 rows
    """

    title: str
    sections: tuple[Section, ...]

    def __str__(self) -> str:
        return "\n\n".join([self.title, *(_text(section) for section in self.sections)])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return f"<h3>{escape(self.title)}</h3>" + "".join(_html(section) for section in self.sections)


def _text(section: Section) -> str:
    lines = [f"{section.heading}:"] if section.heading else []
    for line in section.lines:
        lines += _wrapped(line)
    if section.table is not None:
        lines.append(_formatted(section.table).to_string(index=section.show_index, na_rep=""))
    return "\n".join(lines)


def _wrapped(line: str) -> list[str]:
    """A line in lines of a terminal's width; those of a list's item stand below its text."""
    indent = "  " if line.startswith("- ") else ""
    return textwrap.wrap(
        line, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    ) or [""]


def _html(section: Section) -> str:
    parts = [f"<h4>{escape(section.heading)}</h4>"] if section.heading else []
    parts += [f"<p>{escape(line)}</p>" for line in section.lines]
    if section.table is not None:
        table = _formatted(section.table)
        parts.append(_html_table(table.reset_index() if section.show_index else table))
    return "".join(parts)


def _html_table(table: pd.DataFrame) -> str:
    """Numbers flush right, text flush left, with or without a notebook's own style."""
    sides = ["right" if all(map(_is_number, column)) else "left" for _, column in table.items()]
    names = ["" if name == "index" else escape(str(name)) for name in table.columns]

    def row(tag: str, cells: Iterable[str]) -> str:
        style = 'style="text-align: {}; padding: 0 .6em"'
        line = (f"<{tag} {style.format(s)}>{cell}</{tag}>" for s, cell in zip(sides, cells, strict=True))
        return f"<tr>{''.join(line)}</tr>"

    body = "".join(
        row("td", (escape(str(cell)) for cell in cells)) for cells in table.itertuples(index=False)
    )
    return f"<table><thead>{row('th', names)}</thead><tbody>{body}</tbody></table>"


def _is_number(cell: object) -> bool:
    try:
        float(str(cell).replace(",", "") or 0)
    except ValueError:
        return False
    return True


def _formatted(table: pd.DataFrame) -> pd.DataFrame:
    """Numbers with five significant digits, all else as it is."""
    out = table.astype(object)
    for name, column in table.items():
        if pd.api.types.is_float_dtype(column):
            out[name] = ["" if pd.isna(value) else f"{value:.5g}" for value in column]
        else:
            out[name] = [
                "" if value is None or value is pd.NA or value != value else value for value in column
            ]
    return out

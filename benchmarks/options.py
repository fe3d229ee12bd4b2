"""What several commands have in common: options, names or patterns, and how they print."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Annotated, Protocol

import typer
from rich.console import Console

Folder = Annotated[Path, typer.Option(help="Where that folder goes.")]
Name = Annotated[str, typer.Option(help="Of the folder in --results.")]
Threads = Annotated[int, typer.Option(min=1, help="Threads and cores.")]
MovieLens = Annotated[
    str | None,
    typer.Option(envvar="MIXEDFX_MOVIELENS", help="Folder of MovieLens Parquet files, or 'download'."),
]

# Tables need some 160 characters, which files and pipes can take.
console = Console() if Console().is_terminal else Console(width=160)


def say(text: str) -> None:
    """Print as it is: "[...]" is no markup here, and lines are not broken."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


class Named(Protocol):
    @property
    def name(self) -> str: ...


def matching[T: Named](things: Iterable[T], patterns: Sequence[str] | None) -> list[T]:
    """Those whose name fits one of the patterns; all without patterns."""
    return [thing for thing in things if any(fnmatch(thing.name, p) for p in patterns or ["*"])]

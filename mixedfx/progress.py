"""Progress of long computations: bars on a terminal, log lines elsewhere, nothing unless asked for.

The protocol is one function. A solver or sampler takes an argument ``progress`` and writes::

    with reporter(progress) as report:
        for k in range(iterations):
            ...
            report("Newton", k + 1, iterations, f"max|grad| {grad:.1e}")

and whoever calls it passes

* ``None`` or ``False``: nothing is shown;
* ``True``: bars on standard error where that is a terminal, else lines of the logger ``mixedfx``;
* a function ``report(label, done, total=None, note="")``: it gets every call. A `report` that came out of
  `reporter` can be handed on in this way, so that all steps of a job share one display.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from mixedfx.errors import SettingError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID

logger = logging.getLogger("mixedfx")
logger.addHandler(logging.NullHandler())  # quiet unless the caller, or the command line, sets logging up

LOG_INTERVAL = 10.0
"""Seconds between two log lines of one label; its first and last are always written."""


class Report(Protocol):
    """What a computation calls to say how far it is."""

    def __call__(self, label: str, done: float, total: float | None = None, note: str = "") -> None:
        """Say that `done` units of `total` are finished.

        Parameters
        ----------
        label
            What runs, in a word or two: "Newton", "sampling". One label is one bar; a smaller `done` than the
            last one of the same label starts it again.
        done, total
            Units finished, and in all (None where not known). ``done == total`` ends the bar, which then disappears.
        note
            One short remark about the state: "max|grad| 3e-5", "2 divergences".
        """
        ...


@contextmanager
def reporter(progress: bool | Report | None) -> Iterator[Report]:
    """The `Report` that an argument ``progress`` stands for; closes the display that it opened.

    Raises
    ------
    SettingError
        `progress` is neither a bool, None nor callable.

    Examples
    --------
    >>> def show(label, done, total=None, note=""):
    ...     print(f"{label}: {done} of {total}")
    >>> with reporter(show) as report:
    ...     report("Newton", 3, 10)
    Newton: 3 of 10
    """
    check_progress(progress)
    if progress is None or progress is False:
        yield _silent
    elif progress is True:
        if sys.stderr.isatty():
            with _bars() as report:
                yield report
        else:
            yield _LogLines()
    else:
        yield progress


def check_progress(progress: object) -> None:
    """Raise `SettingError` unless `progress` is a bool, None or callable."""
    if not (progress is None or isinstance(progress, bool) or callable(progress)):
        raise SettingError(
            f"progress is {progress!r}, but it must be True, False, None or a function "
            "report(label, done, total, note)"
        )


def _silent(label: str, done: float, total: float | None = None, note: str = "") -> None:
    pass


class _LogLines:
    """Writes the first and last report of a label, and one every `LOG_INTERVAL` seconds between."""

    def __init__(self) -> None:
        self._written: dict[str, tuple[float, float]] = {}  # label -> (time, done) of its last line

    def __call__(self, label: str, done: float, total: float | None = None, note: str = "") -> None:
        now = time.monotonic()
        last_time, last_done = self._written.get(label, (-float("inf"), 0.0))
        finished = total is not None and done >= total
        if finished or done < last_done or now - last_time >= LOG_INTERVAL:
            self._written[label] = (now, done)
            amount = f"{done:g}" if total is None else f"{done:g}/{total:g}"
            logger.info("%s %s%s", label, amount, f" ({note})" if note else "")


@contextmanager
def _bars(console: Console | None = None) -> Iterator[Report]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, console=console or Console(stderr=True), transient=True) as display:

        def report(label: str, done: float, total: float | None = None, note: str = "") -> None:
            if label not in tasks:
                tasks[label] = display.add_task(label, total=total, note=note)
            elif done < display.tasks[display.task_ids.index(tasks[label])].completed:
                display.reset(tasks[label], total=total)
            going_on = total is None or done < total
            display.update(tasks[label], completed=done, total=total, note=note, visible=going_on)

        yield report

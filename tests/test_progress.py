"""The progress protocol: quiet, log lines, bars, a caller's function."""

from __future__ import annotations

import io
import logging

import pytest
from rich.console import Console

from mixedfx import progress
from mixedfx.errors import SettingError
from mixedfx.progress import reporter


@pytest.mark.parametrize("silent", [None, False])
def test_quiet_unless_asked_for(
    silent: bool | None, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, logger="mixedfx"), reporter(silent) as report:
        report("Newton", 1, 2)
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


def test_without_a_terminal_first_last_and_restarts_are_logged(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr", io.StringIO())
    with caplog.at_level(logging.INFO, logger="mixedfx"), reporter(True) as report:
        for done in (1, 2, 3, 4):
            report("Newton", done, 4, f"step {done}")
        report("Newton", 1, 4)
        report("rows", 7)
    assert [r.message for r in caplog.records] == [
        "Newton 1/4 (step 1)",
        "Newton 4/4 (step 4)",
        "Newton 1/4",
        "rows 7",
    ]


def test_log_lines_between_wait_for_the_interval(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr", io.StringIO())
    clock = iter([0.0, 5.0, 11.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with caplog.at_level(logging.INFO, logger="mixedfx"), reporter(True) as report:
        for done in (1, 2, 3):
            report("sampling", done, 100)
    assert [r.message for r in caplog.records] == ["sampling 1/100", "sampling 3/100"]


def test_a_function_gets_every_call_and_can_be_handed_on() -> None:
    calls: list[tuple[object, ...]] = []

    def show(label: str, done: float, total: float | None = None, note: str = "") -> None:
        calls.append((label, done, total, note))

    with reporter(show) as outer, reporter(outer) as inner:
        inner("Newton", 3, 10, "note")
    assert calls == [("Newton", 3, 10, "note")]


def test_bars_show_label_and_note_as_plain_text() -> None:
    screen = io.StringIO()
    with progress._bars(Console(file=screen, force_terminal=True, width=120)) as report:
        report("Newton [bold]", 1, 4)
        report("Newton [bold]", 4, 4, "max|grad| [1e-9]")
        report("Newton [bold]", 2, 4, "again [x]")
    assert "Newton [bold]" in screen.getvalue()
    assert "2/4" in screen.getvalue()
    assert "again [x]" in screen.getvalue()


def test_other_values_are_refused() -> None:
    with pytest.raises(SettingError, match="progress is 'yes'"), reporter("yes"):  # pyright: ignore[reportArgumentType]
        pass

"""The short report: what it holds, and that text from data cannot break it."""

from __future__ import annotations

from pathlib import Path

import pytest
from standins import Stages

from mixedfx.errors import NotFreezableError
from mixedfx.pipeline.config import Job
from mixedfx.pipeline.markdown import markdown
from mixedfx.pipeline.report import Table
from mixedfx.pipeline.runner import run_job


def test_it_has_the_verdict_the_tables_and_the_way_to_the_rest(
    job: Job, stages: Stages, folder: Path
) -> None:
    stages.status = "warn"
    text = run_job(job, folder).short_report.read_text()
    lines = text.splitlines()
    assert lines[0] == "# Read before use: `y ~ 1 + x + (1 | user) + (1 | item)`"
    assert "The stages agree \\<within> their errors." in lines
    assert "- **warn**: slope of stage 2 on stage 1 0.99" in lines
    assert "1 of 2 checks in order." in lines
    assert any(line.startswith("gaussian family; 54 rows fitted, 6 held out") for line in lines)
    assert any(line.startswith("| user | (Intercept) | 0.5") for line in lines)
    assert any(line.startswith("| x | 0.5") for line in lines)
    assert "- user 2: y is 0.5 lower" in text
    assert "[report.html](report.html)" in text


def test_it_is_there_for_a_run_that_stopped(job: Job, stages: Stages, folder: Path) -> None:
    stages.freezable = False
    with pytest.raises(NotFreezableError):
        run_job(job, folder)
    text = (folder / "report.md").read_text()
    assert text.startswith("# Stopped: ")
    assert "R-hat of Sigma\\_user is 1.3" in text
    assert "## Covariances" in text
    assert "## Checks" not in text


def test_text_from_data_is_escaped() -> None:
    table = Table("a|b", ("x|y", "n"), (("<b>*bold*</b> [link] # `code`", "1.5"), ("two\nlines", "2")))
    title, _, head, rule, first, second = markdown(table).splitlines()
    assert title == "**a\\|b**"
    assert head == "| x\\|y | n |"
    assert rule == "| --- | ---: |"
    assert first == "| \\<b>\\*bold\\*\\</b> \\[link] \\# \\`code\\` | 1.5 |"
    assert second == "| two lines | 2 |"


def test_long_tables_are_cut_and_say_so() -> None:
    text = markdown(Table("", ("n",), tuple((str(i),) for i in range(30))))
    assert text.count("\n") == 23
    assert text.endswith("The first 20 of 30 rows.")

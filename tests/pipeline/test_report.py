"""The report: sections in order, everything escaped, nothing from the network, readable numbers."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from standins import Stages, covariance_result

from mixedfx.pipeline.config import Job
from mixedfx.pipeline.report import Section, Table, facts_of, render, show, table_of, words
from mixedfx.pipeline.runner import run_job
from mixedfx.pipeline.sections.checks import checks
from mixedfx.pipeline.sections.covariances import covariances
from mixedfx.pipeline.steps import CheckOutcome

HOSTILE = '<script>alert("x")</script> & </td>'


class Page(HTMLParser):
    """Collects tags, their attributes and the headings; fails on tags that do not close."""

    VOID = frozenset({"meta", "img"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.headings: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "h2":
            self.headings.append(data.strip(": "))


def test_sections_stand_in_the_order_in_which_a_reader_asks(job: Job, stages: Stages, folder: Path) -> None:
    page = Page(run_job(job, folder).report.read_text())
    assert page.headings == [
        "Verdict",
        "What was fitted to what data",
        "Covariances",
        "Fixed effects",
        "Levels that stand out",
        "Checks",
        "Convergence",
        "Provenance",
    ]
    targets = [attrs["href"] for tag, attrs in page.tags if tag == "a"]
    ids = [attrs["id"] for tag, attrs in page.tags if tag == "section"]
    assert targets == [f"#{name}" for name in ids[1:]]
    assert stages.calls


@pytest.mark.usefixtures("stages")
def test_a_page_needs_no_network_and_runs_only_its_own_script(job: Job, folder: Path) -> None:
    text = run_job(job, folder).report.read_text()
    page = Page(text)
    assert not {"link", "iframe", "object"} & {tag for tag, _ in page.tags}
    assert [attrs for tag, attrs in page.tags if tag == "script"] == [{}]
    images = [attrs for tag, attrs in page.tags if tag == "img"]
    assert images
    assert all(attrs["alt"] and str(attrs["src"]).startswith("data:image/png;base64,") for attrs in images)
    assert not re.search(r"(https?:)?//", text.replace("data:image/png;base64,", "").split("</style>")[0])
    assert "prefers-color-scheme: dark" in text


def test_text_from_data_is_escaped_everywhere() -> None:
    table = Table(HOSTILE, (HOSTILE,), ((HOSTILE,),), HOSTILE)
    section = Section("verdict", HOSTILE, HOSTILE, ((HOSTILE, HOSTILE),), (table,))
    text = render(HOSTILE, HOSTILE, "warn", [section, Section("two", HOSTILE)])
    assert text.count("<script") == text.count("\n<script>\n") == 1  # the page's own
    # title, h1, subtitle, two headings, link, text, label, value, caption, column, cell, note
    assert text.count("&lt;script&gt;") == 13
    Page(text)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (True, "yes"),
        (np.False_, "no"),
        (73421, "73,421"),
        (np.float64(0.123456), "0.1235"),
        (1.5e-9, "1.5e-09"),
        (237783.88, "237,783.9"),
        (12.0, "12"),
        (float("nan"), ""),
        (None, ""),
        (pd.NA, ""),
        ("(Intercept)", "(Intercept)"),
    ],
)
def test_values_are_shown_as_readers_want_them(value: object, shown: str) -> None:
    assert show(value) == shown


def test_a_column_of_similar_numbers_has_one_precision() -> None:
    frame = pd.DataFrame({"a": [0.1, 1.38718, np.nan], "b": [1e-9, 5.0, 1e6], "c": [3.0, 4.0, 5.0]})
    table = table_of(frame)
    assert [row[0] for row in table.rows] == ["0.1000", "1.3872", ""]
    assert [row[1] for row in table.rows] == ["1e-09", "5", "1,000,000"]
    assert [row[2] for row in table.rows] == ["3", "4", "5"]
    assert table.numeric == (True, True, True)
    assert table_of(pd.DataFrame({"x": ["4", "four"]})).numeric == (False,)
    assert table_of(pd.DataFrame({"x": [-2e-8, 1e-8]})).rows == (("0.000000",), ("0.000000",))  # no -0


def test_long_tables_are_cut_and_say_so() -> None:
    table = table_of(pd.DataFrame({"x": range(100)}), limit=10)
    assert len(table.rows) == 10
    assert "first 10 of 100" in table.note


def test_statistics_become_words_and_nested_ones_are_left_out() -> None:
    facts = facts_of(
        {"newton_iterations": 3, "cg_iterations": 8, "history": [1, 2], "converged": True, "why": ""}
    )
    assert facts == (("Newton iterations", "3"), ("CG iterations", "8"), ("converged", "yes"))
    assert words("grad_norm") == "grad norm"
    assert words("max_r_hat") == "max R-hat"


def test_covariances_between_coefficients_get_their_column() -> None:
    result = covariance_result(10)
    assert "with" not in covariances(result).tables[0].columns


def test_covariances_of_all_methods_stand_side_by_side() -> None:
    result = covariance_result(10)
    table = result.standard_errors.assign(full=[0.6, np.nan, 1.1], se_full=[0.005, np.nan, 0.01])
    outcome = CheckOutcome("ok", "Fine.", pd.DataFrame(), pd.DataFrame(), table, "REML, 2 steps")
    (shown,) = covariances(result, outcome).tables
    own = ("standard error", "90 % interval")
    assert shown.columns == (
        *("group", "coefficient", "stage 1 (REML)", *own),
        *("sd or correlation", "all rows", *own),
    )
    # 0.5 and 0.6 with 1.645 standard errors of 0.01 and 0.005 on either side.
    user = dict(enumerate(shown.rows[0]))
    assert (user[4], user[8]) == ("0.4836 to 0.5164", "0.5918 to 0.6082")
    assert shown.rows[1][6:] == ("", "", "")
    assert "REML, 2 steps" in covariances(result, outcome).text


def test_limits_say_where_a_value_is_in_order() -> None:
    found = {"statistic": "", "value": 0.99, "error": 0.01, "status": "ok", "says": "fine"}
    rows = [{**found, "expected": e, "threshold": t} for e, t in ((1.0, 0.1), (np.nan, 400.0), (1.0, np.nan))]
    outcome = CheckOutcome("ok", "Fine.", pd.DataFrame(rows), pd.DataFrame(), pd.DataFrame())
    (table,) = checks(outcome).tables
    assert [row[-1] for row in table.rows] == ["1 ± 0.1", "at least 400", "1"]

"""Summaries as text and as HTML."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from mixedfx.summary import Section, Summary

TABLE = pd.DataFrame({"name": ["a<b", None], "value": [123456.789, np.nan], "n": [1, 2]})


def test_text() -> None:
    text = str(Summary("Title", (Section("Things", ("one line",), TABLE, show_index=False),)))
    assert text.splitlines()[:4] == ["Title", "", "Things:", "one line"]
    assert "1.2346e+05" in text
    assert "nan" not in text.lower()


def test_html_is_escaped() -> None:
    html = Summary("A & B", (Section("", (), TABLE),))._repr_html_()
    assert "A &amp; B" in html
    assert "a&lt;b" in html


def test_lines_fit_a_terminal() -> None:
    words = " ".join(["word"] * 40)
    lines = str(Summary("Title", (Section("", (f"- {words}", words)),))).splitlines()[2:]
    assert max(map(len, lines)) <= 80
    assert [line[:2] for line in lines] == ["- ", "  ", "  ", "wo", "wo", "wo"]
    assert " ".join(" ".join(lines).split()) == f"- {words} {words}"


def test_numbers_are_flush_right_in_html() -> None:
    html = Summary("", (Section("", (), TABLE.set_index("name")),))._repr_html_()
    sides = re.findall(r'<th style="text-align: (\w+)', html)
    assert sides == ["left", "right", "right"]

"""Summaries as text and as HTML."""

from __future__ import annotations

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

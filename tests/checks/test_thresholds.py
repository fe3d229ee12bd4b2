"""Thresholds refuse what makes no sense, and statuses follow from effect and chance together."""

from __future__ import annotations

import pytest

from mixedfx.checks.finding import Finding, skipped, table, worst
from mixedfx.checks.thresholds import Thresholds, grade
from mixedfx.checks.verdict import verdict
from mixedfx.errors import SettingError


@pytest.mark.parametrize(
    ("effect", "p_value", "status"),
    [
        (0.05, 0.0, "ok"),  # certain, but small
        (0.5, 0.5, "ok"),  # large, but chance
        (0.5, 0.005, "warn"),
        (0.2, 1e-9, "warn"),
        (0.5, 1e-9, "fail"),
    ],
)
def test_grade(effect: float, p_value: float, status: str) -> None:
    assert grade(effect, (0.1, 0.3), p_value, Thresholds()) == status


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"slope": (0.3, 0.1)}, "slope"),
        ({"sd": (0.0, 0.1)}, "sd"),
        ({"ess": (100.0, 400.0)}, "ess"),
        ({"fail_rate": 0.1, "warn_rate": 0.01}, "fail_rate"),
        ({"warn_rate": 1.5}, "warn_rate"),
    ],
)
def test_settings_that_make_no_sense(settings: dict, named: str) -> None:
    with pytest.raises(SettingError, match=named):
        Thresholds(**settings)


def findings() -> list[Finding]:
    slope = Finding("levels", "user", "slope", "ok", "slope 1.02 for user", 1.02, 0.01, 1.0, 0.1)
    further = Finding("levels", "item", "slope", "ok", "slope 0.95 for item", 0.95, 0.01, 1.0, 0.1)
    warned = Finding("covariances", "user", "sd", "warn", "the variance is too small", remedy="refine it")
    failed = Finding("covariances", "item", "sd", "fail", "the variance is too large", remedy="refine it")
    return [
        slope,
        further,
        warned,
        failed,
        skipped("held-out rows", "held-out rows", "score", "none were given"),
    ]


def test_verdict_leads_with_the_worst_and_says_each_remedy_once() -> None:
    lines = verdict(findings()).splitlines()
    assert lines[0].startswith("Do not use")
    assert lines[1:4] == [
        "- The variance is too large.",
        "- The variance is too small.",
        "What to do: refine it.",
    ]
    assert "slope 0.95 for item (of 2, the furthest off)" in lines[4]
    assert lines[5] == "Not checked: held-out rows, because none were given."


def test_worst_ignores_what_was_skipped() -> None:
    assert worst(findings()) == "fail"
    assert worst(findings()[:3]) == "warn"
    assert worst(findings()[-1:]) == "ok"
    assert worst([]) == "ok"


def test_table_has_a_row_a_finding() -> None:
    frame = table(findings())
    assert list(frame.index) == ["user", "item", "user", "item", "held-out rows"]
    assert frame["status"].tolist() == ["ok", "ok", "warn", "fail", "skipped"]

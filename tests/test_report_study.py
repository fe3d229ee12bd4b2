"""The study of reports of the benchmarks, on a small share of its rows."""

from __future__ import annotations

import pytest

from benchmarks.report import reports


@pytest.mark.slow
def test_jobs_of_all_models_are_reported() -> None:
    found = list(reports(0.002, families=("gaussian",)))
    assert [r.model for r in found] == ["intercepts", "slopes"]
    for reported in found:
        assert (reported.rows, reported.users) == (10_000, 2000)
        assert reported.status in ("ok", "warn")
        assert 0.1 < reported.megabytes < 5
        assert reported.check_seconds > 0

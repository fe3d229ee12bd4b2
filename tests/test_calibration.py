"""Simulation-based calibration of stage 1: true covariances rank uniformly among the draws of their posteriors."""

from __future__ import annotations

import pytest

from benchmarks.calibration import calibration


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "method"), [("gaussian", "marginal"), ("gaussian", "nuts"), ("cumulative", "nuts")]
)
def test_ranks_are_uniform(family: str, method: str) -> None:
    """60 data sets find gross errors, such as a posterior half as wide as it should be (p below 1e-4)."""
    rows = list(calibration(family, method, 60))
    assert [row.entry for row in rows][:4] == [
        "user (Intercept)",
        "user x",
        "user (Intercept),x",
        "item (Intercept)",
    ]
    assert all(sum(row.counts) == 60 for row in rows)
    assert min(row.p_value for row in rows) > 0.002

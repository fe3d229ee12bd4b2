"""Fits that all tests of the comparison share; none of them changes one."""

from __future__ import annotations

import pytest
from two_stages import TwoStages, fit, simulated

from mixedfx.subsample import Subsample


@pytest.fixture(scope="session")
def rows_fit() -> TwoStages:
    """Stage 1 on half of the rows."""
    data, truth = simulated(1)
    return fit(data.iloc[:2700], data.iloc[2700:], truth, Subsample(strategy="rows", n_rows=1500, seed=2))


@pytest.fixture(scope="session")
def per_factor_fit() -> TwoStages:
    """Stage 1 on some levels of each factor, a fit a factor."""
    data, truth = simulated(3)
    return fit(data, data.iloc[:0], truth, Subsample(n_levels=50, seed=4))

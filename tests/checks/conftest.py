"""Fits that all tests of the comparison share; none of them changes one."""

from __future__ import annotations

import pytest
from two_stages import TwoStages, fit, simulated

from mixedfx.checks.compare import Comparison, compare_stages
from mixedfx.coefficients.estimate import estimate_coefficients
from mixedfx.covariance.learn import learn_covariance
from mixedfx.datasets import load_verbagg
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


@pytest.fixture(scope="session")
def yes_no_fit() -> TwoStages:
    """The same of a yes or a no, from more rows."""
    data, truth = simulated(4, rows=7000, family="bernoulli")
    half = Subsample(strategy="rows", n_rows=3500, seed=2)
    return fit(data.iloc[:6300], data.iloc[6300:], truth, half, "bernoulli")


@pytest.fixture(scope="session")
def sound(rows_fit: TwoStages) -> Comparison:
    """With all that there is to compare."""
    return compare_stages(rows_fit.cov, rows_fit.coef, data=rows_fit.data, holdout=rows_fit.holdout)


@pytest.fixture(scope="session")
def ordinal() -> Comparison:
    """Questions on verbal aggression: some persons in stage 1, all in stage 2."""
    data = load_verbagg()
    formula = "resp ~ 1 + btype + (1 | id) + (1 | item)"
    some = Subsample(strategy="levels", factor="id", n_levels=150, seed=2)
    cov = learn_covariance(formula, data, family="cumulative", subsample=some)
    coef = estimate_coefficients(formula, data, cov, family="cumulative")
    return compare_stages(cov, coef, data=data)

"""Every model of R's golden files by both engines: what probes and conjugate gradients find is the exact optimum.

Starting values are covariances of a quarter of the rows, or twice those of all rows where these are few. Differences
are held to what the result says of its Monte Carlo error, in units of which the mean of m probes is off by Student's t
with m - 1 degrees of freedom: one of 40,000 is beyond the limit by chance.
"""

from __future__ import annotations

import goldens
import numpy as np
import pytest
from scipy.stats import t as student

import mixedfx as mfx
from mixedfx.covariance.result import CovarianceResult

LAPLACE = [c for c in goldens.cases() if goldens.load(c).nagq in (None, 1)]
MODELS = [(case, "ml" if goldens.load(case).method in ("ml", "laplace") else "reml") for case in LAPLACE]
MODELS += [(case, "ml") for case in LAPLACE if case.startswith("insteval")]

SETTLED = 0.005
"""Standard errors that two searches may end apart: both stop where a further step promises 1e-6 of log-likelihood."""


def fit(case: str, method: str, seed: int) -> tuple[CovarianceResult, CovarianceResult]:
    """By the exact engine and by the other one."""
    golden = goldens.load(case)
    data, settings = golden.data(), {"family": golden.family, "method": method}
    exact = mfx.learn_covariance(golden.formula, data, weights=golden.weights, **settings)
    start = mfx.VarCorr.from_frame(exact.varcorr.to_frame().assign(vcov=lambda frame: 2 * frame["vcov"]))
    if len(data) > 5000:
        start = mfx.learn_covariance(golden.formula, data.sample(len(data) // 4, random_state=0), **settings)
    refined = mfx.refine_covariance(
        golden.formula, data, start, weights=golden.weights, seed=seed, **settings
    )
    return exact, refined


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("case", "method"), MODELS)
def test_both_engines_find_the_same(case: str, method: str, seed: int) -> None:
    exact, refined = fit(case, method, seed)
    assert refined.converged
    assert refined.boundary == exact.boundary
    limit = float(student.isf(1.25e-5, refined.stats["probes"] - 1))
    theirs, ours = exact.standard_errors, refined.standard_errors
    at_boundary = theirs["se"].isna().to_numpy()
    assert (ours["se"].isna() == at_boundary).all()
    # Entries of singular blocks have no standard error; their scale is that of the fixed effects' variances.
    scale = theirs["se"].where(~at_boundary, 0.05 * theirs["vcov"].abs()).to_numpy(dtype=float)
    off = np.abs((ours["vcov"] - theirs["vcov"]).to_numpy(dtype=float))
    assert (off <= limit * refined.stats["monte_carlo_se"] + SETTLED * scale + 1e-9).all()
    np.testing.assert_allclose(ours["se"], theirs["se"], rtol=0.01)
    assert abs(refined.loglik - exact.loglik) <= limit * refined.stats["loglik_se"] + SETTLED**2
    assert (np.abs(refined.fixef - exact.fixef) <= 0.01 * exact.fixef_se).all()
    np.testing.assert_allclose(refined.fixef_se, exact.fixef_se, rtol=0.01)
    if exact.thresholds is not None:
        assert refined.thresholds is not None
        assert refined.thresholds_se is not None
        assert exact.thresholds_se is not None
        assert (np.abs(refined.thresholds - exact.thresholds) <= 0.01 * exact.thresholds_se).all()
        np.testing.assert_allclose(refined.thresholds_se, exact.thresholds_se, rtol=0.01)

"""diamond's solver ends where Newton's does, more slowly."""

from __future__ import annotations

import numpy as np
import pytest
from problems import model

import mixedfx as mfx


@pytest.mark.parametrize("family", ["gaussian", "bernoulli", "binomial"])
@pytest.mark.parametrize("kind", ["crossed", "slopes on both", "offset"])
def test_same_mode_as_newton(family: str, kind: str) -> None:
    m = model(kind, 5, family=family)
    varcorr = mfx.VarCorr.from_frame(m.frame(residual=family == "gaussian"))
    weights = "trials" if family == "binomial" else None
    newton, fixed = (
        mfx.estimate_coefficients(m.formula, m.data, varcorr, family=family, weights=weights, solver=solver)
        for solver in ("newton-cg", "fixed-hessian")
    )
    assert fixed.converged, fixed.reason
    assert fixed.stats["objective"] == pytest.approx(newton.stats["objective"], abs=1e-8)
    # A gradient of 1e-8 of the bound's curvature, over the least curvature these data have.
    np.testing.assert_allclose(fixed.fixef, newton.fixef, atol=1e-6)
    for name, expected in newton.ranef.items():
        np.testing.assert_allclose(fixed.ranef[name], expected, atol=1e-6)
    assert fixed.stats["newton_iterations"] >= newton.stats["newton_iterations"]
    np.testing.assert_allclose(fixed.fixef_se, newton.fixef_se, rtol=1e-6)


def test_first_step_is_as_long_as_the_curvature_along_it_allows() -> None:
    """For gaussian data the bound is the Hessian: one step of length 1, and another for what CG left."""
    m = model("crossed", 5)
    fit = mfx.estimate_coefficients(
        m.formula, m.data, mfx.VarCorr.from_frame(m.frame()), solver="fixed-hessian"
    )
    assert fit.stats["history"][0].step_length == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("family", ["poisson", "cumulative"])
def test_without_a_bound(family: str) -> None:
    m = model("crossed", 5, family="poisson")
    varcorr = mfx.VarCorr.from_frame(m.frame(residual=False))
    with pytest.raises(mfx.errors.SettingError, match="bound"):
        mfx.estimate_coefficients(m.formula, m.data, varcorr, family=family, solver="fixed-hessian")

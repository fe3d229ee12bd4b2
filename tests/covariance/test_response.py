"""The response's kernels against the families' own formulas, far out as well, and against differences."""

from __future__ import annotations

import numpy as np
import pytest
from problems import model

from mixedfx.covariance.response import Response
from mixedfx.families import get_family

FAMILIES = ["bernoulli", "binomial", "poisson", "cumulative"]
ALPHA = np.array([-0.7, 0.4, 2.0])


def make(family: str) -> tuple[Response, np.ndarray, np.ndarray]:
    design = model("crossed", 2, family=family).design
    response = Response.of(design, get_family(family), np.arange(design.n_rows))
    rng = np.random.default_rng(1)
    return response, rng.normal(0, 2, design.n_rows), ALPHA if family == "cumulative" else np.zeros(0)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_loss_and_derivatives(family: str, scale: float) -> None:
    response, eta, alpha = make(family)
    if family != "poisson":
        eta = eta * scale
    chosen, auxiliary = get_family(family), alpha if len(alpha) else None
    got = response.evaluate(eta, alpha)
    d = chosen.derivatives(response.y, eta, auxiliary)
    loss = response.weights @ chosen.loss(response.y, eta, auxiliary)
    assert got.loss == pytest.approx(loss, rel=1e-13)
    assert response.loss(eta, alpha) == pytest.approx(loss, rel=1e-13)
    np.testing.assert_allclose(got.d1, response.weights * d.d1, rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(got.d2, response.weights * d.d2, rtol=1e-10)
    np.testing.assert_allclose(response.third(eta, alpha).d3, response.weights * d.d3, rtol=1e-8, atol=1e-13)


def test_thresholds() -> None:
    response, eta, alpha = make("cumulative")
    got, third, h = response.evaluate(eta, alpha), response.third(eta, alpha), 1e-6
    ahead, behind = ([response.evaluate(eta, alpha + e) for e in s * np.eye(3)] for s in (h, -h))
    slopes = [(a.loss - b.loss) / (2 * h) for a, b in zip(ahead, behind, strict=True)]
    np.testing.assert_allclose(got.alpha_slope, slopes, rtol=1e-6, atol=1e-7)
    hessian = [(a.alpha_slope - b.alpha_slope) / (2 * h) for a, b in zip(ahead, behind, strict=True)]
    np.testing.assert_allclose(got.border.hessian(), hessian, rtol=1e-6, atol=1e-6)
    K = np.column_stack([(a.d1 - b.d1) / (2 * h) for a, b in zip(ahead, behind, strict=True)])
    np.testing.assert_allclose(got.border.dense(), K, atol=1e-8)
    rows = np.random.default_rng(4).standard_normal((len(eta), 2))
    np.testing.assert_allclose(got.border.transpose_times(rows), K.T @ rows, atol=1e-7)
    bend = np.column_stack([(a.d2 - b.d2) / (2 * h) for a, b in zip(ahead, behind, strict=True)])
    np.testing.assert_allclose(third.by_threshold(rows[:, 0]), bend.T @ rows[:, 0], atol=1e-7)


def test_thresholds_out_of_order_are_impossible() -> None:
    response, eta, alpha = make("cumulative")
    assert response.loss(eta, alpha[::-1].copy()) == np.inf

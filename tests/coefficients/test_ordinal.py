"""The cumulative family: mode, uncertainty, predictions and saving against a dense model with its thresholds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from oracle import DenseModel
from problems import FORMULAS, frame

import mixedfx as mfx
from mixedfx.coefficients.result import CoefficientsResult
from mixedfx.design import build_design
from mixedfx.families.cumulative import Cumulative

KINDS = ["one factor", "crossed", "slopes on both", "nested and crossed"]
FAMILY = Cumulative()


@dataclass(frozen=True, eq=False)
class Ordinal:
    """A fit, and the gradient of F over (u, beta, alpha) written densely."""

    fit: CoefficientsResult
    data: pd.DataFrame
    dense: DenseModel
    y: np.ndarray
    x: np.ndarray

    def gradient(self, x: np.ndarray) -> np.ndarray:
        n, p = self.dense.Z.shape[1], self.dense.p
        u, beta, alpha = x[:n], x[n : n + p], x[n + p :]
        ZL = self.dense.Z @ self.dense.Lambda
        eta = self.dense.offset + ZL @ u + self.dense.X @ beta
        slope = FAMILY.derivatives(self.y, eta, alpha).d1
        terms = FAMILY.threshold_terms(self.y, eta, np.ones(len(eta)), alpha)
        return np.concatenate([ZL.T @ slope + u, self.dense.X.T @ slope, terms.gradient])

    def covariance(self) -> np.ndarray:
        """Inverse of the Hessian by differences, in (b, beta, alpha)."""
        h = 1e-5
        H = np.array(
            [
                (self.gradient(self.x + h * e) - self.gradient(self.x - h * e)) / (2 * h)
                for e in np.eye(len(self.x))
            ]
        )
        T = np.eye(len(self.x))
        n = self.dense.Z.shape[1]
        T[:n, :n] = self.dense.Lambda
        return T @ np.linalg.inv(0.5 * (H + H.T)) @ T.T


def fitted(kind: str) -> Ordinal:
    rng = np.random.default_rng(31)
    data = frame(rng, 200)
    latent = data["y"] + rng.logistic(size=len(data))
    data["grade"] = pd.Categorical(
        np.array(["low", "mid", "high", "top"])[np.digitize(latent, [0, 1.5, 3])],
        ["low", "mid", "high", "top"],
        ordered=True,
    )
    formula = FORMULAS[kind].replace("y ~", "grade ~")
    design = build_design(formula, data, family="cumulative")
    rows, sigmas = [], {}
    for term in design.predictors.terms:
        root = rng.standard_normal((term.q, term.q))
        S = sigmas[term.name] = root @ root.T + 0.1 * np.eye(term.q)
        for i in range(term.q):
            rows += [
                (term.name, term.names[i], term.names[j] if j != i else None, S[i, j]) for j in range(i + 1)
            ]
    varcorr = mfx.VarCorr.from_frame(pd.DataFrame(rows, columns=["grp", "var1", "var2", "vcov"]))
    fit = mfx.estimate_coefficients(formula, data, varcorr, family="cumulative")
    dense = DenseModel.of(design.predictors, sigmas)
    b = np.concatenate([fit.ranef[name].to_numpy().ravel() for name in dense.blocks])
    x = np.concatenate([np.linalg.solve(dense.Lambda, b), fit.fixef, fit.thresholds])
    return Ordinal(fit, data, dense, design.y, x)


@pytest.mark.parametrize("kind", KINDS)
def test_mode_and_standard_errors(kind: str) -> None:
    o = fitted(kind)
    assert o.fit.converged, o.fit.reason
    assert "(Intercept)" not in o.fit.fixef.index
    assert o.fit.thresholds.index.tolist() == ["low|mid", "mid|high", "high|top"]
    assert o.fit.thresholds.is_monotonic_increasing
    assert np.abs(o.gradient(o.x)).max() < 1e-6
    covariance = o.covariance()
    n, p = o.dense.Z.shape[1], o.dense.p
    np.testing.assert_allclose(o.fit.fixef_se, np.sqrt(np.diag(covariance)[n : n + p]), rtol=1e-5)
    np.testing.assert_allclose(
        o.fit.mixture.fixef_covariance(), covariance[n:, n:], atol=1e-6 * np.abs(covariance[n:, n:]).max()
    )
    for name, block in o.dense.blocks.items():
        sd = o.fit.ranef_sd(name).to_numpy().ravel()
        np.testing.assert_allclose(sd, np.sqrt(np.diag(covariance)[block]), rtol=1e-5)
        assert (o.fit.ranef_sd(name, conditional=True) <= o.fit.ranef_sd(name) + 1e-12).all().all()


def test_draws_have_the_right_covariance() -> None:
    o = fitted("crossed")
    tree = o.fit.draws(3000, seed=2)["posterior"]
    columns = [tree[f"b_{name}"].to_numpy()[0].reshape(3000, -1) for name in o.dense.blocks]
    draws = np.hstack([*columns, tree["beta"].to_numpy()[0], tree["alpha"].to_numpy()[0]])
    covariance = o.covariance()
    sd = np.sqrt(np.diag(covariance))
    assert np.abs(np.cov(draws.T) / np.outer(sd, sd) - covariance / np.outer(sd, sd)).max() < 6 * np.sqrt(
        2 / 3000
    )
    np.testing.assert_allclose(
        draws.mean(axis=0)[-3:], o.fit.thresholds, atol=5 * sd[-3:].max() / np.sqrt(3000)
    )


def test_predictions() -> None:
    o = fitted("crossed")
    rows = o.data.head(30)
    probabilities = o.fit.predict(rows)
    assert probabilities.columns.tolist() == ["low", "mid", "high", "top"]
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    eta = o.fit.predict(rows, type="link").to_numpy()
    below = 1 / (1 + np.exp(-(o.fit.thresholds["mid|high"] - eta)))
    np.testing.assert_allclose(probabilities[["low", "mid"]].sum(axis=1), below)
    assert o.fit.predict(rows, type="class").tolist() == probabilities.idxmax(axis=1).tolist()
    covariance = o.covariance()
    n, p = o.dense.Z.shape[1], o.dense.p
    d = np.hstack([o.dense.Z, o.dense.X])[:30]
    variance = np.einsum("ri,ij,rj->r", d, covariance[: n + p, : n + p], d)
    interval = o.fit.predict(rows, type="link", interval=0.9)
    np.testing.assert_allclose(interval["upper"] - interval["fit"], 1.6448536 * np.sqrt(variance), rtol=1e-5)
    with pytest.raises(mfx.errors.SettingError, match="link"):
        o.fit.predict(rows, interval=0.9)


def test_saved_and_folded_in(tmp_path: Path) -> None:
    o = fitted("crossed")
    o.fit.save(tmp_path)
    loaded = mfx.load_coefficients(tmp_path)
    rows = o.data.head(12)
    np.testing.assert_array_equal(loaded.predict(rows), o.fit.predict(rows))
    np.testing.assert_allclose(loaded.ranef_sd("g"), o.fit.ranef_sd("g"), rtol=1e-10)
    np.testing.assert_array_equal(loaded.thresholds, o.fit.thresholds)
    new = o.fit.fold_in(rows.assign(g=999))["g"]
    assert new.index.tolist() == [999]
    again = mfx.estimate_coefficients(o.fit.formula, o.data, o.fit.varcorr, family="cumulative", start=o.fit)
    assert again.stats["newton_iterations"] <= 1


def test_two_categories_are_bernoulli() -> None:
    """One threshold is minus the intercept."""
    data = frame(np.random.default_rng(8), 300)
    varcorr = mfx.VarCorr.from_frame(
        pd.DataFrame(
            [("g", "(Intercept)", None, 0.7), ("h", "(Intercept)", None, 0.4)],
            columns=["grp", "var1", "var2", "vcov"],
        )
    )
    formula = "b ~ 1 + x + (1 | g) + (1 | h)"
    ordinal = mfx.estimate_coefficients(formula, data, varcorr, family="cumulative")
    binary = mfx.estimate_coefficients(formula, data, varcorr, family="bernoulli")
    assert ordinal.thresholds.iloc[0] == pytest.approx(-binary.fixef["(Intercept)"], abs=1e-7)
    np.testing.assert_allclose(ordinal.ranef["g"], binary.ranef["g"], atol=1e-7)
    np.testing.assert_allclose(ordinal.fixef_se["x"], binary.fixef_se["x"], rtol=1e-6)
    np.testing.assert_allclose(ordinal.ranef_sd("g"), binary.ranef_sd("g"), rtol=1e-6)

"""Standard deviations, draws and intervals against dense inverses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from oracle import DenseModel
from problems import FORMULAS, Model, model
from scipy.stats import norm

import mixedfx as mfx
from mixedfx.coefficients.laplace_normal import LaplaceNormal
from mixedfx.coefficients.result import CoefficientsResult
from mixedfx.families import get_family

KINDS = sorted(FORMULAS)


def fitted(kind: str, family: str, *, singular: bool = False) -> tuple[Model, CoefficientsResult]:
    m = model(kind, 17, singular=singular, family=family)
    varcorr = mfx.VarCorr.from_frame(m.frame(residual=family == "gaussian"))
    return m, mfx.estimate_coefficients(m.formula, m.data, varcorr, family=family)


def dense_of(m: Model, fit: CoefficientsResult) -> tuple[DenseModel, np.ndarray]:
    """The dense model and omega at the mode."""
    dense = DenseModel.of(m.design.predictors, m.sigmas)
    eta = fit.predict(m.data, type="link").to_numpy()
    auxiliary = m.sigma2 if fit.family == "gaussian" else None
    return dense, get_family(fit.family).derivatives(m.design.y, eta, auxiliary).d2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", ["gaussian", "bernoulli"])
@pytest.mark.parametrize("singular", [False, True])
def test_standard_deviations(kind: str, family: str, singular: bool) -> None:
    m, fit = fitted(kind, family, singular=singular)
    dense, omega = dense_of(m, fit)
    full = dense.posterior_covariance(omega, conditional=False)
    given_beta = dense.posterior_covariance(omega, conditional=True)
    n = dense.Z.shape[1]
    np.testing.assert_allclose(fit.fixef_se, np.sqrt(np.diag(full)[n:]), rtol=1e-6)
    for name, block in dense.blocks.items():
        for conditional, covariance in ((False, full), (True, given_beta)):
            got = fit.ranef_sd(name, conditional=conditional).to_numpy().ravel()
            np.testing.assert_allclose(got**2, np.diag(covariance)[block], atol=1e-8)


@pytest.mark.parametrize("kind", ["crossed", "nested and crossed"])
def test_standard_deviations_from_draws(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the rest is too large to invert: within Monte Carlo error, and never below the conditional ones."""
    m, fit = fitted(kind, "bernoulli")
    monkeypatch.setattr("mixedfx.coefficients.laplace_normal.DENSE_LIMIT", 0)
    dense, omega = dense_of(m, fit)
    for conditional in (True, False):
        covariance = dense.posterior_covariance(omega, conditional=conditional)
        for name, block in dense.blocks.items():
            ratio = (
                fit.ranef_sd(name, conditional=conditional).to_numpy().ravel() ** 2
                / np.diag(covariance)[block]
            )
            # chi^2 with 512 degrees of freedom over 512: sd 0.0625, and the largest of 30 is within 4 sd.
            assert np.abs(ratio - 1).max() < 0.25
            assert abs(ratio.mean() - 1) < 0.1
    for name in dense.blocks:
        assert (fit.ranef_sd(name) >= fit.ranef_sd(name, conditional=True)).all().all()


def test_draws_have_the_right_covariance() -> None:
    m, fit = fitted("slopes on both", "bernoulli")
    dense, omega = dense_of(m, fit)
    covariance = dense.posterior_covariance(omega, conditional=False)
    tree = fit.draws(4000, seed=1)["posterior"]
    columns = [tree[f"b_{name}"].to_numpy()[0].reshape(4000, -1) for name in dense.blocks]
    draws = np.hstack([*columns, tree["beta"].to_numpy()[0]])
    mode = np.concatenate(
        [fit.ranef[name].to_numpy().ravel() for name in dense.blocks] + [fit.fixef.to_numpy()]
    )
    sd = np.sqrt(np.diag(covariance))
    error = np.abs(draws.mean(axis=0) - mode) / sd
    assert error.max() < 5 / np.sqrt(4000)
    correlation = np.cov(draws.T) / np.outer(sd, sd)
    assert np.abs(correlation - covariance / np.outer(sd, sd)).max() < 6 * np.sqrt(2 / 4000)


def test_draws_are_labelled_and_repeatable() -> None:
    _, fit = fitted("crossed", "gaussian")
    tree = fit.draws(3, factors=["g"], levels={"g": [4, 2]}, seed=5)["posterior"]
    assert list(tree.data_vars) == ["beta", "b_g"]
    assert tree["b_g"].dims == ("chain", "draw", "g", "g_coef")
    assert tree["g"].to_numpy().tolist() == [4, 2]
    again = fit.draws(3, seed=5)["posterior"]
    np.testing.assert_array_equal(again["b_g"].sel(g=[4, 2]), tree["b_g"])
    with pytest.raises(mfx.errors.DataError, match="no level 77"):
        fit.draws(1, levels={"g": [77]})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"seed": -1}, "seed must be a whole number"),
        ({"factors": "g"}, r"such as \['g'\]"),
        ({"factors": ["h"], "levels": {"g": [2]}}, "'g', which is not among the factors"),
    ],
)
def test_settings_of_draws_are_checked(settings: dict[str, Any], message: str) -> None:
    _, fit = fitted("crossed", "gaussian")
    with pytest.raises(mfx.errors.SettingError, match=message):
        fit.draws(1, **settings)


@pytest.mark.parametrize("family", ["gaussian", "bernoulli"])
def test_intervals_are_exact_for_few_rows(family: str) -> None:
    m, fit = fitted("slopes on both", family)
    dense, omega = dense_of(m, fit)
    covariance = dense.posterior_covariance(omega, conditional=False)
    rows = m.data.head(20)
    d = np.hstack([dense.Z, dense.X])[:20]
    half = norm.ppf(0.95) * np.sqrt(np.einsum("ri,ij,rj->r", d, covariance, d))
    interval = fit.predict(rows, type="link", interval=0.9)
    assert isinstance(interval, pd.DataFrame)
    np.testing.assert_allclose(interval["upper"] - interval["fit"], half, rtol=1e-6)
    response = fit.predict(rows, interval=0.9)
    mean = get_family(family).mean(interval["lower"].to_numpy(), 1.0)
    np.testing.assert_allclose(response["lower"], mean)


@pytest.mark.parametrize("kind", KINDS)
def test_intervals_of_many_rows_are_exact_too(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    m, fit = fitted(kind, "bernoulli", singular=kind == "crossed")
    rows = m.data.head(30).copy()
    rows.iloc[3, rows.columns.get_loc("h")] = 2000
    solved = fit.predict(rows, type="link", interval=0.9)
    monkeypatch.setattr("mixedfx.coefficients.predict.SOLVED", 0)
    monkeypatch.setattr("mixedfx.coefficients.dense_variance.ROWS_AT_ONCE", 7)
    monkeypatch.setattr("mixedfx.coefficients.dense_variance.COLUMNS_AT_ONCE", 3)
    # Solves stop at a relative error of 1e-8.
    pd.testing.assert_frame_equal(fit.predict(rows, type="link", interval=0.9), solved, rtol=1e-6)


def test_intervals_without_any_other_coefficients(monkeypatch: pytest.MonkeyPatch) -> None:
    data = pd.DataFrame({"y": [1.0, 2.0, 4.0], "g": [1, 1, 2]})
    table = {"grp": ["g", "Residual"], "var1": ["(Intercept)", None], "var2": None, "vcov": [2.0, 0.5]}
    fit = mfx.estimate_coefficients("y ~ 0 + (1 | g)", data, mfx.VarCorr.from_frame(pd.DataFrame(table)))
    monkeypatch.setattr("mixedfx.coefficients.predict.SOLVED", 0)
    interval = fit.predict(data, interval=0.9)
    # (1/2 + n / 0.5)^-1 for n = 2 and n = 1 rows.
    half = norm.ppf(0.95) * np.sqrt([1 / 4.5, 1 / 4.5, 1 / 2.5])
    np.testing.assert_allclose(interval["upper"] - interval["fit"], half)


@pytest.mark.parametrize("kind", ["crossed", "slopes on both", "nested and crossed"])
@pytest.mark.parametrize("family", ["bernoulli", "cumulative"])
def test_intervals_of_many_rows_come_in_part_from_draws(
    kind: str, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    m, fit = fitted(kind, family)
    rows = m.data.head(200).copy()
    rows.iloc[3, rows.columns.get_loc("h")] = 2000
    exact = fit.predict(rows, type="link", interval=0.9)
    monkeypatch.setattr("mixedfx.coefficients.predict.SOLVED", 0)
    monkeypatch.setattr("mixedfx.coefficients.dense_variance.DENSE_LIMIT", 0)
    drawn = fit.predict(rows, type="link", interval=0.9)
    ratio = (drawn["upper"] - drawn["fit"]) / (exact["upper"] - exact["fit"])
    assert not np.allclose(ratio, 1, atol=1e-6)
    # With all of it from 256 draws, sqrt(1 / 512) = 4.4 %, alike for rows that share their levels.
    assert np.sqrt(np.mean((ratio - 1) ** 2)) < 2 * 0.044
    pd.testing.assert_frame_equal(fit.predict(rows, type="link", interval=0.9), drawn)


def test_few_draws_are_enough_where_little_is_left_to_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many levels with few rows, few with many: the former's own variances are known exactly."""
    rng = np.random.default_rng(0)
    data = pd.DataFrame({"g": np.arange(4000) % 1500, "h": rng.integers(0, 4, 4000)})
    data["y"] = rng.standard_normal(4000) + rng.standard_normal(1500)[data["g"]]
    table = {"grp": ["g", "h", "Residual"], "var1": ["(Intercept)", "(Intercept)", None], "var2": None}
    varcorr = mfx.VarCorr.from_frame(pd.DataFrame(table).assign(vcov=[1.0, 0.01, 1.0]))
    fit = mfx.estimate_coefficients("y ~ 0 + (1 | g) + (1 | h)", data, varcorr)
    exact = fit.predict(data, interval=0.9)
    made: list[int] = []
    draw = LaplaceNormal.rest_draws

    def counted(self: LaplaceNormal, n: int, rng: np.random.Generator) -> object:
        made.append(n)
        return draw(self, n, rng)

    monkeypatch.setattr(LaplaceNormal, "rest_draws", counted)
    monkeypatch.setattr("mixedfx.coefficients.dense_variance.DENSE_LIMIT", 0)
    drawn = fit.predict(data, interval=0.9)
    assert made == [4]
    np.testing.assert_allclose(drawn["upper"] - drawn["fit"], exact["upper"] - exact["fit"], rtol=0.02)


def test_intervals_of_draws_of_sigma(monkeypatch: pytest.MonkeyPatch) -> None:
    m, fit = fitted("crossed", "gaussian")
    frame = fit.varcorr.to_frame()
    several = [mfx.VarCorr.from_frame(frame.assign(vcov=times * frame["vcov"])) for times in (0.8, 1.0, 1.3)]
    mixed = mfx.estimate_coefficients(fit.formula, m.data, several)
    exact = mixed.predict(m.data, interval=0.9)
    monkeypatch.setattr("mixedfx.coefficients.predict.SOLVED", 0)
    monkeypatch.setattr("mixedfx.coefficients.dense_variance.DENSE_LIMIT", 0)
    drawn = mixed.predict(m.data, interval=0.9)
    ratio = (drawn["upper"] - drawn["fit"]) / (exact["upper"] - exact["fit"])
    assert np.sqrt(np.mean((ratio - 1) ** 2)) < 2 * 0.044


def test_a_new_level_adds_its_prior_variance() -> None:
    m, fit = fitted("crossed", "gaussian")
    row = m.data.head(1)
    new = row.assign(g=1000, h=2000)
    interval = fit.predict(new, interval=0.9)
    X = np.array([1.0, float(row["x"].iloc[0])])
    z = X
    fixed = X @ fit.mixture.fixef_covariance() @ X
    variance = fixed + z @ m.sigmas["g"] @ z + m.sigmas["h"][0, 0]
    np.testing.assert_allclose(
        interval["upper"] - interval["fit"], norm.ppf(0.95) * np.sqrt(variance), rtol=1e-6
    )
    np.testing.assert_allclose(interval["fit"], X @ fit.fixef.to_numpy())

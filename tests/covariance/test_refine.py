"""`refine_covariance`: the full-data maximum by probes and conjugate gradients, beside the exact engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx
from mixedfx.errors import DataError, SettingError
from mixedfx.linalg import probes as probing

GAUSSIAN = "y ~ 1 + x + (1 + x | user) + (1 | item)"
BINARY = "y ~ 1 + x + (1 | user) + (1 | item)"


@pytest.fixture(autouse=True)
def _few_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also for data as small as here, where a complete set of probes would be no work."""
    monkeypatch.setattr(probing, "COMPLETE_WORK", 0)


def crossed(family: str, formula: str = BINARY, seed: int = 0) -> pd.DataFrame:
    frame = pd.DataFrame(
        [("user", "(Intercept)", None, 0.5), ("item", "(Intercept)", None, 0.8)],
        columns=["grp", "var1", "var2", "vcov"],
    )
    if family == "gaussian":
        frame.loc[len(frame)] = ["user", "x", None, 0.3]
        frame.loc[len(frame)] = ["user", "x", "(Intercept)", 0.2]
        frame.loc[len(frame)] = ["Residual", None, None, 1.0]
    return mfx.simulate(
        formula,
        levels={"user": 150, "item": 80},
        n_rows=3000,
        beta={"(Intercept)": 0.5, "x": 0.3},
        varcorr=mfx.VarCorr.from_frame(frame),
        family=family,
        seed=seed,
    ).data


@pytest.fixture(scope="module")
def gaussian() -> pd.DataFrame:
    return crossed("gaussian", GAUSSIAN)


@pytest.mark.parametrize("method", ["reml", "ml"])
def test_gaussian_maximum_is_the_exact_one(gaussian: pd.DataFrame, method: str) -> None:
    exact = mfx.learn_covariance(GAUSSIAN, gaussian, method=method)
    start = mfx.learn_covariance(GAUSSIAN, gaussian.head(1000))
    found = mfx.refine_covariance(GAUSSIAN, gaussian, start, method=method, seed=3)
    assert found.converged
    assert found.method == method
    off = (found.standard_errors["vcov"] - exact.standard_errors["vcov"]).to_numpy()
    # Four Monte Carlo standard errors, and what a predicted gain of 1e-5 leaves.
    allowed = 4 * found.stats["monte_carlo_se"] + 0.005 * exact.standard_errors["se"].to_numpy()
    assert (np.abs(off) < allowed).all()
    np.testing.assert_allclose(found.standard_errors["se"], exact.standard_errors["se"], rtol=0.01)
    np.testing.assert_allclose(found.fixef, exact.fixef, atol=1e-3)
    np.testing.assert_allclose(found.fixef_se, exact.fixef_se, rtol=0.01)
    assert abs(found.loglik - exact.loglik) < 4 * found.stats["loglik_se"] + 1e-4
    for factor, modes in exact.ranef.items():
        np.testing.assert_allclose(found.ranef[factor], modes, atol=0.02)
        assert found.ranef[factor].index.equals(modes.index)


@pytest.mark.parametrize("family", ["bernoulli", "poisson"])
def test_laplace_maximum_is_the_exact_one(family: str) -> None:
    data = crossed(family)
    exact = mfx.learn_covariance(BINARY, data, family=family)
    start = mfx.learn_covariance(BINARY, data.head(1500), family=family)
    found = mfx.refine_covariance(BINARY, data, start, family=family)
    off = (found.standard_errors["vcov"] - exact.standard_errors["vcov"]).to_numpy()
    allowed = 4 * found.stats["monte_carlo_se"] + 0.01 * exact.standard_errors["se"].to_numpy()
    assert (np.abs(off) < allowed).all()
    np.testing.assert_allclose(found.standard_errors["se"], exact.standard_errors["se"], rtol=0.03)
    np.testing.assert_allclose(found.fixef_se, exact.fixef_se, rtol=0.02)
    assert abs(found.loglik - exact.loglik) < 4 * found.stats["loglik_se"] + 1e-4


def test_ordinal_thresholds() -> None:
    data = mfx.datasets.load_verbagg()
    formula = "resp ~ 1 + Anger + (1 | id) + (1 | item)"
    exact = mfx.learn_covariance(formula, data, family="cumulative")
    start = mfx.learn_covariance(formula, data.head(3000), family="cumulative")
    found = mfx.refine_covariance(formula, data, start, family="cumulative")
    assert found.thresholds is not None
    assert exact.thresholds is not None
    assert found.thresholds_se is not None
    assert exact.thresholds_se is not None
    np.testing.assert_allclose(found.thresholds, exact.thresholds, atol=0.005)
    np.testing.assert_allclose(found.thresholds_se, exact.thresholds_se, rtol=0.02)
    np.testing.assert_allclose(found.standard_errors["vcov"], exact.standard_errors["vcov"], rtol=0.005)


def test_more_accuracy_takes_more_probes(gaussian: pd.DataFrame) -> None:
    start = mfx.learn_covariance(GAUSSIAN, gaussian.head(1000))
    coarse = mfx.refine_covariance(GAUSSIAN, gaussian, start, accuracy=0.05)
    fine = mfx.refine_covariance(GAUSSIAN, gaussian, start, accuracy=3e-5)
    assert coarse.stats["probes"] < fine.stats["probes"]
    scale = np.maximum(fine.standard_errors["vcov"], 20 * fine.standard_errors["se"])
    variances = fine.standard_errors["var2"].isna() & (fine.standard_errors["grp"] != "Residual")
    assert (fine.stats["monte_carlo_se"] <= 3e-5 * scale)[variances].all()


def test_two_seeds_agree_within_their_error(gaussian: pd.DataFrame) -> None:
    start = mfx.learn_covariance(GAUSSIAN, gaussian.head(1000))
    one, two = (mfx.refine_covariance(GAUSSIAN, gaussian, start, seed=s, accuracy=0.01) for s in (1, 2))
    off = (one.standard_errors["vcov"] - two.standard_errors["vcov"]).abs().to_numpy()
    errors = np.hypot(one.stats["monte_carlo_se"], two.stats["monte_carlo_se"])
    assert (off < 4 * errors + 0.007 * one.standard_errors["se"].to_numpy()).all()
    assert (off > 0).any()
    again = mfx.refine_covariance(GAUSSIAN, gaussian, start, seed=1, accuracy=0.01)
    assert again.standard_errors.equals(one.standard_errors)


def test_a_variance_of_zero_is_found_and_left() -> None:
    data = mfx.datasets.load_insteval().head(3000).assign(g=lambda d: np.arange(len(d)) % 59)
    formula = "y ~ 1 + (1 | s) + (1 | g)"
    exact = mfx.learn_covariance(formula, data)
    assert exact.boundary == ("g (Intercept)",)
    far = mfx.VarCorr.from_frame(exact.varcorr.to_frame().assign(vcov=[3.0, 2.0, 0.4]))
    found = mfx.refine_covariance(formula, data, far)
    assert found.converged
    assert found.boundary == ("g (Intercept)",)
    back = mfx.refine_covariance(formula, data.assign(y=data.y + (data.g % 3)), found)
    assert back.boundary == ()
    assert back.varcorr["g"].iloc[0, 0] > 0.3


@pytest.mark.parametrize("family", ["gaussian", "bernoulli", "cumulative"])
def test_nothing_is_left_to_chance_with_few_other_levels(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    data = mfx.datasets.load_verbagg()
    data["score"] = data["resp"].cat.codes.astype(float)
    response = {"gaussian": "score", "bernoulli": "r2", "cumulative": "resp"}[family]
    formula = f"{response} ~ 1 + Anger + (1 + situ | id) + (1 | item)"
    exact = mfx.learn_covariance(formula, data, family=family)
    start = mfx.VarCorr.from_frame(exact.varcorr.to_frame().assign(vcov=lambda frame: 1.3 * frame["vcov"]))
    found, again = (mfx.refine_covariance(formula, data, start, family=family, seed=s) for s in (1, 2))
    assert found.standard_errors.equals(again.standard_errors)
    assert found.stats["loglik_se"] == 0
    assert (found.stats["monte_carlo_se"] == 0).all()
    assert found.loglik == pytest.approx(exact.loglik, abs=1e-5)
    off = (found.standard_errors["vcov"] - exact.standard_errors["vcov"]).abs()
    assert (off < 1e-3 * exact.standard_errors["se"]).all()
    np.testing.assert_allclose(found.standard_errors["se"], exact.standard_errors["se"], rtol=2e-3)
    assert "nothing in it is random" in str(found.summary())


def test_one_factor(gaussian: pd.DataFrame) -> None:
    formula = "y ~ 1 + x + (1 + x | user)"
    exact = mfx.learn_covariance(formula, gaussian)
    found = mfx.refine_covariance(formula, gaussian, mfx.learn_covariance(formula, gaussian.head(500)))
    np.testing.assert_allclose(found.varcorr.to_frame()["vcov"], exact.varcorr.to_frame()["vcov"], rtol=1e-3)
    assert found.loglik == pytest.approx(exact.loglik, abs=1e-4)  # nothing is left to sample


def test_saving_keeps_it(gaussian: pd.DataFrame, tmp_path: Path) -> None:
    found = mfx.refine_covariance(GAUSSIAN, gaussian, mfx.learn_covariance(GAUSSIAN, gaussian), accuracy=0.05)
    found.save(tmp_path / "refined")
    back = mfx.load_covariance(tmp_path / "refined")
    assert back.standard_errors.equals(found.standard_errors)
    assert str(back.summary()) == str(found.summary())
    assert "random probes" in str(found.summary())


def test_bad_arguments(gaussian: pd.DataFrame) -> None:
    vc = mfx.learn_covariance(GAUSSIAN, gaussian.head(1000)).varcorr
    with pytest.raises(SettingError, match="accuracy is 2"):
        mfx.refine_covariance(GAUSSIAN, gaussian, vc, accuracy=2)
    with pytest.raises(SettingError, match="'reml' or 'ml', not 'nuts'"):
        mfx.refine_covariance(GAUSSIAN, gaussian, vc, method="nuts")
    with pytest.raises(SettingError, match="varcorr must be a VarCorr"):
        mfx.refine_covariance(GAUSSIAN, gaussian, {"user": 1.0})  # pyright: ignore[reportArgumentType]
    own = gaussian.head(100).assign(user=np.arange(100))
    with pytest.raises(DataError, match="do not tell the residual variance"):
        mfx.refine_covariance(GAUSSIAN, own, vc)


@pytest.mark.parametrize(
    "terms", ["(x || user)", "(x | user)"], ids=["a variance of 0", "a correlation of 1"]
)
def test_singular_covariances_stay_where_they_are(terms: str) -> None:
    rng = np.random.default_rng(0)
    n = 3000
    data = pd.DataFrame(
        {"user": rng.integers(0, 60, n), "item": rng.integers(0, 200, n), "x": rng.normal(size=n)}
    )
    levels = rng.normal(size=60)
    slopes = 0.0 if terms == "(x || user)" else 0.3 * levels
    eta = levels[data["user"]] + np.broadcast_to(slopes, 60)[data["user"]] * data["x"]
    data["y"] = eta + rng.normal(size=200)[data["item"]] + rng.normal(size=n)
    formula = f"y ~ 1 + x + {terms} + (1 | item)"
    exact = mfx.learn_covariance(formula, data)
    assert exact.boundary
    start = mfx.VarCorr.from_frame(exact.varcorr.to_frame().assign(vcov=lambda frame: frame["vcov"] * 1.5))
    found = mfx.refine_covariance(formula, data, start)
    assert found.boundary == exact.boundary
    # Errors are known at the boundary as well, and as small as was asked for.
    table = found.standard_errors
    sd = np.sqrt(table["vcov"].where(table["var2"].isna()))
    user = (table["grp"] == "user").to_numpy()
    assert (found.stats["monte_carlo_se"][user] <= 1e-3 * sd[user].max() ** 2).all()
    off = (table["vcov"] - exact.standard_errors["vcov"]).abs().to_numpy()
    assert (off <= 5 * found.stats["monte_carlo_se"] + 1e-3 * sd[user].max() ** 2)[user].all()
    np.testing.assert_allclose(found.varcorr.to_frame()["vcov"], exact.varcorr.to_frame()["vcov"], rtol=5e-3)
    assert abs(found.loglik - exact.loglik) < 4 * found.stats["loglik_se"] + 1e-3

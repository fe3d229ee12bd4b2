"""Simulated data have the structure, the truth and the distribution they were asked for."""

from __future__ import annotations

import doctest
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mixedfx.simulation
from mixedfx.errors import SettingError, VarCorrError
from mixedfx.simulation import Simulation, simulate
from mixedfx.varcorr import VarCorr

CROSSED = "y ~ 1 + x + (1 + x | user) + (1 | item)"
BETA = {"(Intercept)": 1.0, "x": 0.5}


def varcorr(*rows: tuple[str, str | None, str | None, float]) -> VarCorr:
    return VarCorr.from_frame(pd.DataFrame(rows, columns=["grp", "var1", "var2", "vcov"]))


CROSSED_VARCORR = varcorr(
    ("user", "(Intercept)", None, 0.5),
    ("user", "x", None, 0.2),
    ("user", "(Intercept)", "x", -0.2),
    ("item", "(Intercept)", None, 0.3),
    ("Residual", None, None, 0.25),
)


def crossed(n_rows: int = 3000, **settings: Any) -> Simulation:
    levels = settings.pop("levels", {"user": 400, "item": 60})
    return simulate(
        CROSSED, **{"levels": levels, "n_rows": n_rows, "beta": BETA, "varcorr": CROSSED_VARCORR} | settings
    )


def test_data_have_the_columns_and_every_level() -> None:
    data = crossed().data
    assert data.shape == (3000, 4)
    assert set(data.columns) == {"y", "x", "user", "item"}
    assert sorted(data["user"].unique()) == list(range(1, 401))
    assert sorted(data["item"].unique()) == list(range(1, 61))


def test_eta_and_response_follow_from_the_truth() -> None:
    made = crossed()
    user, item = (made.truth.ranef[f].loc[made.data[f]].to_numpy() for f in ("user", "item"))
    x = made.data["x"].to_numpy()
    eta = 1.0 + 0.5 * x + user[:, 0] + user[:, 1] * x + item[:, 0]
    np.testing.assert_allclose(made.truth.eta, eta, rtol=0, atol=1e-12)
    residual = made.data["y"] - eta
    # sigma is 0.5; the standard error of the variance is 0.25 sqrt(2 / 3000) = 0.0065.
    assert residual.var() == pytest.approx(0.25, abs=0.026)
    assert abs(np.corrcoef(residual, eta)[0, 1]) < 4 / np.sqrt(3000)


def test_random_effects_have_the_covariances_asked_for() -> None:
    made = crossed(50_000, levels={"user": 20_000, "item": 2})
    observed = np.cov(made.truth.ranef["user"].to_numpy().T)
    # Standard error of a covariance of 20,000 levels: at most 0.5 sqrt(2 / 20000) = 0.005.
    np.testing.assert_allclose(observed, [[0.5, -0.2], [-0.2, 0.2]], atol=0.02)


def test_covariates_are_standard_normal() -> None:
    x = crossed(20_000).data["x"]
    assert x.mean() == pytest.approx(0, abs=0.03)
    assert x.std() == pytest.approx(1, abs=0.02)


def test_activity() -> None:
    skewed = crossed(20_000).data["user"].value_counts()
    even = crossed(20_000, activity="uniform").data["user"].value_counts()
    # By Zipf's law the first of 400 has 1 / H_400 = 15 % of the rows.
    assert skewed.iloc[0] == pytest.approx(0.152 * 20_000, rel=0.1)
    assert skewed.median() < 25
    assert even.max() < 50 * 1.8
    # Which level is active is chance, not its number.
    assert skewed.index[0] != 1 or skewed.index[1] != 2


def test_fewer_rows_than_levels() -> None:
    made = crossed(100, levels={"user": 1000, "item": 5})
    assert len(made.data) == 100
    assert made.truth.ranef["user"].index.isin(made.data["user"]).all()


def test_seed_decides() -> None:
    assert crossed(seed=4).data.equals(crossed(seed=4).data)
    assert not crossed(seed=4).data.equals(crossed(seed=5).data)


def test_bernoulli() -> None:
    vc = varcorr(("user", "(Intercept)", None, 0.5))
    made = simulate(
        "y ~ 1 + (1 | user)",
        levels={"user": 50},
        n_rows=5000,
        beta={"(Intercept)": -1},
        varcorr=vc,
        family="bernoulli",
    )
    p = 1 / (1 + np.exp(-made.truth.eta))
    assert set(made.data["y"]) == {0.0, 1.0}
    # Standard error of the mean residual: at most 0.5 / sqrt(5000) = 0.007.
    assert (made.data["y"] - p).mean() == pytest.approx(0, abs=0.03)


def test_nested_levels_lie_within_their_outer_level() -> None:
    made = nested("y ~ 1 + (1 | school/room)", {"school": 6, "room": 20})
    assert made.data.groupby("room")["school"].nunique().eq(1).all()
    assert made.data["school"].nunique() == 6
    assert len(made.truth.ranef["room:school"]) == 20


def nested(formula: str, levels: dict[str, int]) -> Simulation:
    vc = varcorr(
        ("room:school", "(Intercept)", None, 1.0),
        ("school", "(Intercept)", None, 1.0),
        ("Residual", None, None, 1.0),
    )
    return simulate(formula, levels=levels, n_rows=500, beta={"(Intercept)": 0}, varcorr=vc)


def test_three_nested_levels() -> None:
    formula = "y ~ 1 + (1 | school) + (1 | room:school) + (1 | pupil:(room:school))"
    vc = varcorr(
        ("school", "(Intercept)", None, 1.0),
        ("room:school", "(Intercept)", None, 1.0),
        ("pupil:(room:school)", "(Intercept)", None, 1.0),
        ("Residual", None, None, 1.0),
    )
    levels = {"school": 3, "room": 9, "pupil": 40}
    data = simulate(formula, levels=levels, n_rows=300, beta={"(Intercept)": 0}, varcorr=vc).data
    assert data.groupby("pupil")["room"].nunique().eq(1).all()
    assert data.groupby("room")["school"].nunique().eq(1).all()
    assert data["pupil"].nunique() == 40


def test_crossed_groups_and_their_combination_stay_crossed() -> None:
    vc = varcorr(
        ("a", "(Intercept)", None, 1.0),
        ("b", "(Intercept)", None, 1.0),
        ("a:b", "(Intercept)", None, 1.0),
        ("Residual", None, None, 1.0),
    )
    formula = "y ~ 1 + (1 | a) + (1 | b) + (1 | a:b)"
    made = simulate(formula, levels={"a": 4, "b": 5}, n_rows=500, beta={"(Intercept)": 0}, varcorr=vc)
    assert made.data.groupby("a")["b"].nunique().gt(1).all()


def test_a_factor_with_fixed_effects_is_categorical() -> None:
    made = simulate(
        "y ~ 1 + kind + (1 | user)",
        levels={"kind": 3, "user": 20},
        n_rows=300,
        beta={"(Intercept)": 0, "kind2": 5, "kind3": -5},
        varcorr=varcorr(("user", "(Intercept)", None, 0.1), ("Residual", None, None, 0.1)),
    )
    means = made.data.groupby("kind", observed=True)["y"].mean()
    np.testing.assert_allclose(means, [0, 5, -5], atol=0.7)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"beta": {"(Intercept)": 1.0}}, "beta lacks 'x'"),
        ({"beta": BETA | {"z": 1.0}}, "beta names 'z'.*\\(Intercept\\), x"),
        ({"levels": {"user": 10}}, "levels lacks factor 'item'"),
        ({"levels": {"user": 10, "item": 5, "film": 3}}, "levels names 'film'"),
        ({"levels": {"user": 1, "item": 5}}, "factor 'user' is 1"),
        ({"n_rows": 1}, "n_rows is 1"),
        ({"activity": "pareto"}, "'zipf', 'uniform'"),
        ({"family": "gamma"}, "unknown family 'gamma'"),
        ({"varcorr": varcorr(("user", "(Intercept)", None, 1.0))}, "residual variance"),
    ],
)
def test_bad_settings_are_named(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(SettingError, match=named):
        crossed(**settings)


def test_varcorr_of_another_formula_is_refused() -> None:
    vc = varcorr(("item", "(Intercept)", None, 1.0), ("Residual", None, None, 1.0))
    with pytest.raises(VarCorrError, match="lack factor 'user'"):
        crossed(varcorr=vc)


def test_response_must_be_a_column() -> None:
    with pytest.raises(SettingError, match=r"log\(y\)"):
        simulate("log(y) ~ 1 + (1 | user)", levels={"user": 5}, n_rows=20, beta={}, varcorr=CROSSED_VARCORR)


def test_too_few_nested_levels_are_refused() -> None:
    with pytest.raises(SettingError, match=r"'room' 4 levels.*'school'.*has 6"):
        nested("y ~ 1 + (1 | school/room)", {"school": 6, "room": 4})


def test_two_factors_nested_in_the_same_are_refused() -> None:
    with pytest.raises(SettingError, match="both 'room' and 'club' are nested in 'school'"):
        nested("y ~ 1 + (1 | school/room) + (1 | school/club)", {"school": 6, "room": 14, "club": 12})


def test_docstring_example() -> None:
    assert doctest.testmod(mixedfx.simulation).failed == 0


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"n_rows": 1e3}, "n_rows is 1000.0; it must be a whole number"),
        ({"levels": ["user", "item"]}, "levels must be a dictionary"),
        ({"levels": {"user": 5.0, "item": 4}}, "levels of factor 'user' is 5.0"),
        ({"varcorr": pd.DataFrame()}, "varcorr must be a VarCorr, not DataFrame"),
        ({"seed": "a"}, "seed is 'a'"),
    ],
)
def test_types_of_settings(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(SettingError, match=named):
        crossed(**settings)

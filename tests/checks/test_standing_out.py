"""Levels that stand out: which are chosen, and what is said of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from two_stages import TwoStages

from mixedfx.checks.stage_normal import stage_two_normal
from mixedfx.checks.standing_out import COLUMNS, EACH_SIDE, standing_out
from mixedfx.coefficients.estimate import estimate_coefficients
from mixedfx.coefficients.result import CoefficientsResult
from mixedfx.varcorr import VarCorr


def found(coef: CoefficientsResult) -> pd.DataFrame:
    return standing_out(coef, stage_two_normal(coef))


def test_the_levels_are_the_surest_of_each_side(rows_fit: TwoStages) -> None:
    table = found(rows_fit.coef)
    assert list(table.columns) == COLUMNS
    for (factor, name), own in table.groupby(["factor", "coefficient"]):
        modes, sd = rows_fit.coef.ranef[factor][name], rows_fit.coef.ranef_sd(factor)[name]
        for sign in (1, -1):
            away = (sign * modes - 1.6448536 * sd)[lambda v: v > 0].nlargest(EACH_SIDE)
            side = own[np.sign(own["mode"]) == sign]
            assert side["level"].tolist() == away.index.tolist()
            np.testing.assert_allclose(side["mode"], modes[away.index])
            np.testing.assert_allclose(side["upper"] - side["mode"], 1.6448536 * sd[away.index], rtol=1e-6)
    rows = rows_fit.data["user"].value_counts()
    users = table[table["factor"] == "user"]
    assert (users["rows"].to_numpy() == rows[users["level"]].to_numpy()).all()


def test_slopes_are_told_against_the_average(rows_fit: TwoStages) -> None:
    table = found(rows_fit.coef)
    slopes = table[table["coefficient"] == "x"]
    assert len(slopes)
    average = rows_fit.coef.fixef["x"]
    for row in slopes.to_dict("records"):
        own = average + row["mode"]
        assert f"{own:#.3g} a unit" in row["says"]
        assert f"on average {average:#.3g}" in row["says"]
        if own > 0:
            assert ("rises more with x" if row["mode"] > 0 else "rises less with x") in row["says"]
        else:
            assert "falls with x, against the average" in row["says"]


@pytest.mark.parametrize(
    ("family", "says"),
    [
        ("bernoulli", r"g \d+: the odds of y = True are [\d.]+ times those of an average level"),
        ("poisson", r"g \d+: y is [\d.]+ times that of an average level"),
        ("cumulative", r"g \d+: the odds of a higher y are [\d.]+ times those of an average level"),
        (
            "gaussian",
            r"g \d+: y is [\d.]+ (higher|lower) than at an average level, all else equal \(90% inter",
        ),
    ],
)
def test_each_family_has_its_words(family: str, says: str) -> None:
    rng = np.random.default_rng(0)
    g = np.repeat(np.arange(20), 30)
    eta = rng.standard_normal(20)[g]
    y = {
        "bernoulli": rng.random(600) < 1 / (1 + np.exp(-eta)),
        "poisson": rng.poisson(np.exp(eta)),
        "cumulative": np.clip(np.round(eta + rng.logistic(size=600)), -1, 1) + 1,
        "gaussian": eta + rng.standard_normal(600),
    }[family]
    rows = [("g", "(Intercept)", None, 1.0)] + [("Residual", None, None, 1.0)] * (family == "gaussian")
    vc = VarCorr.from_frame(pd.DataFrame(rows, columns=["grp", "var1", "var2", "vcov"]))
    table = found(estimate_coefficients("y ~ 1 + (1 | g)", pd.DataFrame({"y": y, "g": g}), vc, family=family))
    assert len(table) > 2
    assert table["says"].str.match(says).all(), table["says"].tolist()


def test_noise_has_nobody_who_stands_out() -> None:
    rng = np.random.default_rng(0)
    data = pd.DataFrame({"y": rng.standard_normal(400), "g": np.repeat(np.arange(40), 10)})
    frame = pd.DataFrame(
        {"grp": ["g", "Residual"], "var1": ["(Intercept)", None], "var2": None, "vcov": [0.01, 1]}
    )
    assert found(estimate_coefficients("y ~ 1 + (1 | g)", data, VarCorr.from_frame(frame))).empty


@pytest.mark.parametrize(
    ("family", "says"),
    [
        (
            "gaussian",
            r"g \d+: with kindb, y is [\d.]+ (higher|lower) \(90% interval .*\), on average [\d.]+ (high|low)er",
        ),
        (
            "bernoulli",
            r"g \d+: with kindb, the odds of y = True are [\d.]+ times as high \(.*\), on average [\d.]+ times",
        ),
    ],
)
def test_categories_are_told_by_what_they_change(family: str, says: str) -> None:
    rng = np.random.default_rng(0)
    g, kind = np.repeat(np.arange(20), 60), np.tile(["a", "b"], 600)
    eta = 0.3 * (kind == "b") + 1.5 * rng.standard_normal(20)[g] * (kind == "b")
    y = eta + rng.standard_normal(1200) if family == "gaussian" else rng.random(1200) < 1 / (1 + np.exp(-eta))
    rows = [("g", "(Intercept)", None, 0.1), ("g", "kindb", None, 2.0)]
    rows += [("Residual", None, None, 1.0)] * (family == "gaussian")
    vc = VarCorr.from_frame(pd.DataFrame(rows, columns=["grp", "var1", "var2", "vcov"]))
    data = pd.DataFrame({"y": y, "g": g, "kind": kind})
    table = found(estimate_coefficients("y ~ 1 + kind + (1 + kind | g)", data, vc, family=family))
    slopes = table[table["coefficient"] == "kindb"]
    assert len(slopes) > 2
    assert slopes["says"].str.match(says).all(), slopes["says"].tolist()

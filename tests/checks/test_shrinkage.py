"""Adequacy in words on cases with known answers: how far off, which levels, and what refining would be worth."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx
from mixedfx.checks.compare import Comparison
from mixedfx.checks.holdout import REFINED, score_holdout
from mixedfx.checks.shrinkage import wrong_shrinkage


def share(n: np.ndarray, ratio: float) -> np.ndarray:
    """What shrinkage leaves of a level's mean."""
    return n * ratio / (1 + n * ratio)


@pytest.mark.parametrize(("frozen", "true"), [(0.1, 0.4), (0.4, 0.1)])
def test_levels_up_to_where_it_makes_no_difference(frozen: float, true: float) -> None:
    rng = np.random.default_rng(0)
    counts = rng.permutation(np.arange(1, 401))
    means = rng.standard_normal((400, 1))
    one, two = share(counts, frozen)[:, None] * means, share(counts, true)[:, None] * means
    (found,) = wrong_shrinkage(one, two, counts, ["(Intercept)"])
    assert found.below is not None
    # Relative change of 5 %: at n = 142 for the first pair, within the class of 40 levels that holds it.
    n = np.arange(1, 401)
    edge = int(n[np.abs(share(n, true) / share(n, frozen) - 1) > 0.05].max())
    assert edge - 40 <= found.below <= edge + 41
    small = counts < found.below
    expected = (two[small, 0] @ one[small, 0]) / (one[small, 0] @ one[small, 0]) - 1
    assert found.change == pytest.approx(expected)
    how = "too much" if true > frozen else "too little"
    assert str(found) == (
        f"(Intercept) of levels with under {found.below} rows is shrunk {how}, by {abs(expected):.0%}"
    )


def test_all_levels_or_none() -> None:
    means = np.random.default_rng(1).standard_normal((60, 2))
    counts = np.arange(60)
    found = wrong_shrinkage(means, means * [1.2, 1.01], counts, ["(Intercept)", "x"])
    assert [(f.coefficient, f.below) for f in found] == [("(Intercept)", None)]
    assert found[0].change == pytest.approx(0.2)
    assert str(found[0]) == "(Intercept) of all levels is shrunk too much, by 20%"
    assert wrong_shrinkage(0 * means, means, counts, ["(Intercept)", "x"]) == ()


FORMULA = "y ~ 1 + (1 + x | item) + (1 | user)"
TRUE = [
    ("item", "(Intercept)", 0.4),
    ("item", "x", 0.2),
    ("user", "(Intercept)", 0.5),
    ("Residual", None, 1.0),
]


@pytest.fixture(scope="module", params=["gaussian", "bernoulli"])
def family(request: pytest.FixtureRequest) -> str:
    return request.param


def varcorr(family: str, times: float = 1.0) -> mfx.VarCorr:
    """The truth, the item intercepts' variance multiplied."""
    entries = [e for e in TRUE if family == "gaussian" or e[0] != "Residual"]
    frame = pd.DataFrame(entries, columns=["grp", "var1", "vcov"]).assign(var2=None)
    frame.loc[0, "vcov"] *= times
    return mfx.VarCorr.from_frame(frame)


@pytest.fixture(scope="module")
def rows(family: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    data = mfx.simulate(
        FORMULA,
        levels={"item": 200, "user": 250},
        n_rows=16_000,
        beta={"(Intercept)": 0.2},
        varcorr=varcorr(family),
        family=family,
        seed=2,
    ).data
    held_out = data.sample(4000, random_state=0)
    return data.drop(held_out.index), held_out


@pytest.fixture(scope="module")
def judged(family: str, rows: tuple[pd.DataFrame, pd.DataFrame]) -> Comparison:
    """Covariances of all rows, but half of the item intercepts' true variance."""
    data, held_out = rows
    cov = replace(mfx.learn_covariance(FORMULA, data, family=family), varcorr=varcorr(family, 0.5))
    coef = mfx.estimate_coefficients(FORMULA, data, cov, family=family)
    return mfx.compare_stages(cov, coef, data=data, holdout=held_out)


def says(judged: Comparison, statistic: str, part: str) -> str:
    table = judged.summary
    (found,) = table.loc[(table.index == part) & (table["statistic"] == statistic), "says"]
    return found


def test_each_variance_by_how_much(judged: Comparison) -> None:
    statistic = "standard deviation, all rows / frozen"
    found = re.search(
        r"variance of item \(Intercept\) is (\d+)% too small", says(judged, statistic, "item (Intercept)")
    )
    assert found is not None
    assert (
        35 < float(found[1]) < 65
    )  # 50 in truth; the estimate of all rows has a standard error of some 10 %
    assert "too" not in says(judged, statistic, "item x")
    assert "too" not in says(judged, statistic, "user (Intercept)")
    assert f"variance of item (Intercept) is {found[1]}% too small" in judged.verdict


def test_which_levels(judged: Comparison, family: str, rows: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    said = says(judged, "rms change if Sigma is refined / sd", "item")
    pattern = r"\(Intercept\) of (all levels|levels with under ([\d,]+) rows) is shrunk too much, by (\d+)%"
    found = re.search(pattern, said)
    assert found is not None
    counts = rows[0]["item"].value_counts()
    below = int(found[2].replace(",", "")) if found[2] else int(counts.max()) + 1
    # A row's information is 1 / sigma^2 with one, and about 0.21 on the logistic scale.
    n = counts * (1.0 if family == "gaussian" else 0.21)
    expected = share(n[counts < below].to_numpy(), 0.4) / share(n[counts < below].to_numpy(), 0.2) - 1
    assert expected.min() < float(found[3]) / 100 < expected.max()
    if below <= counts.max():
        beyond = share(n[counts >= below].to_numpy(), 0.4) / share(n[counts >= below].to_numpy(), 0.2) - 1
        assert beyond.min() < 0.05
    assert (below <= counts.max()) == (family == "gaussian")


def test_what_refining_is_worth(family: str, rows: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """A twentieth of the variance: that costs predictions of rows that nobody saw."""
    data, held_out = rows
    right = mfx.learn_covariance(FORMULA, data, family=family)
    cov = replace(right, varcorr=varcorr(family, 0.05))
    coef = mfx.estimate_coefficients(FORMULA, data, cov, family=family)
    judged = mfx.compare_stages(cov, coef, data=data, holdout=held_out, refined=right)
    refined = mfx.estimate_coefficients(FORMULA, data, right, family=family)
    better, worse = (
        score_holdout(fit, held_out).scores.loc["log score", "stage2"] for fit in (refined, coef)
    )
    assert better > worse
    found = re.search(r"would improve by ([\d.e-]+) \(standard error", says(judged, REFINED, "held-out rows"))
    assert found is not None
    assert float(found[1]) == pytest.approx(better - worse, rel=0.06)  # two digits
    assert found[0] in judged.verdict


def test_right_covariances_need_no_words(family: str, rows: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    data, held_out = rows
    cov = mfx.learn_covariance(FORMULA, data, family=family)
    coef = mfx.estimate_coefficients(FORMULA, data, cov, family=family)
    judged = mfx.compare_stages(cov, coef, data=data, holdout=held_out)
    assert "shrunk too" not in str(judged.summary["says"].tolist())
    assert abs(judged.held_out.gains["refined"][0]) < 1e-3  # pyright: ignore[reportOptionalMemberAccess]

"""`target_se` plans sizes whose standard errors are those that the fits then have."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx
from mixedfx.design import build_design
from mixedfx.errors import SubsampleWarning
from mixedfx.grouping import Grouping
from mixedfx.subsample import Subsample, variance_ratios
from mixedfx.subsample.precision import levels_for, relative_se

VARIANCES = {"user": 0.5, "item": 0.3, "Residual": 1.0}
FORMULA = "y ~ 1 + (1 | user) + (1 | item)"


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    """2,000 users x 800 items, 40,000 rows, uneven."""
    frame = pd.DataFrame(
        [(g, None if g == "Residual" else "(Intercept)", None, v) for g, v in VARIANCES.items()],
        columns=["grp", "var1", "var2", "vcov"],
    )
    made = mfx.simulate(
        FORMULA,
        levels={"user": 2000, "item": 800},
        n_rows=40_000,
        beta={"(Intercept)": 1.0},
        varcorr=mfx.VarCorr.from_frame(frame),
        seed=4,
    )
    return made.data


@pytest.fixture(scope="module")
def groupings(data: pd.DataFrame) -> list[Grouping]:
    return [term.grouping for term in build_design(FORMULA, data).predictors.terms]


def test_balanced_levels_follow_the_rule() -> None:
    """sqrt(2/J) / reliability; 10 rows at a ratio of 0.1 have reliability 1/2."""
    assert relative_se(np.full(50, 10), 0.1, 200) == pytest.approx(np.sqrt(2 / 200) / 0.5)
    balanced = Grouping("g", np.repeat(np.arange(5000, dtype=np.int32), 10), pd.RangeIndex(5000))
    assert levels_for(balanced, 0.1, 0.1) == 800


def test_ratio_is_estimated_by_moments(data: pd.DataFrame, groupings: list[Grouping]) -> None:
    """The other factor counts as noise: 0.5 / 1.3 and 0.3 / 1.5, each with 5 % to 10 % of sampling error."""
    ones = np.ones(len(data))
    found = variance_ratios(data["y"].to_numpy(), ones, groupings)
    assert found["user"] == pytest.approx(0.5 / 1.3, rel=0.2)
    assert found["item"] == pytest.approx(0.3 / 1.5, rel=0.2)
    tripled = variance_ratios(data["y"].to_numpy(), 3 * ones, groupings)
    assert tripled == pytest.approx(found)
    noise = np.random.default_rng(0).normal(size=len(data))
    assert variance_ratios(noise, ones, groupings)["item"] == pytest.approx(0.01, abs=0.005)


@pytest.mark.parametrize("strategy", ["per-factor", "two-way", "rows"])
def test_fits_have_the_standard_errors_planned(data: pd.DataFrame, strategy: str) -> None:
    fit = mfx.learn_covariance(
        FORMULA, data, subsample=Subsample(strategy, target_se=0.2), satterthwaite=False
    )
    frame = fit.standard_errors.set_index("grp")
    relative = frame["se"] / pd.Series(VARIANCES)
    # By the true variances, because a se is about proportional to its own estimate. For shares of the data the factor
    # that needs most decides. The rule of one factor leaves out that the others are estimated too: 10 to 30 % here.
    worst = relative[["user", "item"]].max()
    assert 0.12 < worst < 0.28
    if strategy == "per-factor":
        assert relative["user"] == pytest.approx(0.2, rel=0.35)
        assert relative["item"] == pytest.approx(0.2, rel=0.35)
    assert fit.n_rows < 0.7 * len(data)


def test_a_target_out_of_reach_is_said(groupings: list[Grouping]) -> None:
    kind = Grouping("kind", np.arange(40_000, dtype=np.int32) % 8, pd.RangeIndex(8))
    with pytest.warns(
        SubsampleWarning, match=r"target_se=0.25 is out of reach for factor 'kind'.* 8 levels.* 0.5"
    ):
        draws = Subsample(target_se=0.25).plan([*groupings, kind])
    assert [(d.factor, d.sampled) for d in draws] == [("user", "user"), ("item", "item"), ("kind", "user")]
    with pytest.warns(SubsampleWarning, match="out of reach") as caught:
        (everything,) = Subsample("two-way", target_se=0.001).plan(groupings)
    assert len(caught) == 2
    assert everything.n_rows == 40_000

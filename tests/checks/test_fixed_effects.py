"""Fixed effects side by side: variance of the difference, and the worst one in view of their number."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mixedfx.checks.compare import Comparison
from mixedfx.checks.fixed_effects import check_fixed_effects, fixed_effects_table
from mixedfx.checks.thresholds import Thresholds

NAMES = ["(Intercept)", "x", "z"]


def table(difference: list[float]) -> pd.DataFrame:
    """se1 = 0.5, se2 = 0.3: the difference has standard deviation 0.4."""
    first = pd.Series([1.0, 2.0, 3.0], NAMES)
    return fixed_effects_table(
        first, pd.Series(0.5, NAMES), first + np.array(difference), pd.Series(0.3, NAMES)
    )


def test_difference_of_nested_estimates() -> None:
    found = table([0.4, -0.8, 0.0])
    assert found["z"].tolist() == pytest.approx([1.0, -2.0, 0.0])
    assert found["in_se"].tolist() == pytest.approx([0.8, -1.6, 0.0])


def test_variance_at_one_sigma_takes_precedence() -> None:
    first = pd.Series([1.0, 2.0], ["a", "b"])
    se = pd.Series(0.5, first.index)
    found = fixed_effects_table(first, se, first + 0.4, se, pd.Series({"a": 0.04}))
    # b: equal standard errors leave only what is allowed for in any case, a twentieth of them.
    assert found["z"].tolist() == pytest.approx([2.0, 0.4 / 0.025])


@pytest.mark.parametrize(
    ("difference", "status", "name"),
    [
        ([0.4, -0.8, 0.0], "ok", "x"),
        ([0.4, 0.0, 1.4], "warn", "z"),  # z = 3.5, 2.8 standard errors
        ([0.4, 3.0, 0.0], "fail", "x"),
    ],
)
def test_worst_one_stands_for_all(difference: list[float], status: str, name: str) -> None:
    (finding,) = check_fixed_effects(table(difference), Thresholds())
    assert (finding.status, finding.checked) == (status, name)
    assert finding.value == pytest.approx(np.max(np.abs(difference)) / 0.5)
    assert (finding.remedy == "") == (status == "ok")


def test_number_of_effects_counts() -> None:
    # z = 2.9 is rare for one effect, and not for thirty.
    names = [f"x{i}" for i in range(30)]
    one, zero = pd.Series(0.0, names), pd.Series(0.0, names)
    one["x7"] = 2.9 * 0.4
    many = fixed_effects_table(zero, pd.Series(0.5, names), one, pd.Series(0.3, names))
    assert check_fixed_effects(many, Thresholds())[0].status == "ok"
    assert check_fixed_effects(many.iloc[[7]], Thresholds())[0].status == "warn"


def test_effects_of_one_stage_only() -> None:
    found = fixed_effects_table(
        pd.Series({"a": 1.0}),
        pd.Series({"a": 0.5}),
        pd.Series({"a": 1.0, "b": 2.0}),
        pd.Series({"a": 0.3, "b": 0.3}),
    )
    worst, alone = check_fixed_effects(found, Thresholds())
    assert worst.checked == "a"
    assert (alone.checked, alone.status) == ("b", "skipped")
    nothing = fixed_effects_table(*(pd.Series(dtype=float) for _ in range(4)))
    assert check_fixed_effects(nothing, Thresholds())[0].status == "skipped"


def test_thresholds_stand_beside_fixed_effects(ordinal: Comparison) -> None:
    table = ordinal.fixed_effects.loc[["no|perhaps", "perhaps|yes"]]
    cov, coef = ordinal.covariance, ordinal.coefficients
    assert cov.thresholds is not None
    assert coef.thresholds is not None
    assert coef.thresholds_se is not None
    assert table["stage1"].tolist() == cov.thresholds.tolist()
    assert table["se2"].tolist() == coef.thresholds_se.tolist()
    assert table["difference"].tolist() == pytest.approx((coef.thresholds - cov.thresholds).tolist())
    # Half of the persons leave more open than all of them.
    assert (coef.thresholds_se < table["se1"]).all()
    assert np.isfinite(table["z"]).all()

"""The comparison as a DataTree: both stages, and what the checks computed."""

from __future__ import annotations

import pytest
from two_stages import TwoStages

from mixedfx.checks.compare import Comparison


def test_tree_has_both_stages_on_the_same_coordinates(sound: Comparison, rows_fit: TwoStages) -> None:
    tree = sound.data
    assert {"stage1", "stage2", "agreement", "full_data"} <= set(tree.children)
    first, second = tree["stage1"].to_dataset(), tree["stage2"].to_dataset()
    for name in ("user", "user_coef", "item", "coef"):
        assert list(first[name].values) == list(second[name].values)
    difference = second["b_user"] - first["b_user"]  # xarray aligns by label
    assert difference.sizes == {"user": 80, "user_coef": 2}
    expected = rows_fit.coef.ranef["user"].loc[7, "x"] - rows_fit.cov.ranef["user"].loc[7, "x"]
    assert float(difference.sel(user=7, user_coef="x")) == pytest.approx(expected)
    assert float(second["b_user_sd"].sel(user=7, user_coef="x")) == pytest.approx(
        rows_fit.coef.ranef_sd("user").loc[7, "x"]
    )
    assert (second["rows_user"] >= first["rows_user"]).all()
    assert float(tree["full_data"]["Sigma_item"].squeeze()) > 0


def test_tree_has_what_the_checks_computed(ordinal: Comparison, sound: Comparison) -> None:
    tree = ordinal.data
    agreement = tree["agreement"].to_dataset()
    levels = next(c for c in ordinal.levels if c.factor == "id")
    assert agreement["pit_id"].sel(id_coef="(Intercept)").to_numpy() == pytest.approx(levels.pit)
    assert agreement["pit_id"].attrs["levels"] == levels.pit_levels
    assert list(agreement["alpha_z"]["threshold"].to_numpy()) == ["no|perhaps", "perhaps|yes"]
    assert list(tree["stage2"]["alpha"].to_numpy()) == list(ordinal.fixed_effects["stage2"].iloc[-2:])
    assert list(tree["stage2"]["coef"].to_numpy()) == ["btypescold", "btypeshout"]
    observed = tree["predictive/categories"]["observed"]
    assert list(observed["category"].to_numpy()) == ["no", "perhaps", "yes"]
    assert float(observed.sum()) == pytest.approx(1.0)
    assert set(tree["predictive/calibration"].to_dataset()) == {"observed", "expected", "lower", "upper"}
    assert sound.held_out is not None
    score = sound.data["held_out"]["log score"].sel(prediction="stage2")
    assert float(score) == sound.held_out.scores.loc["log score", "stage2"]
    assert sound.data["predictive/residuals"].sizes == {"normal_quantile": 99}

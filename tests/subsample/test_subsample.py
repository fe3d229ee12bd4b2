"""Subsample takes the levels and rows it says, reproducibly, and refuses what it cannot do."""

from __future__ import annotations

import doctest
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mixedfx.subsample.pilot
import mixedfx.subsample.settings
from mixedfx.errors import MixedfxError, SettingError, SubsampleWarning
from mixedfx.grouping import Grouping
from mixedfx.subsample import DEFAULT_ROWS, Subsample


def grouping(name: str, codes: object) -> Grouping:
    codes = np.asarray(codes, dtype=np.int32)
    return Grouping(name, codes, pd.RangeIndex(int(codes.max()) + 1))


@pytest.fixture(scope="module")
def crossed() -> list[Grouping]:
    """60,000 rows of 2,000 users and 500 items, very unevenly active."""
    rng = np.random.default_rng(1)
    users = np.concatenate([np.arange(2000), (2000 * rng.random(58_000) ** 3).astype(int)])
    items = np.concatenate([np.arange(500), rng.integers(0, 500, 59_500)])
    return [grouping("user", users), grouping("item", rng.permutation(items))]


def test_levels_keeps_all_rows_of_the_levels_drawn(crossed: list[Grouping]) -> None:
    (draw,) = Subsample("levels", n_levels=40, factor="item").plan(crossed)
    kept = np.unique(crossed[1].codes[draw.rows])
    assert len(kept) == 40
    np.testing.assert_array_equal(draw.rows, np.flatnonzero(np.isin(crossed[1].codes, kept)))
    assert draw.rows.dtype == np.int64
    assert (draw.factor, draw.sampled) == (None, "item")
    assert draw.n_levels == {"user": len(np.unique(crossed[0].codes[draw.rows])), "item": 40}


def test_levels_samples_the_factor_with_most_levels_by_default(crossed: list[Grouping]) -> None:
    (draw,) = Subsample("levels", fraction=0.1).plan(crossed)
    assert draw.sampled == "user"
    assert draw.n_levels["user"] == 200


def test_rows_draws_distinct_rising_rows(crossed: list[Grouping]) -> None:
    (draw,) = Subsample("rows", n_rows=5000).plan(crossed)
    assert draw.n_rows == 5000
    assert (np.diff(draw.rows) > 0).all()
    (draw,) = Subsample("rows", fraction=0.25).plan(crossed)
    assert draw.n_rows == 15_000


def test_per_factor_draws_levels_of_each_factor(crossed: list[Grouping]) -> None:
    draws = Subsample(n_levels=100).plan(crossed)
    assert [draw.factor for draw in draws] == ["user", "item"] == [draw.sampled for draw in draws]
    for draw, factor in zip(draws, crossed, strict=True):
        assert draw.n_levels[factor.name] == 100
        kept = np.unique(factor.codes[draw.rows])
        assert draw.n_rows == np.isin(factor.codes, kept).sum()


def test_default_size_is_about_20_000_rows_for_each_factor(crossed: list[Grouping]) -> None:
    draws = Subsample().plan(crossed)
    assert [draw.factor for draw in draws] == ["user", "item"]
    # Of 2,000 uneven users a third is drawn; the standard deviation of their row count is about 5 %.
    assert all(abs(draw.n_rows / DEFAULT_ROWS - 1) < 0.25 for draw in draws)
    assert draws[0].n_levels["user"] == 667
    assert draws[1].n_levels["item"] == 167


def test_small_data_are_taken_whole_and_once(crossed: list[Grouping]) -> None:
    small = [Grouping(g.name, g.codes[:9000], g.levels) for g in crossed]
    for plan in (
        Subsample().plan(small),
        Subsample(n_levels=10_000).plan(small),
        Subsample(n_rows=9000).plan(small),
    ):
        (draw,) = plan
        assert draw.factor is None
        assert draw.n_rows == 9000


def test_factor_with_few_levels_is_read_from_a_sample_of_the_largest(crossed: list[Grouping]) -> None:
    kind = grouping("kind", np.arange(60_000) % 12)
    draws = Subsample().plan([*crossed, kind])
    assert [(draw.factor, draw.sampled) for draw in draws] == [
        ("user", "user"),
        ("item", "item"),
        ("kind", "user"),
    ]
    assert draws[2].n_levels["kind"] == 12
    assert draws[2].rows is draws[0].rows
    asked = Subsample(n_levels=6).plan([*crossed, kind])[2]
    assert (asked.sampled, asked.n_levels["kind"]) == ("kind", 6)


@pytest.mark.parametrize("strategy", ["levels", "rows", "per-factor", "two-way"])
def test_seed_decides(crossed: list[Grouping], strategy: str) -> None:
    def rows(seed: int) -> list[list[int]]:
        return [draw.rows.tolist() for draw in Subsample(strategy, fraction=0.05, seed=seed).plan(crossed)]

    assert rows(3) == rows(3)
    assert rows(3) != rows(4)


def test_levels_are_drawn_alike_whatever_the_order_of_rows(crossed: list[Grouping]) -> None:
    order = np.random.default_rng(0).permutation(60_000)
    shuffled = [Grouping(g.name, g.codes[order], g.levels) for g in crossed]
    for a, b in zip(Subsample(n_levels=30).plan(crossed), Subsample(n_levels=30).plan(shuffled), strict=True):
        np.testing.assert_array_equal(a.rows, np.sort(order[b.rows]))


def test_every_level_is_as_likely_whatever_its_activity(crossed: list[Grouping]) -> None:
    drawn = np.zeros(2000)
    for seed in range(200):
        (draw,) = Subsample("levels", n_levels=500, seed=seed).plan(crossed)
        drawn[np.unique(crossed[0].codes[draw.rows])] += 1
    # Mean of 200 active levels, each binomial(200, 1/4): 50 with standard deviation 6.1 / sqrt(200) = 0.43.
    assert drawn[:200].mean() == pytest.approx(50, abs=2.2)
    assert drawn[-200:].mean() == pytest.approx(50, abs=2.2)


def test_connectivity() -> None:
    # Users 0, 1 share item 0; user 2 has items 1 and 2 alone, 300 times, more than an int8 counts.
    user = grouping("user", [0, 1] + [2] * 600)
    item = grouping("item", [0, 0] + [1, 2] * 300)
    (draw,) = Subsample().plan([user, item])
    assert draw.components == 2
    assert draw.largest_component == pytest.approx(600 / 602)
    joined = grouping("day", [0] * 301 + [1] * 301)
    (draw,) = Subsample().plan([user, item, joined])
    assert (draw.components, draw.largest_component) == (1, 1.0)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (
            {"strategy": "users"},
            "strategy is 'users'; available: 'levels', 'rows', 'per-factor', 'two-way', 'core'",
        ),
        ({"target_se": 0}, "target_se is 0"),
        ({"target_se": 1.0}, "target_se is 1.0"),
        ({"target_se": 0.1, "n_rows": 100}, "n_rows and target_se"),
        ({"replicates": 0}, "replicates is 0"),
        ({"replicates": None}, "replicates is None"),
        ({"stratify": 1}, "stratify is 1"),
        ({"strategy": "rows", "stratify": True}, "'rows' draws none"),
        ({"strategy": "core", "target_se": 0.1}, "core has no standard error"),
        ({"strategy": "core", "replicates": 2}, "no replicates of it"),
        ({"strategy": "core", "n_levels": 20}, "not n_levels"),
        ({"n_rows": 0}, "n_rows is 0"),
        ({"n_rows": 10.5}, "n_rows is 10.5"),
        ({"n_levels": 1}, "n_levels is 1"),
        ({"n_levels": True}, "n_levels is True"),
        ({"fraction": 0}, "fraction is 0"),
        ({"fraction": 1.5}, "fraction is 1.5"),
        ({"fraction": float("nan")}, "fraction is nan"),
        ({"fraction": "half"}, "fraction is 'half'"),
        ({"seed": -1}, "seed is -1"),
        ({"n_rows": 100, "fraction": 0.5}, "n_rows and fraction"),
        ({"strategy": "rows", "n_levels": 5}, "not n_levels"),
        ({"factor": "user"}, "factor goes with strategy 'levels'"),
    ],
)
def test_bad_settings_are_named(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(SettingError, match=named):
        Subsample(**settings)


def test_unknown_factor_lists_the_known(crossed: list[Grouping]) -> None:
    with pytest.raises(MixedfxError, match=r"'film'.*user, item"):
        Subsample("levels", factor="film").plan(crossed)


def test_a_factor_left_with_one_level_is_refused() -> None:
    school = grouping("school", [0] * 99 + [1])
    pupil = grouping("pupil", np.arange(100))
    expected = r"1 level of factor 'school'.*more levels of factor 'pupil' \(n_levels is 2\)"
    with pytest.raises(SettingError, match=expected):
        Subsample("levels", n_levels=2, factor="pupil").plan([pupil, school])


def test_two_way_keeps_rows_whose_levels_were_all_drawn(crossed: list[Grouping]) -> None:
    (draw,) = Subsample("two-way", n_levels=300).plan(crossed)
    taken = [np.unique(g.codes[draw.rows]) for g in crossed]
    assert max(map(len, taken)) <= 300
    inside = np.logical_and.reduce([np.isin(g.codes, t) for g, t in zip(crossed, taken, strict=True)])
    np.testing.assert_array_equal(draw.rows, np.flatnonzero(inside))
    assert (draw.factor, draw.sampled) == (None, None)


def test_two_way_thins_every_factor_that_keeps_enough_levels(crossed: list[Grouping]) -> None:
    kind = grouping("kind", np.arange(60_000) % 12)
    (draw,) = Subsample("two-way", n_rows=6000).plan([*crossed, kind])
    # sqrt(1/10) of the users (some of whom have none of these items) and of the items; all 12 kinds. The users are
    # uneven: their rows have a standard deviation of 5 %.
    assert 620 < draw.n_levels["user"] <= 632
    assert (draw.n_levels["item"], draw.n_levels["kind"]) == (158, 12)
    assert draw.n_rows == pytest.approx(6000, rel=0.2)


def test_a_subsample_without_rows_is_refused() -> None:
    pairs = [grouping(name, np.arange(1000)) for name in ("a", "b")]
    with pytest.raises(SettingError, match=r"has no rows.*draw more levels \(n_levels is 3\)"):
        Subsample("two-way", n_levels=3).plan(pairs)


def test_replicates_have_no_sampled_level_in_common(crossed: list[Grouping]) -> None:
    draws = Subsample(n_levels=100, replicates=3).plan(crossed)
    assert [(d.replicate, d.factor) for d in draws] == [(r, f) for r in range(3) for f in ("user", "item")]
    for position, factor in enumerate(crossed):
        kept = np.concatenate([np.unique(factor.codes[d.rows]) for d in draws[position::2]])
        assert len(np.unique(kept)) == 300
    (alone, _) = Subsample(n_levels=100).plan(crossed)
    np.testing.assert_array_equal(draws[0].rows, alone.rows)


def test_replicates_of_rows_and_of_both_factors(crossed: list[Grouping]) -> None:
    rows = [d.rows for d in Subsample("rows", n_rows=20_000, replicates=3).plan(crossed)]
    assert len(np.unique(np.concatenate(rows))) == 60_000
    two = Subsample("two-way", n_levels=200, replicates=2).plan(crossed)
    assert [d.replicate for d in two] == [0, 1]
    for factor in crossed:
        assert not set(factor.codes[two[0].rows]) & set(factor.codes[two[1].rows])


def test_replicates_of_everything_are_one(crossed: list[Grouping]) -> None:
    (draw,) = Subsample(n_rows=60_000, replicates=5).plan(crossed)
    assert draw.n_rows == 60_000


def test_core_warns(crossed: list[Grouping]) -> None:
    with pytest.warns(SubsampleWarning, match="no sample of the levels"):
        (draw,) = Subsample("core", fraction=0.2).plan(crossed)
    assert draw.n_rows == pytest.approx(12_000, rel=0.1)


@pytest.mark.parametrize("module", [mixedfx.subsample.settings, mixedfx.subsample.pilot])
def test_docstring_examples(module: ModuleType) -> None:
    assert doctest.testmod(module).failed == 0


def test_settings_are_checked_where_all_rows_are_taken(crossed: list[Grouping]) -> None:
    with pytest.raises(SettingError, match="factor is 'nope', which is not a grouping factor"):
        Subsample("levels", n_rows=10**6, factor="nope").plan(crossed)
    with pytest.raises(SettingError, match="seed is None; it must be a whole number"):
        Subsample(seed=None)  # pyright: ignore[reportArgumentType]

"""Subsamples of Parquet files are those of the same data in memory, row by row, without reading everything."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx
from mixedfx import sampled_design
from mixedfx.design import Design
from mixedfx.errors import CollinearWarning, DataError, DroppedRowsWarning, SettingError
from mixedfx.families import get_family
from mixedfx.sampled_design import SampledDesigns, sampled_designs
from mixedfx.subsample import Subsample

N = 6000
SAMPLE = Subsample(n_levels=20, seed=3)


def make(n: int = N) -> pd.DataFrame:
    rng = np.random.default_rng(7)
    user = np.sort(rng.integers(0, 200, n))
    return pd.DataFrame(
        {
            "y": rng.normal(size=n).round(3),
            "liked": rng.integers(0, 2, n),
            "grade": pd.Categorical.from_codes(rng.integers(0, 3, n), ["poor", "fair", "good"], ordered=True),
            "x": rng.normal(size=n),
            "kind": rng.choice(["a", "b", "c"], n),
            "size": pd.Categorical(rng.choice(["small", "large"], n), ["small", "large"]),
            "year": rng.integers(2000, 2004, n),
            "w": rng.uniform(0.5, 2, n),
            "user": np.char.add("u", user.astype(str)),
            "item": rng.integers(0, 80, n),
            "shop": pd.Categorical(rng.choice(list("qrst"), n), list("tsrq")),
        }
    )


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    return make()


@pytest.fixture(scope="module")
def path(data: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("parquet") / "ratings.parquet"
    data.to_parquet(path, row_group_size=250)
    return path


def sampled(
    formula: str, data: object, sample: Subsample = SAMPLE, *, family: str = "gaussian", **more: Any
) -> SampledDesigns:
    settings = {"weights": None, "na": "drop"} | more
    return sampled_designs(formula, data, sample, family=get_family(family), **settings)


def same(one: SampledDesigns, other: SampledDesigns) -> None:
    assert len(one.draws) == len(other.draws)
    for a, b in zip(one.draws, other.draws, strict=True):
        np.testing.assert_array_equal(a.rows, b.rows)
        assert (a.factor, a.n_levels, a.components) == (b.factor, b.n_levels, b.components)
        same_design(one.design(a), other.design(b))


def same_design(a: Design, b: Design) -> None:
    np.testing.assert_array_equal(a.y, b.y)
    np.testing.assert_array_equal(a.weights, b.weights)
    assert a.predictors.index.tolist() == b.predictors.index.tolist()
    assert a.predictors.fixed_names == b.predictors.fixed_names
    np.testing.assert_array_equal(a.predictors.X(), b.predictors.X())
    for s, t in zip(a.predictors.terms, b.predictors.terms, strict=True):
        assert s.names == t.names
        pd.testing.assert_index_equal(s.grouping.levels, t.grouping.levels)
        np.testing.assert_array_equal(s.grouping.codes, t.grouping.codes)
        np.testing.assert_array_equal(a.predictors.z(s), b.predictors.z(t))


@pytest.mark.parametrize(
    ("formula", "family", "weights"),
    [
        ("y ~ 1 + x + (1 + x | user) + (1 | item)", "gaussian", None),
        ("y ~ kind + size + log(w) + (1 + size | user) + (1 | item)", "gaussian", "w"),
        ("y ~ factor(year) * x + offset(w) + (1 | user:shop) + (1 | item)", "gaussian", None),
        ("liked ~ 1 + (1 | user) + (1 | shop/item)", "bernoulli", None),
        ("grade ~ x + (1 | user) + (1 | item)", "cumulative", None),
    ],
)
def test_as_if_all_were_read(
    formula: str, family: str, weights: str | None, path: Path, data: pd.DataFrame
) -> None:
    files = sampled(formula, path, family=family, weights=weights)
    assert isinstance(files, sampled_design._InFiles)
    same(files, sampled(formula, data, family=family, weights=weights))


@pytest.mark.parametrize(
    "sample",
    [
        Subsample("rows", n_rows=500),
        Subsample("levels", factor="item", fraction=0.1, stratify=True),
        Subsample("two-way", n_levels=40, replicates=2),
        Subsample(n_rows=N),
    ],
)
def test_every_strategy(sample: Subsample, path: Path, data: pd.DataFrame) -> None:
    formula = "y ~ x + (1 | user) + (1 | item)"
    same(sampled(formula, path, sample), sampled(formula, data, sample))


def test_a_folder_of_files_with_a_partition(data: pd.DataFrame, tmp_path: Path) -> None:
    plain = data.assign(size=data["size"].astype(str), shop=data["shop"].astype(str)).drop(columns="grade")
    plain.to_parquet(tmp_path, partition_cols=["year"])
    formula = "y ~ x + size + (1 | user) + (1 | item) + (1 | year)"
    files = sampled(formula, tmp_path)
    assert isinstance(files, sampled_design._InFiles)
    same(files, sampled(formula, pd.read_parquet(tmp_path).astype({"year": "int32"})))


def test_categories_without_a_row_in_the_sample_keep_their_contrasts(tmp_path: Path) -> None:
    """The base level "a" is in one row only: without it "b" would become the base."""
    data = make().assign(kind=lambda d: np.where(np.arange(N) == 4321, "a", np.where(d["x"] > 0, "b", "c")))
    data.to_parquet(tmp_path / "d.parquet", row_group_size=500)
    formula = "y ~ kind + (1 | user) + (1 | item)"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        same(sampled(formula, tmp_path / "d.parquet"), sampled(formula, data))
    assert {w.category for w in caught} == {CollinearWarning}


def test_missing_values_of_any_column_and_kind(tmp_path: Path) -> None:
    data = make()
    rng = np.random.default_rng(1)
    for name in ("y", "x", "kind", "user"):
        data[name] = data[name].mask(rng.random(N) < 0.02)
    data["item"] = data["item"].astype("Int32").mask(rng.random(N) < 0.02)
    data.to_parquet(tmp_path / "d.parquet", row_group_size=500)
    formula = "y ~ x + kind + (1 | user) + (1 | item)"
    with pytest.warns(DroppedRowsWarning) as one:
        files = sampled(formula, tmp_path / "d.parquet")
    with pytest.warns(DroppedRowsWarning) as other:
        memory = sampled(formula, data.reset_index(drop=True))
    assert sorted(str(one[0].message)) == sorted(
        str(other[0].message)
    )  # the columns may come in another order
    for a, b in zip(files.draws, memory.draws, strict=True):
        np.testing.assert_array_equal(a.rows, b.rows)
        np.testing.assert_array_equal(files.design(a).y, memory.design(b).y)
    with pytest.raises(DataError, match="pass na='drop'"):
        sampled(formula, tmp_path / "d.parquet", na="raise")
    with pytest.raises(SettingError, match="na is 'keep'"):
        sampled(formula, tmp_path / "d.parquet", na="keep")


def test_nan_that_parquet_does_not_count_as_null(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    data = make()
    x = data["x"].to_numpy(copy=True)
    x[::50] = np.nan
    table = pa.Table.from_pandas(data.drop(columns="x")).append_column("x", pa.array(x, from_pandas=False))
    pq.write_table(table, tmp_path / "d.parquet", row_group_size=500)
    with pytest.warns(DroppedRowsWarning, match=r"120 of 6000 rows dropped: missing values in x \(120\)"):
        files = sampled("y ~ x + (1 | user) + (1 | item)", tmp_path / "d.parquet")
    assert len(files.design(files.draws[0]).y) == files.draws[0].n_rows


def test_only_the_row_groups_of_the_draw_are_kept(tmp_path: Path) -> None:
    """Users are sorted, and infinite values, which are an error, in row groups without a drawn user not looked at."""
    data = make()
    sample = Subsample("levels", factor="user", n_levels=3, seed=1)
    (draw,) = sampled("y ~ x + (1 | user) + (1 | item)", data, sample).draws
    data.loc[np.setdiff1d(np.arange(N), draw.rows), "x"] = np.inf
    data.to_parquet(tmp_path / "d.parquet", row_group_size=100)
    with pytest.raises(DataError, match="infinite"):
        sampled("y ~ x + (1 | user) + (1 | item)", data, sample)
    files = sampled("y ~ x + (1 | user) + (1 | item)", tmp_path / "d.parquet", sample)
    assert files.design(files.draws[0]).n_rows == draw.n_rows


@pytest.mark.parametrize(
    ("formula", "sample", "weights"),
    [
        ("y ~ scale(x) + (1 | user) + (1 | item)", SAMPLE, None),
        ("y ~ x + (1 + poly(w, 2) | user) + (1 | item)", SAMPLE, None),
        ("scale(y) ~ x + (1 | user) + (1 | item)", SAMPLE, None),
        ("y ~ x + (1 | user) + (1 | item)", Subsample(target_se=0.5), None),
        ("y ~ x + (1 | user) + (1 | item)", SAMPLE, np.linspace(1, 2, N)),
    ],
)
def test_what_needs_all_rows_reads_them(
    formula: str, sample: Subsample, weights: Any, path: Path, data: pd.DataFrame
) -> None:
    files = sampled(formula, path, sample, weights=weights)
    assert isinstance(files, sampled_design._InMemory)
    same(files, sampled(formula, data, sample, weights=weights))


def test_fits_are_the_same(path: Path, data: pd.DataFrame) -> None:
    formula = "y ~ 1 + x + (1 | user) + (1 | item)"
    one = mfx.learn_covariance(formula, path, subsample=SAMPLE, satterthwaite=False)
    other = mfx.learn_covariance(formula, data, subsample=SAMPLE, satterthwaite=False)
    pd.testing.assert_frame_equal(one.standard_errors, other.standard_errors)
    np.testing.assert_array_equal(one.fits["user"].rows, other.fits["user"].rows)


def test_bad_files_and_columns_are_named(path: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no column 'z'"):
        sampled("y ~ z + (1 | user) + (1 | item)", path)
    with pytest.raises(DataError, match="there is no file"):
        sampled("y ~ x + (1 | user) + (1 | item)", tmp_path / "none.parquet")
    (tmp_path / "bad.parquet").write_bytes(b"nothing")
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        sampled("y ~ x + (1 | user) + (1 | item)", tmp_path / "bad.parquet")


def test_a_single_level_is_refused(tmp_path: Path) -> None:
    data = make().assign(shop="q", region=lambda d: np.where(d["user"] == "u7", "east", "west"))
    data.to_parquet(tmp_path / "d.parquet")
    with pytest.raises(DataError, match="'shop' has one level only"):
        sampled("y ~ x + (1 | user) + (1 | shop)", tmp_path / "d.parquet")
    few = Subsample("levels", factor="user", n_levels=5, seed=1)
    with pytest.raises(SettingError, match=r"1 level of factor 'region'.*draw more levels of factor 'user'"):
        sampled("y ~ x + (1 | user) + (1 | region)", tmp_path / "d.parquet", few)

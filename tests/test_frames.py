"""Every accepted kind of data gives the same columns; what is not accepted is named."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from mixedfx.errors import DataError
from mixedfx.frames import load, read_columns


@pytest.fixture
def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "id": [1003, 1001, 1002, 1001],
            "x": [0.5, -1.0, 2.25, 1e-300],
            "name": ["b", "ä", "", "b"],
            "kind": pd.Categorical(["u", "v", "u", "w"], categories=["w", "v", "unused", "u"]),
            "grade": pd.Categorical([3, 1, 2, 3], categories=[1, 2, 3], ordered=True),
            "flag": [True, False, True, True],
        }
    )


def test_pandas_keeps_its_row_labels_and_is_not_changed(frame: pd.DataFrame) -> None:
    frame.index = pd.Index([7, 5, 5, 1])
    before = frame.copy()
    read = read_columns(frame, ["x", "id", "x"])
    assert list(read.columns) == ["x", "id"]
    read.loc[:, "x"] = 0.0
    pd.testing.assert_frame_equal(frame, before)
    assert read.index.equals(before.index)


def test_arrow(frame: pd.DataFrame) -> None:
    table = pa.Table.from_pandas(frame)
    pd.testing.assert_frame_equal(load(table), frame)
    pd.testing.assert_frame_equal(read_columns(table, ["kind", "x"]), frame[["kind", "x"]])


def test_arrow_of_several_chunks_with_different_dictionaries() -> None:
    parts = [pa.array(["a", "b"]).dictionary_encode(), pa.array(["c", "a"]).dictionary_encode()]
    read = load(pa.table({"k": pa.chunked_array(parts)}))
    assert read["k"].tolist() == ["a", "b", "c", "a"]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()], ids=str)
def test_every_arrow_string_is_a_pandas_string(kind: pa.DataType) -> None:
    read = load(pa.table({"s": pa.array(["a", None, "b"], kind)}))["s"]
    pd.testing.assert_series_equal(read, pd.Series(["a", None, "b"], name="s"))


def test_integers_with_missing_values_stay_integers() -> None:
    big = 2**60 + 1
    for kind in (pa.int64(), pa.uint64()):
        read = load(pa.table({"id": pa.array([big, None], kind)}))["id"]
        assert read.dtype.kind == str(kind)[0]
        assert read[0] == big
        assert read.isna().tolist() == [False, True]
    assert load(pa.table({"f": pa.array([True, None])}))["f"].dtype.kind == "b"


def test_polars(frame: pd.DataFrame) -> None:
    plain = ["id", "x", "name", "flag"]
    pd.testing.assert_frame_equal(load(pl.from_pandas(frame[plain])), frame[plain])


def test_polars_categories() -> None:
    data = pl.DataFrame(
        {
            "loose": pl.Series(["b", "c", "a"], dtype=pl.Categorical()),
            "fixed": pl.Series(["b", "c", "a"], dtype=pl.Enum(["c", "a", "b"])),
        }
    )
    read = load(data)
    # A polars Categorical has no order of its own; R would sort its strings.
    assert read["loose"].cat.categories.tolist() == ["a", "b", "c"]
    assert not read["loose"].cat.ordered
    assert read["fixed"].cat.categories.tolist() == ["c", "a", "b"]
    assert read["fixed"].cat.ordered
    assert read["fixed"].tolist() == read["loose"].tolist() == ["b", "c", "a"]


def test_polars_is_found_by_its_arrow_stream_only() -> None:
    class Stream:
        def __arrow_c_stream__(self, requested_schema: object = None) -> object:
            return pa.table({"x": [1, 2]}).__arrow_c_stream__(requested_schema)

    assert load(Stream())["x"].tolist() == [1, 2]


def test_parquet(frame: pd.DataFrame, tmp_path: Path) -> None:
    # Parquet keeps categories of strings only.
    frame["grade"] = frame["grade"].cat.rename_categories(["low", "mid", "high"])
    pq.write_table(pa.Table.from_pandas(frame), tmp_path / "d.parquet")
    pd.testing.assert_frame_equal(load(tmp_path / "d.parquet"), frame)
    pd.testing.assert_frame_equal(read_columns(str(tmp_path / "d.parquet"), ["grade"]), frame[["grade"]])


def test_parquet_folder(frame: pd.DataFrame, tmp_path: Path) -> None:
    frame["grade"] = frame["grade"].astype("int64")
    (tmp_path / "_SUCCESS").touch()
    (tmp_path / "more").mkdir()
    pq.write_table(pa.Table.from_pandas(frame[:3]), tmp_path / "a.parquet")
    pq.write_table(pa.Table.from_pandas(frame[3:]), tmp_path / "more" / "b.parquet")
    pd.testing.assert_frame_equal(load(tmp_path), frame)


def test_partitioned_parquet_folder(tmp_path: Path) -> None:
    table = pa.table({"x": [1.0, 2.0, 3.0], "year": [2001, 2001, 2002]})
    ds.write_dataset(table, tmp_path, format="parquet", partitioning=["year"], partitioning_flavor="hive")
    assert read_columns(tmp_path, ["year"])["year"].tolist() == [2001, 2001, 2002]


def test_csv(frame: pd.DataFrame, tmp_path: Path) -> None:
    plain = frame[["id", "x", "flag"]]
    plain.to_csv(tmp_path / "d.csv", index=False)
    pd.testing.assert_frame_equal(load(tmp_path / "d.csv"), plain)
    pd.testing.assert_frame_equal(read_columns(tmp_path / "d.csv", ["flag", "id"]), plain[["flag", "id"]])
    plain.to_csv(tmp_path / "e.tsv.gz", index=False, sep="\t")
    pd.testing.assert_frame_equal(load(tmp_path / "e.tsv.gz"), plain)
    both = pd.concat([plain, plain], ignore_index=True)
    pd.testing.assert_frame_equal(load(tmp_path), both)


def test_only_the_columns_needed_are_read(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text('x,broken\n1,"a\n2,b"\n3,c\n')
    assert read_columns(tmp_path / "d.csv", ["x"])["x"].tolist() == [1, 3]


def test_dates() -> None:
    day = dt.date(2020, 2, 29)
    assert load(pl.DataFrame({"d": [day]}))["d"].tolist() == [day]


def test_unknown_column_suggests_close_names(frame: pd.DataFrame, tmp_path: Path) -> None:
    frame.to_csv(tmp_path / "d.csv", index=False)
    pq.write_table(pa.Table.from_pandas(frame), tmp_path / "d.parquet")
    sources = [frame, pa.Table.from_pandas(frame), tmp_path / "d.csv", tmp_path / "d.parquet"]
    for data in sources:
        with pytest.raises(DataError, match=r"no column 'knd'; did you mean 'kind'\?"):
            read_columns(data, ["knd"])
    with pytest.raises(DataError, match="no column 'qqq'; there are: id, x, name"):
        read_columns(frame, ["qqq"])


def test_column_there_twice() -> None:
    data = pd.DataFrame(np.zeros((2, 3)), columns=["x", "x", "y"])
    assert read_columns(data, ["y"]).shape == (2, 1)
    with pytest.raises(DataError, match="several columns called 'x'"):
        read_columns(data, ["x"])


def test_what_is_not_data_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no file or folder .nowhere\.csv"):
        load("nowhere.csv")
    with pytest.raises(DataError, match=r"builtins\.dict cannot be read"):
        load({"x": [1]})
    with pytest.raises(DataError, match=r"LazyFrame cannot be read; call .collect\(\) first"):
        load(pl.LazyFrame({"x": [1]}))
    with pytest.raises(DataError, match="holds no, Parquet or CSV file"):
        load(tmp_path)
    (tmp_path / "d.txt").write_text("x\n1\n")
    with pytest.raises(DataError, match=r"d.txt' is not"):
        load(tmp_path / "d.txt")
    (tmp_path / "d.parquet").write_text("x\n1\n")
    with pytest.raises(DataError, match=r"d.parquet' cannot be read as Parquet"):
        load(tmp_path / "d.parquet")
    (tmp_path / "d.csv").write_text("")
    with pytest.raises(DataError, match=r"d.csv' cannot be read as CSV"):
        load(tmp_path / "d.csv")
    with pytest.raises(DataError, match="holds both Parquet and CSV"):
        load(tmp_path)

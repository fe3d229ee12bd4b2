"""Grouping factors: order, names and labels of levels, combinations, unknown levels."""

from __future__ import annotations

import datetime as dt
import json

import numpy as np
import pandas as pd
import pytest

from mixedfx.errors import DataError
from mixedfx.formula.formula import Group
from mixedfx.formula.groups import GroupLevels, fit_group

COLUMNS = {
    "integers": (pd.Series([30, 4, 30, 100]), [4, 30, 100], "int64"),
    "small integers": (pd.Series([30, 4, 30, 100], dtype="int8"), [4, 30, 100], "int8"),
    "nullable integers": (pd.Series([30, 4, 30, 100], dtype="Int64"), [4, 30, 100], "int64"),
    "arrow integers": (pd.Series([30, 4, 30, 100], dtype="uint16[pyarrow]"), [4, 30, 100], "uint16"),
    "numbers": (pd.Series([0.5, -1.0, 0.5]), [-1.0, 0.5], "float64"),
    "strings": (pd.Series(["b", "a", "C", "b"]), ["C", "a", "b"], None),
    "objects": (pd.Series(["b", "a", "b"], dtype=object), ["a", "b"], None),
    "arrow strings": (pd.Series(["b", "a"], dtype="string[pyarrow]"), ["a", "b"], None),
    "booleans": (pd.Series([True, False, True]), [False, True], "bool"),
    "nullable booleans": (pd.Series([True, False], dtype="boolean"), [False, True], "bool"),
    "categories": (pd.Series(pd.Categorical(["b", "a", "b"], ["z", "b", "a"])), ["b", "a"], None),
    "integer categories": (pd.Series(pd.Categorical([2, 1, 2], [2, 3, 1])), [2, 1], "int64"),
    "times": (
        pd.Series(pd.to_datetime(["2021-05-01 12:00:00.000000001", "2020-01-01"], format="ISO8601")),
        [pd.Timestamp("2020-01-01"), pd.Timestamp("2021-05-01 12:00:00.000000001")],
        "datetime64[ns]",
    ),
    "times of a zone": (
        pd.Series(
            pd.to_datetime(["2021-05-01 12:00", "2020-01-01"], format="ISO8601").tz_localize("Asia/Tokyo")
        ),
        [pd.Timestamp("2020-01-01", tz="Asia/Tokyo"), pd.Timestamp("2021-05-01 12:00", tz="Asia/Tokyo")],
        None,
    ),
    "dates": (
        pd.Series([dt.date(2021, 1, 1), dt.date(2020, 1, 1)]),
        [dt.date(2020, 1, 1), dt.date(2021, 1, 1)],
        None,
    ),
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_levels_keep_their_type_through_json(kind: str) -> None:
    column, expected, dtype = COLUMNS[kind]
    frame = column.to_frame("g")
    fitted, codes = fit_group(Group("g", ("g",)), frame)
    assert fitted.levels.tolist() == expected
    assert dtype is None or str(fitted.levels.dtype) == dtype
    assert codes.dtype == np.int32
    assert fitted.levels[codes].tolist() == column.tolist()
    again = GroupLevels.from_dict(fitted.group, json.loads(json.dumps(fitted.to_dict())))
    pd.testing.assert_index_equal(again.levels, fitted.levels, exact=True)
    assert np.array_equal(again.encode(frame), codes)
    assert again.row_labels(frame).tolist() == column.tolist()


def test_combinations_are_ordered_as_in_r() -> None:
    frame = pd.DataFrame({"cask": ["b", "a", "a", "b"], "batch": [10, 10, 9, 10]})
    fitted, codes = fit_group(Group("cask:batch", ("cask", "batch")), frame)
    # The first factor varies slowest; b:9 does not occur.
    assert fitted.levels.tolist() == ["a:9", "a:10", "b:10"]
    assert codes.tolist() == [2, 1, 0, 2]


def test_unknown_levels() -> None:
    frame = pd.DataFrame({"a": ["u", "v", "v"], "b": [1, 1, 2]})
    single, _ = fit_group(Group("a", ("a",)), frame)
    both, _ = fit_group(Group("a:b", ("a", "b")), frame)
    new = pd.DataFrame({"a": ["v", "u", "w", "u", "w"], "b": [2, 2, 1, 1, 3]})
    assert single.encode(new).tolist() == [1, 0, -1, 0, -1]
    # u:2 is made of known parts, but the fit did not have it.
    assert both.encode(new).tolist() == [2, -1, -1, 0, -1]
    assert both.row_labels(new).tolist() == ["v:2", "u:2", "w:1", "u:1", "w:3"]
    assert both.encode(new.astype({"a": "category"})).tolist() == [2, -1, -1, 0, -1]


def test_labels_of_combinations_are_printed_as_in_r() -> None:
    frame = pd.DataFrame(
        {"f": [True, False], "x": [1e5, 0.5], "d": pd.to_datetime(["2020-01-02", "2020-01-01"])}
    )
    fitted, _ = fit_group(Group("f:x:d", ("f", "x", "d")), frame)
    assert fitted.levels.tolist() == ["FALSE:0.5:2020-01-01", "TRUE:1e+05:2020-01-02"]


def test_one_level_is_refused() -> None:
    frame = pd.DataFrame({"a": ["only"] * 3, "b": [1, 2, 3]})
    with pytest.raises(DataError, match=r"grouping factor 'a' has one level only \(only\)"):
        fit_group(Group("a", ("a",)), frame)
    assert fit_group(Group("a:b", ("a", "b")), frame)[0].levels.tolist() == ["only:1", "only:2", "only:3"]


def test_values_that_are_no_levels() -> None:
    group = Group("g", ("g",))
    with pytest.raises(DataError, match="'g' cannot be sorted into levels"):
        fit_group(group, pd.DataFrame({"g": pd.Series([1, "a", 2], dtype=object)}))
    with pytest.raises(DataError, match="'g' holds infinite values"):
        fit_group(group, pd.DataFrame({"g": [1.0, np.inf]}))
    fitted, _ = fit_group(group, pd.DataFrame({"g": pd.period_range("2020", periods=2, freq="Y")}))
    with pytest.raises(DataError, match="is a Period, which cannot be saved"):
        fitted.to_dict()


def test_too_many_combinations_are_refused() -> None:
    n = 70_000
    frame = pd.DataFrame({name: np.arange(n) for name in "abcd"})
    with pytest.raises(DataError, match="too many levels to be combined"):
        fit_group(Group("a:b:c:d", ("a", "b", "c", "d")), frame)


@pytest.mark.parametrize(
    ("fitted", "new", "words"),
    [
        ([1, 2], ["1", "2"], "'g' holds text here .such as '1'.*numbers in the data of the fit .such as 1"),
        ([1, 2], pd.Categorical(["1", "2"]), "'g' holds text"),
        (["1", "2"], [1, 2], "'g' holds numbers here .*but text"),
        ([True, False], [1, 0], "'g' holds numbers here .*but booleans"),
        (["2020-01-01", "2021-01-01"], pd.to_datetime(["2020-01-01", "2021-01-01"]), "'g' holds times"),
    ],
)
def test_labels_of_another_type_are_refused(fitted: object, new: object, words: str) -> None:
    group, _ = fit_group(Group("g", ("g",)), pd.DataFrame({"g": fitted}))
    with pytest.raises(DataError, match=words):
        group.encode(pd.DataFrame({"g": new}))


@pytest.mark.parametrize(
    "dtype", ["float64", "category", "Int64", object, "int8", "uint64", "int32[pyarrow]"]
)
def test_integer_labels_are_found_in_every_type_of_integers(dtype: object) -> None:
    group, _ = fit_group(Group("g", ("g",)), pd.DataFrame({"g": [7, 3, 9]}))
    assert group.encode(pd.DataFrame({"g": pd.Series([9, 7, 5], dtype=dtype)})).tolist() == [2, 1, -1]  # pyright: ignore[reportArgumentType]


def test_combinations_of_labels_with_colons_stay_apart() -> None:
    frame = pd.DataFrame({"a": ["p:q", "p", "p\\", "p:q"], "b": ["r", "q:r", "q:r", "r"]})
    fitted, codes = fit_group(Group("a:b", ("a", "b")), frame)
    assert fitted.levels.tolist() == ["p:q:r", "p\\:q:r", "p\\\\:q:r"]
    assert codes.tolist() == [1, 0, 2, 1]
    assert fitted.row_labels(frame).tolist() == fitted.levels[codes].tolist()
    again = GroupLevels.from_dict(fitted.group, json.loads(json.dumps(fitted.to_dict())))
    assert again.levels.tolist() == fitted.levels.tolist()


@pytest.mark.parametrize(
    "labels", [[("a", 1), ("b", 2)], [["a"], ["b"]], pd.Categorical([("a", 1), ("b", 2)])]
)
def test_labels_of_several_values_are_refused(labels: object) -> None:
    column = pd.Series(labels, dtype=None if isinstance(labels, pd.Categorical) else object)
    with pytest.raises(DataError, match=r"'g' holds a (tuple|list) in each row.*\(1 \| a:b\)"):
        fit_group(Group("g", ("g",)), column.to_frame("g"))

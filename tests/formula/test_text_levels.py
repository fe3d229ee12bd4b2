"""Text of Arrow numbered and found."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa
import pytest

from mixedfx.formula.text_levels import arrow_text, find_texts, number_texts


def text(*chunks: list[str]) -> pa.ChunkedArray:
    return pa.chunked_array(list(chunks), type=pa.large_string())


def test_chunks_share_their_levels() -> None:
    codes, levels = number_texts(text(["b", "a", "b"], [], ["c", "a"]))
    assert levels.tolist() == ["a", "b", "c"]
    assert codes.tolist() == [1, 0, 1, 2, 0]
    assert str(codes.dtype) == "int32"


def test_order_is_by_code_point() -> None:
    assert number_texts(text(["é", "z", "Z", "a"]))[1].tolist() == ["Z", "a", "z", "é"]


def test_unknown_text_is_marked() -> None:
    levels = pd.Index(["a", "b"])
    assert find_texts(text(["b", "x"], ["a"]), levels).tolist() == [1, -1, 0]
    assert find_texts(text(), levels).tolist() == []


@pytest.mark.parametrize(
    ("column", "is_text"),
    [
        (pd.Series(["a"], dtype="string[pyarrow]"), True),
        (pd.Series(["a"], dtype=pd.ArrowDtype(pa.string())), True),
        (pd.Series(["a"], dtype=object), False),
        (pd.Series([1], dtype="int64[pyarrow]"), False),
        (pd.Series([1]), False),
    ],
)
def test_only_text_of_arrow(column: pd.Series, is_text: bool) -> None:
    assert (arrow_text(column) is not None) == is_text

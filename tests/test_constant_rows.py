"""One number for every row."""

from __future__ import annotations

import numpy as np
import pytest

from mixedfx.constant_rows import constant_rows, is_constant, take_rows


@pytest.mark.parametrize("n", [1, 5])
def test_a_view_is_told_from_an_array(n: int) -> None:
    view = constant_rows(2.0, n)
    assert view.tolist() == [2.0] * n
    assert is_constant(view)
    assert not is_constant(np.full(n, 2.0))


def test_it_cannot_be_written_to() -> None:
    with pytest.raises(ValueError, match="read-only"):
        constant_rows(1.0, 3)[0] = 2.0


def test_rows_of_a_view_are_a_view() -> None:
    rows = np.array([2, 0])
    taken = take_rows(constant_rows(3.0, 4), rows)
    assert is_constant(taken)
    assert taken.tolist() == [3.0, 3.0]
    assert take_rows(np.arange(4.0), rows).tolist() == [2.0, 0.0]

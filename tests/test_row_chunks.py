"""Rows in chunks."""

from __future__ import annotations

import numpy as np
import pytest

from mixedfx.row_chunks import row_chunks


@pytest.mark.parametrize(("n", "size"), [(0, 3), (1, 3), (3, 3), (4, 3), (9, 3)])
def test_every_row_is_in_one_chunk(n: int, size: int) -> None:
    chunks = list(row_chunks(n, size))
    assert np.concatenate([np.arange(n)[c] for c in chunks] or [[]]).tolist() == list(range(n))
    assert all(0 < c.stop - c.start <= size for c in chunks)

"""Long columns a part at a time, so that intermediate results take the memory of a part."""

from __future__ import annotations

from collections.abc import Iterator

ROWS_AT_ONCE = 2**18
"""Small enough that some arrays of so many 8-byte numbers fit into a processor's cache."""


def row_chunks(n_rows: int, rows_at_once: int = ROWS_AT_ONCE) -> Iterator[slice]:
    """Slices that cover rows 0 to N - 1 in order.

    Examples
    --------
    >>> [(chunk.start, chunk.stop) for chunk in row_chunks(5, 2)]
    [(0, 2), (2, 4), (4, 5)]
    """
    for start in range(0, n_rows, rows_at_once):
        yield slice(start, min(start + rows_at_once, n_rows))

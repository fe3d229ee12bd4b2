"""How many threads a kernel gets."""

from __future__ import annotations

from collections.abc import Callable

ROWS_A_THREAD = 20_000
"""Waking a thread costs about what a kernel needs for so many rows; on a busy machine it costs far more."""


def thread_count(n_rows: int) -> int:
    """Threads worth using for a traversal of `n_rows` rows, at most those that Numba has."""
    import numba

    return min(numba.get_num_threads(), 1 + n_rows // ROWS_A_THREAD)


def launch[T](kernel: Callable[..., T], n_rows: int, *arguments: object) -> T:
    """Call a parallel kernel with `thread_count` threads, and leave the caller's setting of Numba as it was."""
    import numba

    allowed = numba.get_num_threads()
    numba.set_num_threads(thread_count(n_rows))
    try:
        return kernel(*arguments)
    finally:
        numba.set_num_threads(allowed)

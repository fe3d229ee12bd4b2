"""Kernels on several threads: each takes a run of the eliminated factor's levels.

The kernels are compiled without Python's lock, so that plain threads do; they sleep between calls, where the threads of
OpenMP would spin and slow down whatever else the machine does.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from mixedfx.linalg.layout import RowLayout

ROWS_A_THREAD = 20_000
"""Waking a thread costs about what a kernel needs for so many rows; on a busy machine it costs far more."""

_pool: list[ThreadPoolExecutor] = []
os.register_at_fork(after_in_child=_pool.clear)  # a forked process has none of its parent's threads


def thread_count(n_rows: int) -> int:
    """Threads worth using for a traversal of `n_rows` rows, at most those that Numba is allowed."""
    from numba import config

    return min(int(config.NUMBA_NUM_THREADS), 1 + n_rows // ROWS_A_THREAD)  # pyright: ignore[reportAttributeAccessIssue]


def over_levels(
    layout: RowLayout, kernel: Callable[..., Any], *arguments: Any, each: Sequence[Any] = ()
) -> list[Any]:
    """Call ``kernel(first, last, *arguments, *each[.][t])`` for runs of levels, one a thread; results in their order.

    `each` holds lists with one item a thread, such as accumulators.
    """
    bounds = layout.chunks(thread_count(layout.n_rows))
    return in_threads(
        [
            (kernel, (bounds[t], bounds[t + 1], *arguments, *(items[t] for items in each)))
            for t in range(len(bounds) - 1)
        ]
    )


def in_threads(calls: Sequence[tuple[Callable[..., Any], tuple[Any, ...]]]) -> list[Any]:
    """Results of the calls (function, arguments), made at the same time."""
    if len(calls) == 1:
        function, arguments = calls[0]
        return [function(*arguments)]
    if not _pool:
        _pool.append(ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="mixedfx"))
    # This thread does the first call itself: one thread fewer to wake.
    others = [_pool[0].submit(function, *arguments) for function, arguments in calls[1:]]
    function, arguments = calls[0]
    return [function(*arguments), *(other.result() for other in others)]

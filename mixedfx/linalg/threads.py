"""Kernels on several threads: each takes a run of the eliminated factor's levels.

The kernels are compiled without Python's lock, so that plain threads do; they sleep between calls, where the threads of
OpenMP would spin and slow down whatever else the machine does.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixedfx.linalg.layout import RowLayout

ROWS_A_THREAD = 20_000
"""Waking a thread costs about what a kernel needs for so many rows; on a busy machine it costs far more."""

CACHE_LINES_APART = 32
"""Numbers between what neighbouring threads write: four lines of 64 bytes."""

_pool: list[ThreadPoolExecutor] = []
os.register_at_fork(after_in_child=_pool.clear)  # a forked process has none of its parent's threads


def thread_count(work: int, a_thread: int | None = None) -> int:
    """Threads worth using for so much work, rows to traverse by default; at most those that Numba is allowed."""
    return min(int(_numba_settings().NUMBA_NUM_THREADS), 1 + work // (a_thread or ROWS_A_THREAD))


@cache
def _numba_settings() -> Any:
    """Looked up once: small models ask some hundred times."""
    from numba import config

    return config


def per_thread(n_rows: int, shape: tuple[int, ...], fill: float | None = None) -> NDArray[np.float64]:
    """An array for each thread of a traversal, shape (T, *shape), apart by more than a cache line.

    Threads that write to one cache line wait for each other at every write: twice the time for ordinal models.
    """
    threads = thread_count(n_rows)
    if threads == 1:
        return np.empty((1, *shape)) if fill is None else np.full((1, *shape), fill)
    stride = math.prod(shape) + CACHE_LINES_APART
    room = np.empty(threads * stride) if fill is None else np.full(threads * stride, fill)
    strides = (8 * stride, *(8 * math.prod(shape[i + 1 :]) for i in range(len(shape))))
    return np.ndarray((threads, *shape), buffer=room, strides=strides)


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


def usable_cores() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

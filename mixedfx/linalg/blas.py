"""Threads of NumPy's and SciPy's BLAS: as a rule two libraries, each with threads of its own.

After every product that they share, these threads turn for some 30 ms, waiting for the next one, and take processors
from the threads of the other library and from our kernels; and they wait for each other many times in each product, so
that on a machine with other work a factorization of 500 rows can take 100 times as long as on one thread. While a fit
runs, both use one thread, and only SciPy's more of them, for what is large.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threadpoolctl import LibController

LARGE = 700
"""Rows of a matrix whose factorization or inverse is shared between threads: it takes some 10 ms on one."""


@contextmanager
def one_blas() -> Iterator[None]:
    """While it lasts, BLAS uses one thread, everywhere in the process, but for what is `shared`.

    Examples
    --------
    >>> with one_blas():
    ...     pass
    """
    with _limits.hold("one thread"):
        yield


@contextmanager
def all_blas_single() -> Iterator[None]:
    """The same without exceptions: for work that is itself spread over threads.

    Examples
    --------
    >>> with all_blas_single():
    ...     pass
    """
    with one_blas(), _limits.hold("no exceptions"):
        yield


@contextmanager
def shared(size: int) -> Iterator[None]:
    """While it lasts, SciPy's BLAS may use all its threads for matrices of `size` rows, if these are many.

    Examples
    --------
    >>> with one_blas(), shared(2000):
    ...     pass
    """
    if size < LARGE:
        yield
    else:
        with _limits.hold("all threads for what is large"):
            yield


class _Limits:
    """Counts who wants what: fits may run in several threads, and limits are the process's."""

    def __init__(self) -> None:
        self.lock, self.wanted = Lock(), Counter[str]()
        self.own: list[int] | None = None

    @contextmanager
    def hold(self, wish: str) -> Iterator[None]:
        self._count(wish, 1)
        try:
            yield
        finally:
            self._count(wish, -1)

    def _count(self, wish: str, change: int) -> None:
        with self.lock:
            self.wanted[wish] += change
            if self.own is None:
                if not self.wanted["one thread"]:
                    return
                self.own = [library.get_num_threads() or 1 for library, _ in _libraries()]
            limited = self.wanted["one thread"] > 0
            sharing = self.wanted["all threads for what is large"] and not self.wanted["no exceptions"]
            for (library, may_share), own in zip(_libraries(), self.own, strict=True):
                threads = 1 if limited and not (sharing and may_share) else own
                if library.get_num_threads() != threads:
                    library.set_num_threads(threads)
            if not limited:
                self.own = None


_limits = _Limits()


@cache
def _libraries() -> list[tuple[LibController, bool]]:
    """Every BLAS, and whether it is one for large matrices: SciPy's."""
    import scipy.linalg  # noqa: F401  (its BLAS has to be there to be told apart)
    from threadpoolctl import ThreadpoolController

    found = ThreadpoolController().select(user_api="blas").lib_controllers
    numpys = [_is_in_numpy(library.filepath) for library in found]
    return [(library, not own or all(numpys)) for library, own in zip(found, numpys, strict=True)]


def _is_in_numpy(library: str) -> bool:
    """In ``numpy.libs/`` or ``numpy/.dylibs/`` of an installation from a wheel."""
    return any(part.startswith("numpy") for part in Path(library).parts[-3:])

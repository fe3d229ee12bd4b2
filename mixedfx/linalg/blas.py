"""NumPy's and SciPy's BLAS: as a rule two libraries, each with threads of its own.

After every product that they share, these threads turn for some 30 ms, waiting for the next one, and take processors
from the threads of the other library and from our kernels: fits took up to twice as long. SciPy's does the large
factorizations; NumPy's has only small products here, and does them on one thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController


@contextmanager
def one_blas() -> Iterator[None]:
    """While it lasts, NumPy's BLAS uses one thread, everywhere in the process; unless SciPy has the same BLAS.

    Examples
    --------
    >>> with one_blas():
    ...     pass
    """
    _limits.enter()
    try:
        yield
    finally:
        _limits.leave()


@contextmanager
def all_blas_single() -> Iterator[None]:
    """While it lasts, every BLAS uses one thread: for work that is itself spread over threads.

    Examples
    --------
    >>> with all_blas_single():
    ...     pass
    """
    import scipy.linalg  # noqa: F401  (its BLAS has to be there to be limited)
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1, user_api="blas"):
        yield


class _Limits:
    """The first to come sets the limit, the last to go lifts it: fits may run in several threads."""

    def __init__(self) -> None:
        self.lock, self.users, self.set = Lock(), 0, ExitStack()

    def enter(self) -> None:
        with self.lock:
            if self.users == 0:
                self.set.enter_context(_numpys_blas().limit(limits=1))
            self.users += 1

    def leave(self) -> None:
        with self.lock:
            self.users -= 1
            if self.users == 0:
                self.set.close()


_limits = _Limits()


@cache
def _numpys_blas() -> ThreadpoolController:
    import scipy.linalg  # noqa: F401  (its BLAS has to be there to be told apart)
    from threadpoolctl import ThreadpoolController

    found = ThreadpoolController().select(user_api="blas")
    numpys = [library.filepath for library in found.lib_controllers if _is_in_numpy(library.filepath)]
    return found.select(filepath=numpys if len(numpys) < len(found.lib_controllers) else [])


def _is_in_numpy(library: str) -> bool:
    """In ``numpy.libs/`` or ``numpy/.dylibs/`` of an installation from a wheel."""
    return any(part.startswith("numpy") for part in Path(library).parts[-3:])

"""BLAS is limited to one thread for as long as anyone needs it, and not longer; SciPy's shares what is large."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import scipy.linalg  # noqa: F401  (loads its BLAS)
from threadpoolctl import ThreadpoolController

from mixedfx.linalg.blas import LARGE, _is_in_numpy, all_blas_single, one_blas, shared


def threads() -> list[tuple[bool, int]]:
    found = ThreadpoolController().select(user_api="blas").lib_controllers
    return [(_is_in_numpy(library.filepath), library.num_threads) for library in found]


@pytest.fixture
def two_threads() -> Iterator[None]:
    """Whatever the machine and its settings: limits are there to be seen."""
    with ThreadpoolController().select(user_api="blas").limit(limits=2):
        if {n for _, n in threads()} != {2}:
            pytest.skip("this BLAS has one thread only")
        yield


@pytest.mark.usefixtures("two_threads")
def test_limit_is_lifted_by_the_last_to_go() -> None:
    before = threads()
    limited = [(in_numpy, 1) for in_numpy, _ in before]
    with one_blas():
        assert threads() == limited
        with one_blas():
            pass
        assert threads() == limited
    assert threads() == before
    with pytest.raises(RuntimeError), one_blas():
        raise RuntimeError
    assert threads() == before


@pytest.mark.usefixtures("two_threads")
def test_large_matrices_are_shared() -> None:
    before = threads()
    if len({in_numpy for in_numpy, _ in before}) < 2:
        pytest.skip("NumPy and SciPy have the same BLAS here")
    limited = [(in_numpy, 1) for in_numpy, _ in before]
    with shared(LARGE):
        assert threads() == before
    with one_blas():
        with shared(LARGE - 1):
            assert threads() == limited
        with shared(LARGE):
            assert threads() == [(in_numpy, 1 if in_numpy else 2) for in_numpy, _ in before]
        assert threads() == limited
        with all_blas_single(), shared(LARGE):
            assert threads() == limited
    assert threads() == before


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/home/numpy/venv/lib/site-packages/numpy.libs/libscipy_openblas64_.so", True),
        ("/venv/lib/site-packages/numpy/.dylibs/libscipy_openblas64_.dylib", True),
        ("/home/numpy/venv/lib/site-packages/scipy.libs/libscipy_openblas.so", False),
        ("/usr/lib/x86_64-linux-gnu/openblas-pthread/libblas.so.3", False),
    ],
)
def test_whose_library_it_is(path: str, expected: bool) -> None:
    assert _is_in_numpy(path) is expected

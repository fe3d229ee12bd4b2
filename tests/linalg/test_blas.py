"""NumPy's BLAS is limited to one thread for as long as anyone needs it, and not longer."""

from __future__ import annotations

import pytest
import scipy.linalg  # noqa: F401  (loads its BLAS)
from threadpoolctl import ThreadpoolController

from mixedfx.linalg.blas import _is_in_numpy, one_blas


def threads() -> list[tuple[bool, int]]:
    found = ThreadpoolController().select(user_api="blas").lib_controllers
    return [(_is_in_numpy(library.filepath), library.num_threads) for library in found]


def test_limit_is_lifted_by_the_last_to_go() -> None:
    before = threads()
    if len({in_numpy for in_numpy, _ in before}) < 2:
        pytest.skip("NumPy and SciPy share one BLAS here")
    limited = [(in_numpy, 1 if in_numpy else n) for in_numpy, n in before]
    with one_blas():
        assert threads() == limited
        with one_blas():
            pass
        assert threads() == limited
    assert threads() == before
    with pytest.raises(RuntimeError), one_blas():
        raise RuntimeError
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

"""Cholesky factors and inverses of dense matrices in the memory that they are given.

Factorizations go without Python's lock, so that several threads factor matrices at the same time: SciPy's own wrapper
keeps it while LAPACK works. It is the same routine of the same library, called through the address that SciPy gives to
Cython.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from mixedfx.linalg.blas import shared

Floats = NDArray[np.float64]

_INTEGER = ctypes.POINTER(ctypes.c_int)


def upper_cholesky(S: Floats) -> Floats:
    """U with S = U'U from the lower triangle of S (n, n), C-contiguous, in its memory; below the diagonal of U are
    zeros.

    Raises
    ------
    LinAlgError
        S is not positive definite.
    """
    if not len(S):
        return S.T
    potrf = _potrf()
    # LAPACK reads columns first: for it the lower triangle of S is the upper one.
    if potrf is None or not S.flags.c_contiguous:
        with shared(len(S)):
            U = scipy.linalg.cholesky(S.T, lower=False, overwrite_a=True, check_finite=False)
        return _in_place(S.T, U)
    from mixedfx.linalg.dense_kernels import clear_upper

    n, info = ctypes.c_int(len(S)), ctypes.c_int(0)
    with shared(len(S)):
        potrf(b"U", ctypes.byref(n), S.ctypes.data, ctypes.byref(n), ctypes.byref(info))
    if info.value:
        raise scipy.linalg.LinAlgError(f"the leading minor of order {info.value} is not positive definite")
    clear_upper(S)
    return S.T


def upper_inverse(U: Floats) -> Floats:
    """The upper triangle of (U'U)^-1 from an upper triangle U (n, n), in its memory; what is below means nothing."""
    (potri,) = scipy.linalg.get_lapack_funcs(("potri",), (U,))
    with shared(len(U)):
        inverse, _ = potri(U, lower=0, overwrite_c=1)
    return _in_place(U, inverse)


def _in_place(memory: Floats, result: Floats) -> Floats:
    """`result` in the memory that SciPy was to overwrite, which it declines where columns are not in one piece."""
    if not np.shares_memory(memory, result):
        memory[...] = result
    return memory


@cache
def _potrf() -> Callable[..., Any] | None:
    """dpotrf(uplo, n, A, lda, info), None where SciPy's integers are not those of C."""
    from scipy.linalg import cython_lapack  # pyright: ignore[reportAttributeAccessIssue]

    capsule = cython_lapack.__pyx_capi__["dpotrf"]
    name, pointer = ctypes.pythonapi.PyCapsule_GetName, ctypes.pythonapi.PyCapsule_GetPointer
    name.restype, name.argtypes = ctypes.c_char_p, [ctypes.py_object]
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    signature = name(capsule)
    kinds = [kind.strip().split(" ")[0] for kind in signature.decode().split("(")[1].rstrip(")").split(",")]
    if [kinds[i] for i in (1, 3, 4)] != ["int"] * 3:
        return None
    prototype = ctypes.CFUNCTYPE(None, ctypes.c_char_p, _INTEGER, ctypes.c_void_p, _INTEGER, _INTEGER)
    return prototype(pointer(capsule, signature))

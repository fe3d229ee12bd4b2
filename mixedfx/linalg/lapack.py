"""LAPACK's Cholesky factorization without Python's lock, so that several threads factor matrices at the same time.

SciPy's own wrappers keep the lock while LAPACK works. These are the same routines of the same library, called through
the addresses that SciPy gives to Cython.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

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
    if potrf is None or not S.flags.c_contiguous:
        return scipy.linalg.cholesky(S.T, lower=False, overwrite_a=True, check_finite=False)
    from mixedfx.linalg.dense_kernels import clear_upper

    n, info = ctypes.c_int(len(S)), ctypes.c_int(0)
    # LAPACK reads columns first: for it the lower triangle of S is the upper one.
    potrf(b"U", ctypes.byref(n), S.ctypes.data, ctypes.byref(n), ctypes.byref(info))
    if info.value:
        raise scipy.linalg.LinAlgError(f"the leading minor of order {info.value} is not positive definite")
    clear_upper(S)
    return S.T


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

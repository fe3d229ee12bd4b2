"""Numba kernels that meet the dense rest: the Schur complement itself, and what its inverse says of a level.

Both collect, for one level of the eliminated factor, the columns of the rest that its rows touch and
B = sum_r omega z_e d_o' on those columns, shape (q, touched); the cost is the sum over levels of touched^2.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from mixedfx.linalg.kernels import _FAST, _value


@njit(inline="always")
def _collect(j, ptr, codes, features, cols_e, cols_r, first, start, cols_x, omega, position, touched, B):
    """Fill touched[:n] and B[:n] (transposed: (touched, q)) for level j; returns n. `position` is -1 throughout."""
    n, q = 0, cols_e.shape[0]
    for r in range(ptr[j], ptr[j + 1]):
        for k in range(codes.shape[0] + 1):
            if k < codes.shape[0]:
                low, high = first[k], first[k + 1]
                base = start[k] + codes[k, r] * (high - low)
            else:
                low, high, base = 0, cols_x.shape[0], start[k]
            for i in range(low, high):
                index = base + i - low
                at = position[index]
                if at < 0:
                    at = n
                    position[index] = n
                    touched[n] = index
                    B[n, :] = 0.0
                    n += 1
                column = cols_r[i] if k < codes.shape[0] else cols_x[i]
                x = omega[r] * _value(features, r, column)
                for h in range(q):
                    B[at, h] += x * _value(features, r, cols_e[h])
    for i in range(n):
        position[touched[i]] = -1
    return n


@njit(parallel=True, cache=True, fastmath=_FAST)
def dense_reduced(chunks, ptr, codes, features, cols_e, cols_r, first, start, cols_x, omega, M, n_rest):
    """Lower triangle of G = D_o' (W - W Z_e M Z_e' W) D_o, shape (n_rest, n_rest); upper triangle left zero.

    Every thread walks all rows and writes the rows of G that are its own (index modulo threads): no copies.
    """
    parts = chunks.shape[0] - 1
    G = np.zeros((n_rest, n_rest))
    q = cols_e.shape[0]
    longest = 0
    for j in range(ptr.shape[0] - 1):
        longest = max(longest, ptr[j + 1] - ptr[j])
    capacity = min(n_rest, longest * cols_r.shape[0] + cols_x.shape[0])
    K = codes.shape[0]
    width = cols_r.shape[0] + cols_x.shape[0]
    for t in prange(parts):
        position = np.full(n_rest, -1, dtype=np.int64)
        touched = np.empty(capacity, dtype=np.int64)
        B = np.empty((capacity, q))
        MB = np.empty((capacity, q))
        row_index = np.empty(width, dtype=np.int64)
        row_value = np.empty(width)
        for j in range(ptr.shape[0] - 1):
            for r in range(ptr[j], ptr[j + 1]):
                n = 0
                for k in range(K):
                    base = start[k] + codes[k, r] * (first[k + 1] - first[k]) - first[k]
                    for i in range(first[k], first[k + 1]):
                        row_index[n] = base + i
                        row_value[n] = _value(features, r, cols_r[i])
                        n += 1
                for i in range(cols_x.shape[0]):
                    row_index[n] = start[K] + i
                    row_value[n] = _value(features, r, cols_x[i])
                    n += 1
                for a in range(n):
                    ia = row_index[a]
                    if ia % parts == t:
                        x = omega[r] * row_value[a]
                        for b in range(n):
                            if row_index[b] <= ia:
                                G[ia, row_index[b]] += x * row_value[b]
            n = _collect(
                j, ptr, codes, features, cols_e, cols_r, first, start, cols_x, omega, position, touched, B
            )
            for a in range(n):
                for i in range(q):
                    total = 0.0
                    for h in range(q):
                        total += M[j, i, h] * B[a, h]
                    MB[a, i] = total
            for a in range(n):
                ia = touched[a]
                if ia % parts == t:
                    for b in range(n):
                        ib = touched[b]
                        if ib <= ia:
                            total = 0.0
                            for i in range(q):
                                total += B[a, i] * MB[b, i]
                            G[ia, ib] -= total
    return G


@njit(parallel=True, cache=True, fastmath=_FAST)
def level_quadratic(chunks, ptr, codes, features, cols_e, cols_r, first, start, cols_x, omega, H):
    """B_j H B_j' for every level j of the eliminated factor, shape (J, q, q); H symmetric (n_rest, n_rest), full."""
    q = cols_e.shape[0]
    out = np.zeros((ptr.shape[0] - 1, q, q))
    n_rest = H.shape[0]
    longest = 0
    for j in range(ptr.shape[0] - 1):
        longest = max(longest, ptr[j + 1] - ptr[j])
    capacity = min(n_rest, longest * cols_r.shape[0] + cols_x.shape[0])
    for t in prange(chunks.shape[0] - 1):
        position = np.full(n_rest, -1, dtype=np.int64)
        touched = np.empty(capacity, dtype=np.int64)
        B = np.empty((capacity, q))
        HB = np.empty(q)
        for j in range(chunks[t], chunks[t + 1]):
            n = _collect(
                j, ptr, codes, features, cols_e, cols_r, first, start, cols_x, omega, position, touched, B
            )
            for a in range(n):
                ia = touched[a]
                HB[:] = 0.0
                for b in range(n):
                    x = H[ia, touched[b]]
                    for i in range(q):
                        HB[i] += x * B[b, i]
                for i in range(q):
                    for h in range(q):
                        out[j, i, h] += B[a, i] * HB[h]
    return out

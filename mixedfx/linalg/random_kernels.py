"""Numba kernels that read the random terms alone, one right-hand side at a time: Z, without fixed effects.

An inner mode at given fixed effects needs many cheap products, and one dense Schur complement. Rows are grouped by the
eliminated factor, as everywhere; coordinates are b. Leverages h_r = z_r' C_bb^-1 z_r come from H, the covariance of
the remaining coefficients, M_j, that of an eliminated level's given the rest, and B_j = sum of omega z_o z_e' over the
level's rows:

    h_r = z_e' M_j z_e + v' H v,   v = z_o - B_j M_j z_e,

which needs H B_j once a level: the cost is the sum over levels of (columns of the rest that its rows touch)^2.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_FAST = {"reassoc", "contract", "nsz", "arcp"}
_inner = njit(inline="always", fastmath=_FAST, error_model="numpy")
_kernel = njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")


@_inner
def _value(features, r, column):
    return 1.0 if column < 0 else features[r, column]


@_kernel
def times(low, high, ptr, codes, features, cols_e, cols_r, first, start, e, rest, base, out):
    """out = base + Z_e e + Z_o rest; e (J, q), rest (n,), rows (N,)."""
    for j in range(low, high):
        for r in range(ptr[j], ptr[j + 1]):
            total = base[r]
            for i in range(cols_e.shape[0]):
                total += _value(features, r, cols_e[i]) * e[j, i]
            for k in range(codes.shape[0]):
                at = start[k] + codes[k, r] * (first[k + 1] - first[k]) - first[k]
                for i in range(first[k], first[k + 1]):
                    total += _value(features, r, cols_r[i]) * rest[at + i]
            out[r] = total


@_kernel
def transpose_times(low, high, ptr, codes, features, cols_e, cols_r, first, start, rows, e, rest):
    """e = Z_e' rows, rest += Z_o' rows; rows (N,)."""
    for j in range(low, high):
        for i in range(cols_e.shape[0]):
            e[j, i] = 0.0
        for r in range(ptr[j], ptr[j + 1]):
            s = rows[r]
            for i in range(cols_e.shape[0]):
                e[j, i] += _value(features, r, cols_e[i]) * s
            for k in range(codes.shape[0]):
                at = start[k] + codes[k, r] * (first[k + 1] - first[k]) - first[k]
                for i in range(first[k], first[k + 1]):
                    rest[at + i] += _value(features, r, cols_r[i]) * s


@_kernel
def level_blocks(low, high, ptr, features, cols_e, omega, out):
    """out = Z_j' W Z_j of the eliminated levels, (J, q, q)."""
    for j in range(low, high):
        for i in range(cols_e.shape[0]):
            for h in range(cols_e.shape[0]):
                out[j, i, h] = 0.0
        for r in range(ptr[j], ptr[j + 1]):
            for i in range(cols_e.shape[0]):
                x = omega[r] * _value(features, r, cols_e[i])
                for h in range(cols_e.shape[0]):
                    out[j, i, h] += x * _value(features, r, cols_e[h])


@_inner
def _collect(j, ptr, codes, features, cols_e, cols_r, first, start, omega, position, touched, B):
    """Fill touched[:n] and B[:n] (touched, q) for level j, and `position` of what is touched; returns n."""
    n = 0
    for r in range(ptr[j], ptr[j + 1]):
        for k in range(codes.shape[0]):
            base = start[k] + codes[k, r] * (first[k + 1] - first[k]) - first[k]
            for i in range(first[k], first[k + 1]):
                at = position[base + i]
                if at < 0:
                    at = n
                    position[base + i] = n
                    touched[n] = base + i
                    for g in range(cols_e.shape[0]):
                        B[n, g] = 0.0
                    n += 1
                x = omega[r] * _value(features, r, cols_r[i])
                for g in range(cols_e.shape[0]):
                    B[at, g] += x * _value(features, r, cols_e[g])
    return n


@_kernel
def schur(part, parts, ptr, codes, features, cols_e, cols_r, first, start, omega, M, capacity, G):
    """Lower triangle of G += Z_o' (W - W Z_e M Z_e' W) Z_o, (n, n).

    Every thread walks all rows and writes the rows of G that are its own (index modulo `parts`): no copies.
    """
    q, K, width = cols_e.shape[0], codes.shape[0], cols_r.shape[0]
    position = np.full(G.shape[0], -1, dtype=np.int64)
    touched = np.empty(capacity, dtype=np.int64)
    B = np.empty((capacity, q))
    MB = np.empty(q)
    index = np.empty(width, dtype=np.int64)
    value = np.empty(width)
    for j in range(ptr.shape[0] - 1):
        n = _collect(j, ptr, codes, features, cols_e, cols_r, first, start, omega, position, touched, B)
        for r in range(ptr[j], ptr[j + 1]):
            for k in range(K):
                base = start[k] + codes[k, r] * (first[k + 1] - first[k]) - first[k]
                for i in range(first[k], first[k + 1]):
                    index[i] = base + i
                    value[i] = _value(features, r, cols_r[i])
            for a in range(width):  # factors follow one another, so that indices rise
                if index[a] % parts == part:
                    x = omega[r] * value[a]
                    for b in range(a + 1):
                        G[index[a], index[b]] += x * value[b]
        for a in range(n):
            position[touched[a]] = -1
        for a in range(n):
            ia = touched[a]
            for g in range(q):
                MB[g] = 0.0
                for i in range(q):
                    MB[g] += M[j, g, i] * B[a, i]
            if K == 1:  # rows of a level are sorted by the one remaining factor
                if ia % parts != part:
                    continue
                if q == 1:
                    x = MB[0]
                    for b in range(a + 1):
                        G[ia, touched[b]] -= x * B[b, 0]
                    continue
            for b in range(a + 1):
                high, low = max(ia, touched[b]), min(ia, touched[b])
                if high % parts == part:
                    total = 0.0
                    for g in range(q):
                        total += MB[g] * B[b, g]
                    G[high, low] -= total


@_kernel
def leverages(
    low, high, ptr, codes, features, cols_e, cols_r, first, start, omega, M, H, capacity, h, quadratic
):
    """Fill h (N,), and quadratic = B_j' H B_j (J, q, q), for levels `low`..`high`; M (J, q, q), H symmetric and full.

    `capacity` bounds how many columns of the rest the rows of one level touch.
    """
    q, K, width = cols_e.shape[0], codes.shape[0], cols_r.shape[0]
    position = np.full(H.shape[0], -1, dtype=np.int64)
    touched = np.empty(capacity, dtype=np.int64)
    B = np.empty((capacity, q))
    HB = np.empty((capacity, q))
    index = np.empty(width, dtype=np.int64)
    value = np.empty(width)
    image = np.empty(q)
    for j in range(low, high):
        n = _collect(j, ptr, codes, features, cols_e, cols_r, first, start, omega, position, touched, B)
        for g in range(q):
            for i in range(q):
                quadratic[j, g, i] = 0.0
        if q == 1:
            for a in range(n):
                ia, total = touched[a], 0.0
                for b in range(n):
                    total += H[ia, touched[b]] * B[b, 0]
                HB[a, 0] = total
        else:
            for a in range(n):
                ia = touched[a]
                for g in range(q):
                    total = 0.0
                    for b in range(n):
                        total += H[ia, touched[b]] * B[b, g]
                    HB[a, g] = total
        for a in range(n):
            for g in range(q):
                for i in range(q):
                    quadratic[j, g, i] += B[a, g] * HB[a, i]
        for r in range(ptr[j], ptr[j + 1]):
            total = 0.0
            for g in range(q):
                image[g] = 0.0
                for i in range(q):
                    image[g] += M[j, g, i] * _value(features, r, cols_e[i])
                total += image[g] * _value(features, r, cols_e[g])
            for g in range(q):
                for i in range(q):
                    total += image[g] * quadratic[j, g, i] * image[i]
            for k in range(K):
                base = start[k] + codes[k, r] * (first[k + 1] - first[k]) - first[k]
                for i in range(first[k], first[k + 1]):
                    index[i] = base + i
                    value[i] = _value(features, r, cols_r[i])
            for a in range(width):
                at = position[index[a]]
                crossed = 0.0
                for g in range(q):
                    crossed += HB[at, g] * image[g]
                own = 0.0
                for b in range(width):
                    own += H[index[a], index[b]] * value[b]
                total += value[a] * (own - 2.0 * crossed)
            h[r] = total
        for a in range(n):
            position[touched[a]] = -1

"""Numba kernels: one traversal of the rows each, level by level of the eliminated factor.

A row's linear form over the rest is ``d_o' v = sum_k z_k' v[level of k] + x' v[beta]``. Threads take runs of levels
(`chunks`) and scatter into accumulators of their own, which are summed at the end. The arguments shared by all are
those of `RowLayout`; `cols_e` and `cols_x` are its `eliminated_columns` and `fixed_columns`. T = number of chunks,
m = number of right-hand sides, q = q_e.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

_FAST = {"reassoc", "contract", "nsz", "arcp"}  # sums may be reordered; infinities and NaN keep their meaning


@njit(inline="always")
def _value(features, r, column):
    return 1.0 if column < 0 else features[r, column]


@njit(inline="always")
def _gather(features, codes, cols_r, first, start, cols_x, r, v, c):
    """d_o' v[:, c] of row r."""
    total = 0.0
    for k in range(codes.shape[0]):
        base = start[k] + codes[k, r] * (first[k + 1] - first[k]) - first[k]
        for i in range(first[k], first[k + 1]):
            total += _value(features, r, cols_r[i]) * v[base + i, c]
    base = start[codes.shape[0]]
    for i in range(cols_x.shape[0]):
        total += _value(features, r, cols_x[i]) * v[base + i, c]
    return total


@njit(inline="always")
def _scatter(features, codes, cols_r, first, start, cols_x, r, s, out, c):
    """out[:, c] += d_o s of row r."""
    for k in range(codes.shape[0]):
        base = start[k] + codes[k, r] * (first[k + 1] - first[k]) - first[k]
        for i in range(first[k], first[k + 1]):
            out[base + i, c] += _value(features, r, cols_r[i]) * s
    base = start[codes.shape[0]]
    for i in range(cols_x.shape[0]):
        out[base + i, c] += _value(features, r, cols_x[i]) * s


@njit(inline="always")
def _eliminated(features, cols_e, r, a, c):
    """z_e' a[:, c] of row r."""
    total = 0.0
    for i in range(cols_e.shape[0]):
        total += _value(features, r, cols_e[i]) * a[i, c]
    return total


@njit(parallel=True, cache=True, fastmath=_FAST)
def matvec(chunks, ptr, codes, features, cols_e, cols_r, first, start, cols_x, e, v):
    """Rows Z_e e + D_o v, shape (N, m); e (J, q, m), v (n_rest, m)."""
    m = v.shape[1]
    out = np.empty((features.shape[0], m))
    for t in prange(chunks.shape[0] - 1):
        for j in range(chunks[t], chunks[t + 1]):
            for r in range(ptr[j], ptr[j + 1]):
                for c in range(m):
                    out[r, c] = _gather(features, codes, cols_r, first, start, cols_x, r, v, c) + _eliminated(
                        features, cols_e, r, e[j], c
                    )
    return out


@njit(parallel=True, cache=True, fastmath=_FAST)
def rmatvec(chunks, ptr, codes, features, cols_e, cols_r, first, start, cols_x, rows, n_rest):
    """(Z_e' rows, shape (J, q, m); D_o' rows, shape (T, n_rest, m), to be summed over T); rows (N, m)."""
    m, q, threads = rows.shape[1], cols_e.shape[0], chunks.shape[0] - 1
    e = np.zeros((ptr.shape[0] - 1, q, m))
    rest = np.zeros((threads, n_rest, m))
    for t in prange(threads):
        out = rest[t]
        for j in range(chunks[t], chunks[t + 1]):
            for r in range(ptr[j], ptr[j + 1]):
                for c in range(m):
                    s = rows[r, c]
                    for i in range(q):
                        e[j, i, c] += _value(features, r, cols_e[i]) * s
                    _scatter(features, codes, cols_r, first, start, cols_x, r, s, out, c)
    return e, rest


@njit(parallel=True, cache=True, fastmath=_FAST)
def cross(chunks, ptr, codes, features, cols_e, cols_r, first, start, cols_x, omega, e, n_rest):
    """D_o' W Z_e e, shape (T, n_rest, m), to be summed over T; e (J, q, m)."""
    m, threads = e.shape[2], chunks.shape[0] - 1
    rest = np.zeros((threads, n_rest, m))
    for t in prange(threads):
        out = rest[t]
        for j in range(chunks[t], chunks[t + 1]):
            for r in range(ptr[j], ptr[j + 1]):
                for c in range(m):
                    s = omega[r] * _eliminated(features, cols_e, r, e[j], c)
                    _scatter(features, codes, cols_r, first, start, cols_x, r, s, out, c)
    return rest


@njit(parallel=True, cache=True, fastmath=_FAST)
def reduced_product(chunks, ptr, codes, features, cols_e, cols_r, first, start, cols_x, omega, M, v, longest):
    """D_o' (W - W Z_e M Z_e' W) D_o v, shape (T, n_rest, m), to be summed over T; M (J, q, q), v (n_rest, m).

    `longest` is the largest number of rows of a level: a level's rows are kept between its two sweeps.
    """
    m, q, threads = v.shape[1], cols_e.shape[0], chunks.shape[0] - 1
    rest = np.zeros((threads, v.shape[0], m))
    for t in prange(threads):
        out = rest[t]
        rows = np.empty((longest, m))
        sums = np.empty((q, m))
        a = np.empty((q, m))
        for j in range(chunks[t], chunks[t + 1]):
            begin = ptr[j]
            sums[:] = 0.0
            for r in range(begin, ptr[j + 1]):
                for c in range(m):
                    s = omega[r] * _gather(features, codes, cols_r, first, start, cols_x, r, v, c)
                    rows[r - begin, c] = s
                    for i in range(q):
                        sums[i, c] += _value(features, r, cols_e[i]) * s
            for c in range(m):
                for i in range(q):
                    total = 0.0
                    for h in range(q):
                        total += M[j, i, h] * sums[h, c]
                    a[i, c] = total
            for r in range(begin, ptr[j + 1]):
                for c in range(m):
                    s = rows[r - begin, c] - omega[r] * _eliminated(features, cols_e, r, a, c)
                    _scatter(features, codes, cols_r, first, start, cols_x, r, s, out, c)
    return rest


@njit(parallel=True, cache=True, fastmath=_FAST)
def back_substitute(chunks, ptr, codes, features, cols_e, cols_r, first, start, cols_x, omega, M, h, v):
    """(sums = Z_e' W D_o v, shape (J, q, m); rows D_o v + Z_e (h - M sums), shape (N, m)); h (J, q, m)."""
    m, q = v.shape[1], cols_e.shape[0]
    sums = np.zeros((ptr.shape[0] - 1, q, m))
    rows = np.empty((features.shape[0], m))
    for t in prange(chunks.shape[0] - 1):
        a = np.empty((q, m))
        for j in range(chunks[t], chunks[t + 1]):
            for r in range(ptr[j], ptr[j + 1]):
                for c in range(m):
                    s = _gather(features, codes, cols_r, first, start, cols_x, r, v, c)
                    rows[r, c] = s
                    for i in range(q):
                        sums[j, i, c] += _value(features, r, cols_e[i]) * omega[r] * s
            for c in range(m):
                for i in range(q):
                    total = h[j, i, c]
                    for g in range(q):
                        total -= M[j, i, g] * sums[j, g, c]
                    a[i, c] = total
            for r in range(ptr[j], ptr[j + 1]):
                for c in range(m):
                    rows[r, c] += _eliminated(features, cols_e, r, a, c)
    return sums, rows


@njit(parallel=True, cache=True, fastmath=_FAST)
def diagonal_blocks(chunks, ptr, codes, features, cols_e, cols_r, first, block_start, omega, n_blocks):
    """Z_j' W Z_j of every level: eliminated factor (J, q, q); remaining factors flat, shape (T, n_blocks).

    Factor k's blocks begin at ``block_start[k]`` of the flat array, level by level, (q_k, q_k) each.
    """
    q, threads = cols_e.shape[0], chunks.shape[0] - 1
    e = np.zeros((ptr.shape[0] - 1, q, q))
    rest = np.zeros((threads, n_blocks))
    for t in prange(threads):
        out = rest[t]
        for j in range(chunks[t], chunks[t + 1]):
            for r in range(ptr[j], ptr[j + 1]):
                w = omega[r]
                for i in range(q):
                    x = w * _value(features, r, cols_e[i])
                    for h in range(q):
                        e[j, i, h] += x * _value(features, r, cols_e[h])
                for k in range(codes.shape[0]):
                    width = first[k + 1] - first[k]
                    base = block_start[k] + codes[k, r] * width * width
                    for i in range(width):
                        x = w * _value(features, r, cols_r[first[k] + i])
                        for h in range(width):
                            out[base + i * width + h] += x * _value(features, r, cols_r[first[k] + h])
    return e, rest


@njit(parallel=True, cache=True, fastmath=_FAST)
def eliminated_share(chunks, ptr, codes_k, features, cols_e, cols_k, omega, M, n_levels):
    """sum_e B_je M_e B_je' for every level j of one remaining factor, shape (T, n_levels, q_k, q_k).

    B_je = sum of omega z_k z_e' over the rows that have both levels: summed per pair first, because pairs repeat.
    """
    q, width, threads = cols_e.shape[0], cols_k.shape[0], chunks.shape[0] - 1
    share = np.zeros((threads, n_levels, width, width))
    for t in prange(threads):
        out = share[t]
        pair = np.zeros((n_levels, width, q))
        touched = np.empty(n_levels, dtype=np.int64)
        seen = np.zeros(n_levels, dtype=np.bool_)
        for j in range(chunks[t], chunks[t + 1]):
            n_touched = 0
            for r in range(ptr[j], ptr[j + 1]):
                code = codes_k[r]
                if not seen[code]:
                    seen[code] = True
                    touched[n_touched] = code
                    n_touched += 1
                for i in range(width):
                    x = omega[r] * _value(features, r, cols_k[i])
                    for h in range(q):
                        pair[code, i, h] += x * _value(features, r, cols_e[h])
            for n in range(n_touched):
                code = touched[n]
                for i in range(width):
                    for h in range(width):
                        total = 0.0
                        for a in range(q):
                            for b in range(q):
                                total += pair[code, i, a] * M[j, a, b] * pair[code, h, b]
                        out[code, i, h] += total
                seen[code] = False
                pair[code, :, :] = 0.0
    return share

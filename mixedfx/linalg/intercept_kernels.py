"""Numba kernels for models whose random coefficients are all intercepts, one right-hand side at a time.

The same products as `kernels`, about five times faster: with q = 1 and no features of Z, a row costs a gather and a
scatter a factor and nothing else. `codes` (K - 1, N), `start` (K,) and `ptr` are those of `RowLayout`. X is taken apart
into its constant, at index `constant` of the rest vector (-1: there is none), and columns `x_columns` of `features` at
the indices `x_index`.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from mixedfx.linalg.kernels import _FAST


@njit(inline="always")
def _gather(codes, start, features, x_index, x_columns, r, v):
    """d_o' v of row r, without X's constant."""
    total = 0.0
    for k in range(codes.shape[0]):
        total += v[start[k] + codes[k, r]]
    for i in range(x_index.shape[0]):
        total += features[r, x_columns[i]] * v[x_index[i]]
    return total


@njit(inline="always")
def _scatter(codes, start, features, x_index, x_columns, r, s, out):
    """out += d_o s of row r, without X's constant."""
    for k in range(codes.shape[0]):
        out[start[k] + codes[k, r]] += s
    for i in range(x_index.shape[0]):
        out[x_index[i]] += features[r, x_columns[i]] * s


@njit(parallel=True, cache=True, fastmath=_FAST)
def matvec(chunks, ptr, codes, start, features, constant, x_index, x_columns, e, v):
    """Rows Z_e e + D_o v, shape (N,); e (J,), v (n_rest,)."""
    out = np.empty(features.shape[0])
    for t in prange(chunks.shape[0] - 1):
        shift = v[constant] if constant >= 0 else 0.0
        for j in range(chunks[t], chunks[t + 1]):
            own = e[j] + shift
            for r in range(ptr[j], ptr[j + 1]):
                out[r] = own + _gather(codes, start, features, x_index, x_columns, r, v)
    return out


@njit(parallel=True, cache=True, fastmath=_FAST)
def rmatvec(chunks, ptr, codes, start, features, constant, x_index, x_columns, rows, n_rest):
    """(Z_e' rows, shape (J,); D_o' rows, shape (T, n_rest), to be summed over T); rows (N,)."""
    threads = chunks.shape[0] - 1
    e = np.empty(ptr.shape[0] - 1)
    rest = np.zeros((threads, n_rest))
    for t in prange(threads):
        out = rest[t]
        everything = 0.0
        for j in range(chunks[t], chunks[t + 1]):
            total = 0.0
            for r in range(ptr[j], ptr[j + 1]):
                total += rows[r]
                _scatter(codes, start, features, x_index, x_columns, r, rows[r], out)
            e[j] = total
            everything += total
        if constant >= 0:
            out[constant] = everything
    return e, rest


@njit(parallel=True, cache=True, fastmath=_FAST)
def cross(chunks, ptr, codes, start, features, constant, x_index, x_columns, omega, e, n_rest):
    """D_o' W Z_e e, shape (T, n_rest), to be summed over T; e (J,)."""
    threads = chunks.shape[0] - 1
    rest = np.zeros((threads, n_rest))
    for t in prange(threads):
        out = rest[t]
        everything = 0.0
        for j in range(chunks[t], chunks[t + 1]):
            for r in range(ptr[j], ptr[j + 1]):
                s = omega[r] * e[j]
                everything += s
                _scatter(codes, start, features, x_index, x_columns, r, s, out)
        if constant >= 0:
            out[constant] = everything
    return rest


@njit(parallel=True, cache=True, fastmath=_FAST)
def reduced_product(chunks, ptr, codes, start, features, constant, x_index, x_columns, omega, M, v, longest):
    """D_o' (W - W Z_e M Z_e' W) D_o v, shape (T, n_rest), to be summed over T; M (J,), v (n_rest,)."""
    threads = chunks.shape[0] - 1
    rest = np.zeros((threads, v.shape[0]))
    for t in prange(threads):
        out = rest[t]
        rows = np.empty(longest)
        shift = v[constant] if constant >= 0 else 0.0
        everything = 0.0
        for j in range(chunks[t], chunks[t + 1]):
            begin, end = ptr[j], ptr[j + 1]
            total = 0.0
            for r in range(begin, end):
                s = omega[r] * (shift + _gather(codes, start, features, x_index, x_columns, r, v))
                rows[r - begin] = s
                total += s
            a = M[j] * total
            for r in range(begin, end):
                s = rows[r - begin] - omega[r] * a
                everything += s
                _scatter(codes, start, features, x_index, x_columns, r, s, out)
        if constant >= 0:
            out[constant] = everything
    return rest


@njit(parallel=True, cache=True, fastmath=_FAST)
def back_substitute(chunks, ptr, codes, start, features, constant, x_index, x_columns, omega, M, h, v):
    """(sums = Z_e' W D_o v, shape (J,); rows D_o v + Z_e (h - M sums), shape (N,)); h, M (J,)."""
    sums = np.empty(ptr.shape[0] - 1)
    rows = np.empty(features.shape[0])
    for t in prange(chunks.shape[0] - 1):
        shift = v[constant] if constant >= 0 else 0.0
        for j in range(chunks[t], chunks[t + 1]):
            total = 0.0
            for r in range(ptr[j], ptr[j + 1]):
                s = shift + _gather(codes, start, features, x_index, x_columns, r, v)
                rows[r] = s
                total += omega[r] * s
            sums[j] = total
            a = h[j] - M[j] * total
            for r in range(ptr[j], ptr[j + 1]):
                rows[r] += a
    return sums, rows


@njit(parallel=True, cache=True, fastmath=_FAST)
def level_sums(chunks, ptr, codes, start, omega, n_random):
    """Sums of omega by level: (eliminated factor (J,); remaining factors (T, n_random), to be summed over T)."""
    threads = chunks.shape[0] - 1
    e = np.empty(ptr.shape[0] - 1)
    rest = np.zeros((threads, n_random))
    for t in prange(threads):
        out = rest[t]
        for j in range(chunks[t], chunks[t + 1]):
            total = 0.0
            for r in range(ptr[j], ptr[j + 1]):
                total += omega[r]
                for k in range(codes.shape[0]):
                    out[start[k] + codes[k, r]] += omega[r]
            e[j] = total
    return e, rest


@njit(parallel=True, cache=True, fastmath=_FAST)
def eliminated_share(chunks, ptr, codes_k, omega, M, n_levels):
    """sum_e B_je^2 M_e for every level j of one remaining factor, shape (T, n_levels), to be summed over T.

    B_je, the weight of the pair, is summed first: pairs repeat.
    """
    threads = chunks.shape[0] - 1
    share = np.zeros((threads, n_levels))
    for t in prange(threads):
        out = share[t]
        pair = np.zeros(n_levels)
        for j in range(chunks[t], chunks[t + 1]):
            for r in range(ptr[j], ptr[j + 1]):
                pair[codes_k[r]] += omega[r]
            for r in range(ptr[j], ptr[j + 1]):
                weight = pair[codes_k[r]]
                if weight != 0.0:  # the level's other rows of this pair find 0
                    out[codes_k[r]] += weight * weight * M[j]
                    pair[codes_k[r]] = 0.0
    return share

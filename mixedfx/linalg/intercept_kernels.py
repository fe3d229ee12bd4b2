"""Numba kernels for models whose random coefficients are all intercepts.

The same products as `kernels`, several times faster: with q = 1 and no features of Z, a row costs a gather and a
scatter a factor and little else. `codes`, `start` and `ptr` are those of `Rows`. X is taken apart into its constant, at
index `constant` of the rest vector (-1: there is none), and the row values in columns `x_columns` of `values` at the
indices `x_index`. The first remaining factor's codes stand in `near` too (empty if there is none): without a loop over
factors a row takes half the time. Levels `low`..`high` are traversed; thresholds are treated as in `kernels`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixedfx.linalg.level_columns import ONE
from mixedfx.linalg.rows import inner, kernel


class InterceptRows(NamedTuple):
    """The arguments that the kernels begin with."""

    ptr: NDArray[np.int64]
    near: NDArray[np.int32]
    codes: NDArray[np.int32]
    start: NDArray[np.int64]
    values: NDArray[np.floating]
    constant: int
    x_index: NDArray[np.int64]
    x_columns: NDArray[np.int64]


@inner
def gather(near, codes, start, values, x_index, x_columns, r, v, at):
    """d_o' v[at:] of row r, without X's constant."""
    total = 0.0
    if near.shape[0] > 0:
        total = v[np.uint64(at + near[r])]
    for k in range(1, codes.shape[0]):
        total += v[np.uint64(at + start[k] + codes[k, r])]
    for i in range(x_index.shape[0]):
        total += values[x_columns[i], r] * v[at + x_index[i]]
    return total


@inner
def scatter(near, codes, start, values, x_index, x_columns, r, s, out, at):
    """out[at:] += d_o s of row r, without X's constant."""
    if near.shape[0] > 0:
        out[np.uint64(at + near[r])] += s
    for k in range(1, codes.shape[0]):
        out[np.uint64(at + start[k] + codes[k, r])] += s
    for i in range(x_index.shape[0]):
        out[at + x_index[i]] += values[x_columns[i], r] * s


@kernel
def product(low, high, rows, m, omega, upper, category, M, v, alpha, forms, s, out, into_alpha, into_lower):
    """out += D_o' T_e D_o v; M (J,), v and out (m n_rest,); see `level_kernels.product`.

    Sums for the thresholds below rows go to `into_lower`, so that they need not wait for those of the thresholds above.
    Buffers: forms and s (longest level,).
    """
    ptr, near, codes, start, values, constant, x_index, x_columns = rows
    n_rest, n_alpha = v.shape[0] // m, alpha.shape[0] // m
    for j in range(low, high):
        begin, n = np.uint64(ptr[j]), np.uint64(ptr[j + 1] - ptr[j])
        for c in range(m):
            at = c * n_rest
            shift = v[at + constant] if constant >= 0 else 0.0
            for k in range(n):
                row = gather(near, codes, start, values, x_index, x_columns, begin + k, v, at)
                forms[k] = shift + row
            total = 0.0
            for k in range(n):
                total += omega[begin + k] * forms[k]
            if upper is not None:
                for k in range(n):
                    r = begin + k
                    y = np.uint64(c * n_alpha + category[r])
                    s[k] = upper[r] * alpha[y + ONE] + (omega[r] - upper[r]) * alpha[y]
                for k in range(n):
                    total -= s[k]
            a = M[j] * total
            if upper is None:
                for k in range(n):
                    s[k] = omega[begin + k] * (forms[k] - a)
            else:
                for k in range(n):
                    r = begin + k
                    y, form = np.uint64(c * n_alpha + category[r]), forms[k] - a
                    into_alpha[y + ONE] -= upper[r] * (form - alpha[y + ONE])
                    into_lower[y] -= (omega[r] - upper[r]) * (form - alpha[y])
                    s[k] = omega[r] * form - s[k]
            everything = 0.0
            for k in range(n):
                everything += s[k]
                scatter(near, codes, start, values, x_index, x_columns, begin + k, s[k], out, at)
            if constant >= 0:
                out[at + constant] += everything


@kernel
def product_of_two(low, high, ptr, near, constant, omega, M, v, forms, out):
    """`product` for two factors and a constant: the usual case of users and items, in half the time."""
    shift = v[constant] if constant >= 0 else 0.0
    everything = 0.0
    for j in range(low, high):
        begin, end = np.uint64(ptr[j]), np.uint64(ptr[j + 1])
        total = 0.0
        for r in range(begin, end):
            form = shift + v[np.uint64(near[r])]
            forms[r - begin] = form
            total += omega[r] * form
        a = M[j] * total
        for r in range(begin, end):
            s = omega[r] * (forms[r - begin] - a)
            everything += s
            out[np.uint64(near[r])] += s
    if constant >= 0:
        out[constant] += everything


@kernel
def diagonal_blocks(low, high, rows, omega, e, out):
    """e = sums of omega by eliminated level (J,); out += those by level of the remaining factors."""
    ptr, near, codes, start, _, _, _, _ = rows
    for j in range(low, high):
        total = 0.0
        for r in range(np.uint64(ptr[j]), np.uint64(ptr[j + 1])):
            total += omega[r]
            if near.shape[0] > 0:
                out[np.uint64(near[r])] += omega[r]
            for k in range(1, codes.shape[0]):
                out[np.uint64(start[k] + codes[k, r])] += omega[r]
        e[j] = total


@kernel
def eliminated_share(low, high, rows, omega, M, pair, out):
    """out += sum_e B_je^2 M_e for every level j of the remaining factors.

    B_je, the weight of the pair, is summed first, in `pair`, which is 0 before and after: pairs repeat.
    """
    ptr, _near, codes, start, _, _, _, _ = rows
    for j in range(low, high):
        begin, end = np.uint64(ptr[j]), np.uint64(ptr[j + 1])
        for k in range(codes.shape[0]):
            for r in range(begin, end):
                pair[np.uint64(start[k] + codes[k, r])] += omega[r]
            for r in range(begin, end):
                at = np.uint64(start[k] + codes[k, r])
                weight = pair[at]
                if weight != 0.0:  # the level's other rows of this pair find 0
                    out[at] += weight * weight * M[j]
                    pair[at] = 0.0

"""Numba kernels for several right-hand sides at once, of models with random intercepts and nothing else.

The same products as `kernels`, a few times faster. `near` are the first remaining factor's levels, whose coefficients
begin the rest vector; `codes` and `start` are those of `Rows`. v (n_rest, m), e (J, m), given and forms (N or longest
level, m), total (m,).
"""

from __future__ import annotations

from mixedfx.linalg.leverage_kernels import weigh_leverages
from mixedfx.linalg.rows import inner, kernel


@inner
def gather(near, codes, start, r, v, form):
    """form = sum of the rows of v that row r points to."""
    m = form.shape[0]
    if near.shape[0] > 0:
        k = near[r]
        for c in range(m):
            form[c] = v[k, c]
    else:
        for c in range(m):
            form[c] = 0.0
    for f in range(1, codes.shape[0]):
        k = start[f] + codes[f, r]
        for c in range(m):
            form[c] += v[k, c]


@kernel
def products(low, high, ptr, near, codes, start, omega, M, v, forms, total, out):
    """out += Z_o' T_e Z_o v."""
    m = v.shape[1]
    for j in range(low, high):
        begin, end = ptr[j], ptr[j + 1]
        for c in range(m):
            total[c] = 0.0
        for r in range(begin, end):
            w, k, i = omega[r], near[r], r - begin
            for c in range(m):
                forms[i, c] = v[k, c]
            for f in range(1, codes.shape[0]):
                k = start[f] + codes[f, r]
                for c in range(m):
                    forms[i, c] += v[k, c]
            for c in range(m):
                total[c] += w * forms[i, c]
        for c in range(m):
            total[c] *= M[j]
        for r in range(begin, end):
            w, k, i = omega[r], near[r], r - begin
            for c in range(m):
                out[k, c] += w * (forms[i, c] - total[c])
            for f in range(1, codes.shape[0]):
                k = start[f] + codes[f, r]
                for c in range(m):
                    out[k, c] += w * (forms[i, c] - total[c])


@kernel
def products_of_two(low, high, ptr, near, omega, M, v, total, out):
    """`products` for two factors, the usual case."""
    m = v.shape[1]
    for j in range(low, high):
        begin, end = ptr[j], ptr[j + 1]
        for c in range(m):
            total[c] = 0.0
        for r in range(begin, end):
            w, k = omega[r], near[r]
            for c in range(m):
                total[c] += w * v[k, c]
        for c in range(m):
            total[c] *= M[j]
        for r in range(begin, end):
            w, k = omega[r], near[r]
            for c in range(m):
                out[k, c] += w * (v[k, c] - total[c])


@kernel
def cross(low, high, ptr, near, codes, start, omega, e, out):
    """out += Z_o' W Z_e e."""
    m = e.shape[1]
    for j in range(low, high):
        for r in range(ptr[j], ptr[j + 1]):
            w, k = omega[r], near[r]
            for c in range(m):
                out[k, c] += w * e[j, c]
            for f in range(1, codes.shape[0]):
                k = start[f] + codes[f, r]
                for c in range(m):
                    out[k, c] += w * e[j, c]


@kernel
def level_sums(low, high, ptr, near, codes, start, omega, v, out):
    """out = Z_e' W Z_o v, shape (J, m)."""
    m = v.shape[1]
    for j in range(low, high):
        for c in range(m):
            out[j, c] = 0.0
        for r in range(ptr[j], ptr[j + 1]):
            w, k = omega[r], near[r]
            for c in range(m):
                out[j, c] += w * v[k, c]
            for f in range(1, codes.shape[0]):
                k = start[f] + codes[f, r]
                for c in range(m):
                    out[j, c] += w * v[k, c]


@kernel
def matvec(low, high, ptr, near, codes, start, e, v, out):
    """out = Z_e e + Z_o v, shape (N, m)."""
    m = v.shape[1]
    for j in range(low, high):
        for r in range(ptr[j], ptr[j + 1]):
            k = near[r]
            for c in range(m):
                out[r, c] = e[j, c] + v[k, c]
            for f in range(1, codes.shape[0]):
                k = start[f] + codes[f, r]
                for c in range(m):
                    out[r, c] += v[k, c]


@kernel
def rmatvec(low, high, ptr, near, codes, start, given, e, out):
    """e = Z_e' given; out += Z_o' given."""
    m = given.shape[1]
    for j in range(low, high):
        for c in range(m):
            e[j, c] = 0.0
        for r in range(ptr[j], ptr[j + 1]):
            k = near[r]
            for c in range(m):
                e[j, c] += given[r, c]
                out[k, c] += given[r, c]
            for f in range(1, codes.shape[0]):
                k = start[f] + codes[f, r]
                for c in range(m):
                    out[k, c] += given[r, c]


@kernel
def leverage_sums(
    low, high, ptr, near, codes, start, M, e, v, weights, into_e, form, h, out, into_beta, into_alpha
):
    """As `leverage_kernels.leverage_sums`; M (J,), into_e (J, m)."""
    columns, m = v.shape[1], h.shape[0]
    for j in range(low, high):
        for c in range(m):
            into_e[j, c] = 0.0
        for r in range(ptr[j], ptr[j + 1]):
            gather(near, codes, start, r, v, form)
            for c in range(columns):
                form[c] += e[j, c]
            weigh_leverages(r, M[j], form, weights, h, into_beta, into_alpha)
            k = near[r]
            for c in range(m):
                into_e[j, c] += h[c]
                out[k, c] += h[c]
            for f in range(1, codes.shape[0]):
                k = start[f] + codes[f, r]
                for c in range(m):
                    out[k, c] += h[c]

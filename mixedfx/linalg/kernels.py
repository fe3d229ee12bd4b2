"""Numba kernels for many right-hand sides: each traverses the rows of the eliminated levels `low`..`high` once.

Thresholds: `upper` and `category` are those of `Curvature`, None without thresholds, which leaves them out of the
compiled code; `alpha` and `into_alpha` have m + 2 entries, the first and last of which stand for thresholds at -inf
and +inf and count for nothing.
m also means the number of right-hand sides where there are several; q = q_e. Buffers: z, a row's values; forms
(longest level, m), form and s (m,), sums and a (q, m).
"""

from __future__ import annotations

from mixedfx.linalg.rows import (
    gather_columns,
    inner,
    kernel,
    load,
    load_level,
    scatter_columns,
)


@kernel
def products(
    low, high, rows, omega, upper, category, M, v, alpha, z, forms, form, s, sums, a, out, into_alpha
):
    """`product` for several columns: v, out (n_rest, m), alpha, into_alpha (thresholds + 2, m)."""
    ptr, codes, values, own, tables, table_first, table_start, cols_e, cols_r, cols_x, first, start = rows
    at = values.shape[0] + own.shape[1]
    q, m = cols_e.shape[0], v.shape[1]
    for j in range(low, high):
        begin, end = ptr[j], ptr[j + 1]
        load_level(own, values.shape[0], j, z)
        for i in range(q):
            for c in range(m):
                sums[i, c] = 0.0
        for r in range(begin, end):
            load(values, codes, tables, table_first, table_start, at, r, z)
            gather_columns(codes, cols_r, cols_x, first, start, r, z, v, form)
            for c in range(m):
                forms[r - begin, c] = form[c]
                s[c] = omega[r] * form[c]
            if upper is not None:
                y, below = category[r], omega[r] - upper[r]
                for c in range(m):
                    s[c] -= upper[r] * alpha[y + 1, c] + below * alpha[y, c]
            for i in range(q):
                x = z[cols_e[i]]
                for c in range(m):
                    sums[i, c] += x * s[c]
        for i in range(q):
            for c in range(m):
                a[i, c] = 0.0
            for h in range(q):
                for c in range(m):
                    a[i, c] += M[j, i, h] * sums[h, c]
        for r in range(begin, end):
            load(values, codes, tables, table_first, table_start, at, r, z)
            for c in range(m):
                form[c] = forms[r - begin, c]
            for i in range(q):
                x = z[cols_e[i]]
                for c in range(m):
                    form[c] -= x * a[i, c]
            if upper is not None:
                weigh_with_thresholds(r, form, omega, upper, category, alpha, s, into_alpha)
            else:
                for c in range(m):
                    s[c] = omega[r] * form[c]
            scatter_columns(codes, cols_r, cols_x, first, start, r, z, s, out)


@kernel
def cross(low, high, rows, omega, upper, category, e, zero, z, form, s, out, into_alpha):
    """out += D_o' W Z_e e; e (J, q, m), out (n_rest, m)."""
    ptr, codes, values, own, tables, table_first, table_start, cols_e, cols_r, cols_x, first, start = rows
    at = values.shape[0] + own.shape[1]
    q, m = e.shape[1], e.shape[2]
    for j in range(low, high):
        load_level(own, values.shape[0], j, z)
        for r in range(ptr[j], ptr[j + 1]):
            load(values, codes, tables, table_first, table_start, at, r, z)
            for c in range(m):
                form[c] = 0.0
            for i in range(q):
                x = z[cols_e[i]]
                for c in range(m):
                    form[c] += x * e[j, i, c]
            if upper is not None:
                weigh_with_thresholds(r, form, omega, upper, category, zero, s, into_alpha)
            else:
                for c in range(m):
                    s[c] = omega[r] * form[c]
            scatter_columns(codes, cols_r, cols_x, first, start, r, z, s, out)


@inner
def weigh_with_thresholds(r, form, omega, upper, category, alpha, s, into_alpha):
    """s = the row's weights times its forms less the thresholds'; the latter's share goes into `into_alpha`."""
    y = category[r]
    for c in range(form.shape[0]):
        above = upper[r] * (form[c] - alpha[y + 1, c])
        below = (omega[r] - upper[r]) * (form[c] - alpha[y, c])
        into_alpha[y + 1, c] -= above
        into_alpha[y, c] -= below
        s[c] = above + below


@kernel
def level_sums(low, high, rows, omega, upper, category, v, alpha, out, z, form):
    """out = Z_e' W D_o v, shape (J, q, m); v (n_rest, m), alpha (thresholds + 2, m)."""
    ptr, codes, values, own, tables, table_first, table_start, cols_e, cols_r, cols_x, first, start = rows
    at = values.shape[0] + own.shape[1]
    q, m = cols_e.shape[0], v.shape[1]
    for j in range(low, high):
        load_level(own, values.shape[0], j, z)
        for i in range(q):
            for c in range(m):
                out[j, i, c] = 0.0
        for r in range(ptr[j], ptr[j + 1]):
            load(values, codes, tables, table_first, table_start, at, r, z)
            gather_columns(codes, cols_r, cols_x, first, start, r, z, v, form)
            for c in range(m):
                form[c] *= omega[r]
            if upper is not None:
                y, below = category[r], omega[r] - upper[r]
                for c in range(m):
                    form[c] -= upper[r] * alpha[y + 1, c] + below * alpha[y, c]
            for i in range(q):
                x = z[cols_e[i]]
                for c in range(m):
                    out[j, i, c] += x * form[c]


@kernel
def matvec(low, high, rows, e, v, out, z, form):
    """out = Z_e e + D_o v, shape (N, m); e (J, q, m), v (n_rest, m)."""
    ptr, codes, values, own, tables, table_first, table_start, cols_e, cols_r, cols_x, first, start = rows
    at = values.shape[0] + own.shape[1]
    q, m = cols_e.shape[0], v.shape[1]
    for j in range(low, high):
        load_level(own, values.shape[0], j, z)
        for r in range(ptr[j], ptr[j + 1]):
            load(values, codes, tables, table_first, table_start, at, r, z)
            gather_columns(codes, cols_r, cols_x, first, start, r, z, v, form)
            for i in range(q):
                x = z[cols_e[i]]
                for c in range(m):
                    form[c] += x * e[j, i, c]
            for c in range(m):
                out[r, c] = form[c]


@kernel
def rmatvec(low, high, rows, given, e, z, s, out):
    """e = Z_e' given, shape (J, q, m); out += D_o' given, shape (n_rest, m); given (N, m)."""
    ptr, codes, values, own, tables, table_first, table_start, cols_e, cols_r, cols_x, first, start = rows
    at = values.shape[0] + own.shape[1]
    q, m = cols_e.shape[0], given.shape[1]
    for j in range(low, high):
        load_level(own, values.shape[0], j, z)
        for i in range(q):
            for c in range(m):
                e[j, i, c] = 0.0
        for r in range(ptr[j], ptr[j + 1]):
            load(values, codes, tables, table_first, table_start, at, r, z)
            for c in range(m):
                s[c] = given[r, c]
            for i in range(q):
                x = z[cols_e[i]]
                for c in range(m):
                    e[j, i, c] += x * s[c]
            scatter_columns(codes, cols_r, cols_x, first, start, r, z, s, out)

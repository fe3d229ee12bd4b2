"""Numba kernel: what probes of C_bb^-1 say of every row's leverage h_r = z_r' C_bb^-1 z_r, summed with weights."""

from __future__ import annotations

from mixedfx.linalg.rows import gather_columns, inner, kernel, load, load_level, scatter_columns


@inner
def weigh_leverages(r, known, form, weights, h, into_beta, into_alpha):
    """h = the row's leverages by each probe, times its weight; adds what is not of levels.

    `known` is z_e' M z_e, `form` the row's forms, `weights` those of `LeverageWeights`. Thresholds as in `kernels`.
    """
    eta, X, upper, lower, category = weights
    m = h.shape[0]
    for c in range(2 * m, form.shape[0]):
        known += form[c] * form[c]
    for c in range(m):
        h[c] = known + form[c] * form[m + c]
    if upper.shape[0] > 0:
        own = category[r]
        for c in range(m):
            into_alpha[own + 1, c] += upper[r] * h[c]
            into_alpha[own, c] += lower[r] * h[c]
    for c in range(m):
        h[c] *= eta[r]
    for i in range(X.shape[1]):
        x = X[r, i]
        for c in range(m):
            into_beta[i, c] += x * h[c]


@kernel
def leverage_sums(low, high, rows, M, e, v, weights, into_e, z, form, h, out, into_beta, into_alpha):
    """The sums of `LeverageSums` with h_rc = z_e' M z_e + f_c f_(m + c) + sum of squares of the further f.

    f = Z_e e + Z_o v are a row's forms: those of x, y (m columns each) and B of `mixedfx.linalg.probes`. e (J, q, C),
    v (n_rest, C), into_e (J, q, m), out (n_rest, m), into_beta (p, m), into_alpha (thresholds + 2, m); buffers form
    (C,), h (m,).
    """
    ptr, codes, values, own, tables, table_first, table_start, cols_e, cols_r, cols_x, first, start = rows
    at = values.shape[0] + own.shape[1]
    q, columns, m = cols_e.shape[0], v.shape[1], h.shape[0]
    for j in range(low, high):
        load_level(own, values.shape[0], j, z)
        for i in range(q):
            for c in range(m):
                into_e[j, i, c] = 0.0
        for r in range(ptr[j], ptr[j + 1]):
            load(values, codes, tables, table_first, table_start, at, r, z)
            gather_columns(codes, cols_r, cols_x, first, start, r, z, v, form)
            known = 0.0
            for i in range(q):
                x = z[cols_e[i]]
                for c in range(columns):
                    form[c] += x * e[j, i, c]
                for k in range(q):
                    known += x * M[j, i, k] * z[cols_e[k]]
            weigh_leverages(r, known, form, weights, h, into_beta, into_alpha)
            for i in range(q):
                x = z[cols_e[i]]
                for c in range(m):
                    into_e[j, i, c] += x * h[c]
            scatter_columns(codes, cols_r, cols_x, first, start, r, z, h, out)

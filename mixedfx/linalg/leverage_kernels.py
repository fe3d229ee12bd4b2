"""Numba kernel: what probes of C_bb^-1 say of every row's leverage h_r = z_r' C_bb^-1 z_r, summed with weights."""

from __future__ import annotations

from mixedfx.linalg.rows import gather_columns, inner, kernel, load, load_level


@inner
def add_leverages(r, known, form, Q, h, out):
    """out[k, p] += h_rp Q[r, k], from z_e' M z_e (`known`) and the row's forms."""
    m = out.shape[1]
    for c in range(2 * m, form.shape[0]):
        known += form[c] * form[c]
    for p in range(m):
        h[p] = known + form[p] * form[m + p]
    for k in range(Q.shape[1]):
        x = Q[r, k]
        for p in range(m):
            out[k, p] += x * h[p]


@kernel
def leverage_sums(low, high, rows, M, e, v, Q, z, form, h, out):
    """out[k, p] += sum_r h_rp Q[r, k] with h_rp = z_e' M z_e + f_p f_(m + p) + sum of squares of the further f.

    f = Z_e e + Z_o v are a row's forms: those of x, y (m columns each) and B of `mixedfx.linalg.probes`. e (J, q, C),
    v (n_rest, C), Q (N, n), out (n, m); buffers form (C,), h (m,).
    """
    ptr, codes, values, own, tables, table_first, table_start, cols_e, cols_r, cols_x, first, start = rows
    at = values.shape[0] + own.shape[1]
    q, columns = cols_e.shape[0], v.shape[1]
    for j in range(low, high):
        load_level(own, values.shape[0], j, z)
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
            add_leverages(r, known, form, Q, h, out)

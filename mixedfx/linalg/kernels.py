"""Numba kernels for any model: each traverses the rows of the eliminated levels `low`..`high` once.

Thresholds: `upper` and `category` are those of `Curvature`, None without thresholds, which leaves them out of the
compiled code; `alpha` and `into_alpha` have m + 2 entries, the first and last of which stand for thresholds at -inf
and +inf and count for nothing.
m also means the number of right-hand sides where there are several; q = q_e. Buffers: z, a row's values; forms
(longest level, m), form and s (m,), sums and a (q, m).
"""

from __future__ import annotations

from mixedfx.linalg.rows import (
    add_rest,
    column_sums,
    gather_columns,
    inner,
    kernel,
    load,
    load_level,
    load_rows,
    scatter_columns,
    scatter_rest,
)


@kernel
def product(low, high, rows, omega, upper, category, M, v, alpha, Z, forms, s, sums, a, out, into_alpha):
    """out += D_o' T_e D_o v for one column: v, out (n_rest,); M (J, q, q); T_e = W - W Z_e M Z_e' W.

    Buffers: Z (width, longest level), forms and s (longest level,), sums and a (q,).
    """
    ptr, codes, values, own, tables, table_first, table_start, cols_e, cols_r, cols_x, first, start = rows
    q, p, at_beta = cols_e.shape[0], cols_x.shape[0], start[codes.shape[0]]
    for j in range(low, high):
        begin, n = ptr[j], ptr[j + 1] - ptr[j]
        load_rows(values, own, codes, tables, table_first, table_start, j, begin, n, Z)
        for k in range(n):
            forms[k] = 0.0
        for i in range(p):
            x = v[at_beta + i]
            for k in range(n):
                forms[k] += x * Z[cols_x[i], k]
        add_rest(codes, cols_r, first, start, begin, n, Z, v, forms)
        for k in range(n):
            s[k] = omega[begin + k] * forms[k]
        if upper is not None:
            for k in range(n):
                r = begin + k
                s[k] -= upper[r] * alpha[category[r] + 1] + (omega[r] - upper[r]) * alpha[category[r]]
        column_sums(cols_e, n, Z, s, sums)
        for i in range(q):
            a[i] = 0.0
            for h in range(q):
                a[i] += M[j, i, h] * sums[h]
        for i in range(q):
            x = a[i]
            for k in range(n):
                forms[k] -= x * Z[cols_e[i], k]
        for k in range(n):
            s[k] = omega[begin + k] * forms[k]
        if upper is not None:
            for k in range(n):
                r = begin + k
                y = category[r]
                above = upper[r] * (forms[k] - alpha[y + 1])
                below = (omega[r] - upper[r]) * (forms[k] - alpha[y])
                into_alpha[y + 1] -= above
                into_alpha[y] -= below
                s[k] = above + below
        for i in range(p):
            total = 0.0
            for k in range(n):
                total += Z[cols_x[i], k] * s[k]
            out[at_beta + i] += total
        scatter_rest(codes, cols_r, first, start, begin, n, Z, s, out)


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


@kernel
def diagonal_blocks(low, high, rows, omega, block_start, e, Z, w, out):
    """e = Z_j' W Z_j of the eliminated levels (J, q, q); out += those of the remaining factors' levels, flat.

    Factor k's blocks begin at ``block_start[k]`` of `out`, level by level, (q_k, q_k) each. Buffers: Z, and w of the
    longest level.
    """
    ptr, codes, values, own, tables, table_first, table_start, cols_e, cols_r, _, first, _ = rows
    q = cols_e.shape[0]
    for j in range(low, high):
        begin, n = ptr[j], ptr[j + 1] - ptr[j]
        load_rows(values, own, codes, tables, table_first, table_start, j, begin, n, Z)
        for k in range(n):
            w[k] = omega[begin + k]
        for i in range(q):
            for h in range(i + 1):
                total = 0.0
                for k in range(n):
                    total += w[k] * Z[cols_e[i], k] * Z[cols_e[h], k]
                e[j, i, h] = total
                e[j, h, i] = total
        add_level_blocks(codes, cols_r, first, block_start, begin, n, Z, w, out)


@inner
def add_level_blocks(codes, cols_r, first, block_start, begin, n, Z, w, out):
    """out += w z_f z_f' of a level's rows, in the block of each remaining factor's level."""
    for f in range(codes.shape[0]):
        width = first[f + 1] - first[f]
        for i in range(width):
            one = cols_r[first[f] + i]
            for h in range(i + 1):
                two = cols_r[first[f] + h]
                base, mirrored = block_start[f] + i * width + h, block_start[f] + h * width + i
                for k in range(n):
                    x = w[k] * Z[one, k] * Z[two, k]
                    place = codes[f, begin + k] * width * width
                    out[base + place] += x
                    if i != h:
                        out[mirrored + place] += x


@kernel
def eliminated_share(low, high, rows, omega, M, block_start, level_start, pair_start, z, MB, pair, seen, out):
    """out += sum_e B_je M_e B_je' for every level j of the remaining factors, flat as in `diagonal_blocks`.

    B_je = sum of omega z_k z_e' over the rows that have both levels: summed per pair first, because pairs repeat. For
    level j of factor k it stands in `pair` from ``pair_start[k] + j q_k q`` on, and `seen` from ``level_start[k] + j``
    on says that it does; both are 0 before and after. MB has shape (q,).
    """
    ptr, codes, values, own, tables, table_first, table_start, cols_e, cols_r, _cols_x, first, _start = rows
    at = values.shape[0] + own.shape[1]
    q, K = cols_e.shape[0], codes.shape[0]
    for j in range(low, high):
        begin, end = ptr[j], ptr[j + 1]
        load_level(own, values.shape[0], j, z)
        for r in range(begin, end):
            load(values, codes, tables, table_first, table_start, at, r, z)
            for k in range(K):
                low_k = first[k]
                width = first[k + 1] - low_k
                seen[level_start[k] + codes[k, r]] = True
                base = pair_start[k] + codes[k, r] * width * q
                for i in range(width):
                    x = omega[r] * z[cols_r[low_k + i]]
                    for h in range(q):
                        pair[base + i * q + h] += x * z[cols_e[h]]
        for r in range(begin, end):
            for k in range(K):
                code = codes[k, r]
                if not seen[level_start[k] + code]:  # an earlier row of the same pair was here
                    continue
                seen[level_start[k] + code] = False
                width = first[k + 1] - first[k]
                base = pair_start[k] + code * width * q
                block = block_start[k] + code * width * width
                for i in range(width):
                    for a in range(q):
                        MB[a] = 0.0
                        for b in range(q):
                            MB[a] += M[j, a, b] * pair[base + i * q + b]
                    for h in range(width):
                        total = 0.0
                        for a in range(q):
                            total += MB[a] * pair[base + h * q + a]
                        out[block + i * width + h] += total
                for i in range(width * q):
                    pair[base + i] = 0.0

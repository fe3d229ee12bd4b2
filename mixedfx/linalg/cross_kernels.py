"""Numba kernels on cross products: sums over the pairs of columns that meet in a level of the eliminated factor.

`ptr`, `index`: the columns of the rest that each level touches, rising, as the rows of a compressed sparse matrix with
one value a coefficient of the eliminated factor, values (q, nnz). `column_ptr`, `column_at`, `column_level`: the same
entries column by column. One column of the rest is dealt with at a time, so that the row of the matrix that it reads or
writes stays in the cache, and threads share nothing; the cost is the sum over levels of touched^2 / 2. Symmetric
matrices are kept as `mixedfx.linalg.components` describes.
"""

from __future__ import annotations

from mixedfx.linalg.rows import kernel


@kernel
def cross_values(low, high, row_ptr, codes, start, width, z_e, z_o, w, ptr, index, position, values):
    """values = Z_ej' W D_o for the levels `low`..`high`; z_e (q, N), z_o (columns of a row, N), w (N,).

    `start` and `width` (K,): where each factor begins in the rest, and coefficients a level. Buffer: position (n,).
    """
    q = z_e.shape[0]
    for j in range(low, high):
        for a in range(ptr[j], ptr[j + 1]):
            position[index[a]] = a
            for h in range(q):
                values[h, a] = 0.0
        for r in range(row_ptr[j], row_ptr[j + 1]):
            at = 0
            for k in range(codes.shape[0]):
                base = position[start[k] + codes[k, r] * width[k]]
                for i in range(width[k]):
                    x = w[r] * z_o[at, r]
                    at += 1
                    for h in range(q):
                        values[h, base + i] += x * z_e[h, r]


@kernel
def transformed(low, high, ptr, index, values, stops, width, factor_start, factors, T, scaled, out):
    """out_j = T_j' values_j Lambda_o for the levels `low`..`high`; values, out (q, nnz), T (J, q, q).

    `stops` and `width` (K,): where each factor ends in the rest, and its coefficients a level; `factors`: each
    Lambda_k, flat from ``factor_start[k]``. Buffer: scaled (q, most coefficients a level).
    """
    q = values.shape[0]
    for j in range(low, high):
        a, k = ptr[j], 0
        while a < ptr[j + 1]:
            while index[a] >= stops[k]:
                k += 1
            m = width[k]
            for i in range(m):
                for h in range(q):
                    total = 0.0
                    for g in range(m):
                        total += values[h, a + g] * factors[factor_start[k] + g * m + i]
                    scaled[h, i] = total
            for i in range(m):
                for h in range(q):
                    total = 0.0
                    for g in range(q):
                        total += T[j, g, h] * scaled[g, i]
                    out[h, a + i] = total
            a += m


@kernel
def less_crossproduct(low, high, ptr, column_ptr, column_at, column_level, row, place, v, flat, near):
    """S -= v'v for the columns `low`..`high`, lower triangle; v (q, nnz) as a sparse (J q, columns).

    Entry b of the pattern and column c meet at ``flat[row[c] + place[b]]``. Buffer: near (columns,), the row of S.
    """
    q = v.shape[0]
    for c in range(low, high):
        if column_ptr[c] == column_ptr[c + 1]:
            continue
        at, length = row[c], place[column_at[column_ptr[c]]] + 1
        for i in range(length):
            near[i] = 0.0
        for t in range(column_ptr[c], column_ptr[c + 1]):
            a = column_at[t]
            begin = ptr[column_level[t]]
            if q == 1:
                x = v[0, a]
                for b in range(begin, a + 1):
                    near[place[b]] += x * v[0, b]
            elif q == 2:
                x, y = v[0, a], v[1, a]
                for b in range(begin, a + 1):
                    near[place[b]] += x * v[0, b] + y * v[1, b]
            else:
                for h in range(q):
                    x = v[h, a]
                    for b in range(begin, a + 1):
                        near[place[b]] += x * v[h, b]
        for i in range(length):
            flat[at + i] -= near[i]


@kernel
def quadratics(low, high, ptr, column_ptr, column_at, column_level, row, place, v, flat, near, s, out):
    """out_j += v_jc H_cb v_jb' summed over the columns c in `low`..`high` and all b, (J, q, q); H addressed as above.

    v (q, nnz) as a sparse (J q, columns). Buffers: near (columns,), the row of H; s (q,).
    """
    q = v.shape[0]
    for c in range(low, high):
        if column_ptr[c] == column_ptr[c + 1]:
            continue
        at, length = row[c], place[column_at[column_ptr[c]]] + 1
        for i in range(length):
            near[i] = flat[at + i]
        own = near[length - 1]
        for t in range(column_ptr[c], column_ptr[c + 1]):
            a, j = column_at[t], column_level[t]
            begin = ptr[j]
            if q == 2:  # one walk for both: gathering is what takes time
                x, y = 0.0, 0.0
                for b in range(begin, a):
                    value = near[place[b]]
                    x += value * v[0, b]
                    y += value * v[1, b]
                s[0], s[1] = x, y
            else:
                for h in range(q):
                    total = 0.0
                    for b in range(begin, a):
                        total += near[place[b]] * v[h, b]
                    s[h] = total
            for g in range(q):
                for h in range(q):
                    out[j, g, h] += v[g, a] * s[h] + s[g] * v[h, a] + own * v[g, a] * v[h, a]

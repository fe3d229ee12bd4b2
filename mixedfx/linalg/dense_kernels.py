"""Numba kernels that meet the dense rest: the Schur complement itself, and what its inverse says of a level.

Both collect, for one level of the eliminated factor, the columns of the rest that its rows touch and
B = sum_r omega z_e d_o' on those columns, shape (touched, q); the cost is the sum over levels of touched^2. `position`
says where in B a column of the rest stands; it is -1 throughout before and after.
"""

from __future__ import annotations

from mixedfx.linalg.rows import inner, kernel, load, load_level


@inner
def row_form(codes, cols_r, cols_x, first, start, r, z, index, value):
    """The columns of the rest that a row touches, and its values there; how many."""
    n = 0
    for k in range(codes.shape[0]):
        low = first[k]
        width = first[k + 1] - low
        base = start[k] + codes[k, r] * width
        for i in range(width):
            index[n] = base + i
            value[n] = z[cols_r[low + i]]
            n += 1
    base = start[codes.shape[0]]
    for i in range(cols_x.shape[0]):
        index[n] = base + i
        value[n] = z[cols_x[i]]
        n += 1
    return n


@inner
def add_row(n, index, value, z, cols_e, w, filled, position, touched, B):
    """Add w z_e d_o' of one row to B, whose `filled` columns are `touched`; how many it has then."""
    for i in range(n):
        at = position[index[i]]
        if at < 0:
            at = filled
            position[index[i]] = filled
            touched[filled] = index[i]
            for h in range(cols_e.shape[0]):
                B[filled, h] = 0.0
            filled += 1
        x = w * value[i]
        for h in range(cols_e.shape[0]):
            B[at, h] += x * z[cols_e[h]]
    return filled


@kernel
def dense_reduced(part, parts, rows, omega, M, G, z, position, touched, index, value, B, MB):
    """Lower triangle of G += D_o' (W - W Z_e M Z_e' W) D_o, (n, n); the upper triangle stays as it is.

    Every thread walks all rows and writes the rows of G that are its own (index modulo `parts`): no copies.
    """
    ptr, codes, values, own, tables, table_first, table_start, cols_e, cols_r, cols_x, first, start = rows
    at = values.shape[0] + own.shape[1]
    q = cols_e.shape[0]
    for j in range(ptr.shape[0] - 1):
        load_level(own, values.shape[0], j, z)
        filled = 0
        for r in range(ptr[j], ptr[j + 1]):
            load(values, codes, tables, table_first, table_start, at, r, z)
            n = row_form(codes, cols_r, cols_x, first, start, r, z, index, value)
            filled = add_row(n, index, value, z, cols_e, omega[r], filled, position, touched, B)
            for a in range(n):
                ia = index[a]
                if ia % parts == part:
                    x = omega[r] * value[a]
                    for b in range(n):
                        if index[b] <= ia:
                            G[ia, index[b]] += x * value[b]
        for a in range(filled):
            position[touched[a]] = -1
            for i in range(q):
                total = 0.0
                for h in range(q):
                    total += M[j, i, h] * B[a, h]
                MB[a, i] = total
        for a in range(filled):
            ia = touched[a]
            if ia % parts == part:
                for b in range(filled):
                    ib = touched[b]
                    if ib <= ia:
                        total = 0.0
                        for i in range(q):
                            total += B[a, i] * MB[b, i]
                        G[ia, ib] -= total


@kernel
def level_quadratic(low, high, rows, omega, H, out, z, position, touched, index, value, B, HB):
    """out = B_j H B_j' for the levels of the eliminated factor, (J, q, q); H symmetric (n, n), full."""
    ptr, codes, values, own, tables, table_first, table_start, cols_e, cols_r, cols_x, first, start = rows
    at = values.shape[0] + own.shape[1]
    q = cols_e.shape[0]
    for j in range(low, high):
        load_level(own, values.shape[0], j, z)
        for i in range(q):
            for h in range(q):
                out[j, i, h] = 0.0
        filled = 0
        for r in range(ptr[j], ptr[j + 1]):
            load(values, codes, tables, table_first, table_start, at, r, z)
            n = row_form(codes, cols_r, cols_x, first, start, r, z, index, value)
            filled = add_row(n, index, value, z, cols_e, omega[r], filled, position, touched, B)
        for a in range(filled):
            ia = touched[a]
            position[ia] = -1
            for i in range(q):
                HB[0, i] = 0.0
            for b in range(a):
                x = H[ia, touched[b]]
                for i in range(q):
                    HB[0, i] += x * B[b, i]
            x = H[ia, ia]
            for i in range(q):
                for h in range(q):
                    out[j, i, h] += B[a, i] * HB[0, h] + HB[0, i] * B[a, h] + x * B[a, i] * B[a, h]


@kernel
def mirror_lower(A):
    """The lower triangle of the first ``len(A)`` columns into the upper one, block by block to stay in the cache."""
    n, size = A.shape[0], 64
    for first in range(0, n, size):
        for other in range(0, first + 1, size):
            for i in range(first, min(first + size, n)):
                for j in range(other, min(other + size, i)):
                    A[j, i] = A[i, j]


@kernel
def clear_upper(A):
    """Zeros above the diagonal."""
    for i in range(A.shape[0]):
        for j in range(i + 1, A.shape[1]):
            A[i, j] = 0.0

"""Numba kernels that take all rows of an eliminated level at once: for few right-hand sides, and diagonal blocks.

As in `mixedfx.linalg.kernels`, each traverses the rows of the levels `low`..`high` once, `upper` and `category` are
None without thresholds, and `alpha` and `into_alpha` have thresholds + 2 entries a right-hand side. Vectors of m
right-hand sides follow one another in one array; a level's rows stay in the cache for all of them.
"""

from __future__ import annotations

import numpy as np

from mixedfx.linalg.level_columns import (
    FIRST,
    PLAIN,
    add_columns,
    add_rest,
    add_span,
    column_sums,
    load_columns,
    scatter_rest,
    span_sums,
)
from mixedfx.linalg.rows import called, inner, kernel


@kernel
def product(
    low, high, rows, m, omega, upper, category, blocks, M, v, alpha, forms, s, shift, sums, a, out, into_alpha
):
    """out += D_o' T_e D_o v: v, out (m n_rest,); T_e = W - W Z_e M Z_e' W.

    blocks = Z_j' W Z_j and M, (J, q, q). Buffers: forms and s (longest level,); shift, sums and a (q,).
    """
    ptr, codes, values, own, tables, places_e, places_r, places_x, span, first, start = rows
    q, beta, n_rest, n_alpha = places_e.shape[0], start[codes.shape[0]], v.shape[0] // m, alpha.shape[0] // m
    for j in range(low, high):
        begin, n = np.uint64(ptr[j]), np.uint64(ptr[j + 1] - ptr[j])
        for c in range(m):
            at = c * n_rest
            for k in range(n):
                forms[k] = 0.0
            add_columns(codes, values, own, tables, places_x, 1.0, v, at + beta, j, begin, n, forms)
            add_rest(codes, values, own, tables, places_r, first, start, j, begin, n, v, at, forms)
            weigh(omega, upper, category, alpha, c * n_alpha, begin, n, forms, s)
            for i in range(q):
                shift[i] = sums[i] = 0.0
            add_span(span, own, j, v, at + beta, shift)
            column_sums(codes, values, own, tables, places_e, PLAIN, s, j, begin, n, sums, FIRST)
            if span.shape[0] > 0:
                for i in range(q):
                    for h in range(q):
                        sums[i] += blocks[j, i, h] * shift[h]
            for i in range(q):
                a[i] = -shift[i]
                for h in range(q):
                    a[i] += M[j, i, h] * sums[h]
            add_columns(codes, values, own, tables, places_e, -1.0, a, FIRST, j, begin, n, forms)
            for k in range(n):
                s[k] = omega[begin + k] * forms[k]
            if upper is not None:
                for k in range(n):
                    r = begin + k
                    y = c * n_alpha + category[r]
                    above = upper[r] * (forms[k] - alpha[y + 1])
                    below = (omega[r] - upper[r]) * (forms[k] - alpha[y])
                    into_alpha[y + 1] -= above
                    into_alpha[y] -= below
                    s[k] = above + below
            if span.shape[0] > 0:
                for i in range(q):
                    a[i] += shift[i]
                for i in range(q):
                    for h in range(q):
                        sums[i] -= blocks[j, i, h] * a[h]
                span_sums(span, own, j, sums, out, at + beta)
            column_sums(codes, values, own, tables, places_x, PLAIN, s, j, begin, n, out, at + beta)
            scatter_rest(codes, values, own, tables, places_r, first, start, j, begin, n, s, out, at)


@inner
def weigh(omega, upper, category, alpha, at, begin, n, forms, s):
    """s = W forms of a level's rows, less what thresholds alpha[at:] take; s may be `forms`."""
    for k in range(n):
        s[k] = omega[begin + k] * forms[k]
    if upper is not None:
        for k in range(n):
            r = begin + k
            y = at + category[r]
            s[k] -= upper[r] * alpha[y + 1] + (omega[r] - upper[r]) * alpha[y]


@kernel
def cross(low, high, rows, m, omega, upper, category, blocks, e, forms, sums, out, into_alpha):
    """out += D_o' W Z_e e: e (m J q,), out (m n_rest,); blocks = Z_j' W Z_j (J, q, q). Buffers as in `product`."""
    ptr, codes, values, own, tables, places_e, places_r, places_x, span, first, start = rows
    q, beta, J = places_e.shape[0], start[codes.shape[0]], ptr.shape[0] - 1
    n_rest, n_alpha = out.shape[0] // m, into_alpha.shape[0] // m
    for j in range(low, high):
        begin, n = np.uint64(ptr[j]), np.uint64(ptr[j + 1] - ptr[j])
        for c in range(m):
            at, own_e = c * n_rest, (c * J + j) * q
            for k in range(n):
                forms[k] = 0.0
            add_columns(codes, values, own, tables, places_e, 1.0, e, own_e, j, begin, n, forms)
            if upper is not None:
                for k in range(n):
                    r = begin + k
                    y = c * n_alpha + category[r]
                    into_alpha[y + 1] -= upper[r] * forms[k]
                    into_alpha[y] -= (omega[r] - upper[r]) * forms[k]
            for k in range(n):
                forms[k] *= omega[begin + k]
            if span.shape[0] > 0:
                for i in range(q):
                    sums[i] = 0.0
                    for h in range(q):
                        sums[i] += blocks[j, i, h] * e[own_e + h]
                span_sums(span, own, j, sums, out, at + beta)
            column_sums(codes, values, own, tables, places_x, PLAIN, forms, j, begin, n, out, at + beta)
            scatter_rest(codes, values, own, tables, places_r, first, start, j, begin, n, forms, out, at)


@kernel
def level_sums(low, high, rows, m, omega, upper, category, blocks, v, alpha, out, forms, shift):
    """out = Z_e' W D_o v: v (m n_rest,), out (m J q,). Buffers as in `product`."""
    ptr, codes, values, own, tables, places_e, places_r, places_x, span, first, start = rows
    q, beta, J = places_e.shape[0], start[codes.shape[0]], ptr.shape[0] - 1
    n_rest, n_alpha = v.shape[0] // m, alpha.shape[0] // m
    for j in range(low, high):
        begin, n = np.uint64(ptr[j]), np.uint64(ptr[j + 1] - ptr[j])
        for c in range(m):
            at, own_e = c * n_rest, (c * J + j) * q
            for k in range(n):
                forms[k] = 0.0
            add_columns(codes, values, own, tables, places_x, 1.0, v, at + beta, j, begin, n, forms)
            add_rest(codes, values, own, tables, places_r, first, start, j, begin, n, v, at, forms)
            weigh(omega, upper, category, alpha, c * n_alpha, begin, n, forms, forms)
            for i in range(q):
                shift[i] = out[own_e + i] = 0.0
            add_span(span, own, j, v, at + beta, shift)
            if span.shape[0] > 0:
                for i in range(q):
                    for h in range(q):
                        out[own_e + i] += blocks[j, i, h] * shift[h]
            column_sums(codes, values, own, tables, places_e, PLAIN, forms, j, begin, n, out, own_e)


@kernel
def diagonal_blocks(low, high, rows, omega, block_start, e, Z, w, out):
    """e = Z_j' W Z_j of the eliminated levels (J, q, q); lower triangles of `out` += those of the remaining levels.

    Factor k's blocks begin at ``block_start[k]`` of `out`, level by level, (q_k, q_k) each. Buffers: Z (largest q,
    longest level) and w (longest level,).
    """
    ptr, codes, values, own, tables, places_e, places_r, _, _, first, _ = rows
    q = places_e.shape[0]
    for j in range(low, high):
        begin, n = np.uint64(ptr[j]), np.uint64(ptr[j + 1] - ptr[j])
        for k in range(n):
            w[k] = omega[begin + k]
        load_columns(codes, values, own, tables, places_e, FIRST, q, j, begin, n, Z)
        for i in range(q):
            for h in range(i + 1):
                total = 0.0
                for k in range(n):
                    total += w[k] * Z[i, k] * Z[h, k]
                e[j, i, h] = total
                e[j, h, i] = total
        for f in range(codes.shape[0]):
            load_columns(codes, values, own, tables, places_r, first[f], first[f + 1], j, begin, n, Z)
            add_level_blocks(codes, f, first[f + 1] - first[f], block_start[f], begin, n, Z, w, out)


@called
def add_level_blocks(codes, f, width, base, begin, n, Z, w, out):
    """Lower triangles: out += w z z' of a level's rows, in the block of the level of factor `f`; z in Z's columns."""
    for i in range(width):
        for h in range(i + 1):
            for k in range(n):
                c = np.uint64(base + codes[f, begin + k] * width * width + i * width + h)
                out[c] += w[k] * Z[i, k] * Z[h, k]


@kernel
def eliminated_share(
    low, high, rows, omega, M, block_start, level_start, pair_start, Z, X, w, MB, pair, seen, out
):
    """Lower triangles: out += sum_e B_je M_e B_je' for each level j of the remaining factors, as in `diagonal_blocks`.

    B_je = sum of omega z_k z_e' over the rows that have both levels. Where these are single rows, as users rate an item
    once, it is omega^2 (z_e' M_e z_e) z_k z_k'. Else they are summed per pair first: for level j of factor k in `pair`
    from ``pair_start[k] + j q_k q`` on, and `seen` from ``level_start[k] + j`` on says that there is one; both are 0
    before and after. Buffers: Z (q, longest level), X (largest q_k, longest level), w (longest level,), MB (q,).
    """
    ptr, codes, values, own, tables, places_e, places_r, _, _, first, _ = rows
    q = places_e.shape[0]
    for j in range(low, high):
        begin, n = np.uint64(ptr[j]), np.uint64(ptr[j + 1] - ptr[j])
        load_columns(codes, values, own, tables, places_e, FIRST, q, j, begin, n, Z)
        for k in range(n):
            w[k] = 0.0
        for i in range(q):
            for h in range(i + 1):
                m = M[j, i, h] if i == h else 2.0 * M[j, i, h]
                for k in range(n):
                    w[k] += m * Z[i, k] * Z[h, k]
        for k in range(n):
            w[k] *= omega[begin + k] ** 2
        for f in range(codes.shape[0]):
            width = first[f + 1] - first[f]
            load_columns(codes, values, own, tables, places_r, first[f], first[f + 1], j, begin, n, X)
            repeated = False
            for k in range(n):
                at = level_start[f] + codes[f, begin + k]
                repeated |= seen[at]
                seen[at] = True
            if repeated:
                sum_pairs(codes, f, width, pair_start[f], begin, n, omega, Z, X, q, pair)
                marks, pairs, blocks = level_start[f], pair_start[f], block_start[f]
                add_pairs(codes, f, width, marks, pairs, blocks, j, begin, n, M, q, MB, pair, seen, out)
            else:
                add_level_blocks(codes, f, width, block_start[f], begin, n, X, w, out)
                for k in range(n):
                    seen[level_start[f] + codes[f, begin + k]] = False


@called
def sum_pairs(codes, f, width, base, begin, n, omega, Z, X, q, pair):
    """pair += omega z_k z_e' of a level's rows."""
    for k in range(n):
        at = base + codes[f, begin + k] * width * q
        for i in range(width):
            x = omega[begin + k] * X[i, k]
            for h in range(q):
                pair[at + i * q + h] += x * Z[h, k]


@called
def add_pairs(codes, f, width, level_start, pair_start, block_start, j, begin, n, M, q, MB, pair, seen, out):
    """out += B M B' for the pairs that a level's rows have, which become 0."""
    for k in range(n):
        code = codes[f, begin + k]
        if not seen[level_start + code]:  # an earlier row of the same pair was here
            continue
        seen[level_start + code] = False
        base, block = pair_start + code * width * q, block_start + code * width * width
        for i in range(width):
            for a in range(q):
                MB[a] = 0.0
                for b in range(q):
                    MB[a] += M[j, a, b] * pair[base + i * q + b]
            for h in range(i + 1):
                total = 0.0
                for a in range(q):
                    total += MB[a] * pair[base + h * q + a]
                out[block + i * width + h] += total
        for i in range(width * q):
            pair[base + i] = 0.0

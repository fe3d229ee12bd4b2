"""Numba kernels of a projection: one traversal of the rows that solves the eliminated levels and says what is left.

For given other coefficients the levels of the eliminated factor are independent of each other, and each has a small
convex problem, phi_j(u) = sum_r w_r l(y_r, eta_r) + |u|^2 / 2 over its own rows. Newton's method solves it while these
rows are in the cache; |grad phi_j| has to fall, which for a convex function rules out the jumps to the far side that a
joint line search would pay for with everybody's step.

`weights`, `offset` and `alpha` (thresholds between -inf and +inf) are None where the model has none, which leaves them
out of the compiled code. Outputs, for the levels `low`..`high`: `u` is updated from its start, `M` is the covariance of
b_j given the rest, `omega` and `upper` are those of `Curvature`. Added to, for each thread: `gradient` of the remaining
coefficients in b, `blocks` Z_k'WZ_k (flat, by `block_start`), `squares` diag(X'WX), `slope` and `bend` of thresholds,
both with an entry for -inf and +inf, and `totals`: objective and largest squared decrement left in a level. The
arguments before these are buffers of one level's rows or coefficients.
"""

from __future__ import annotations

import math

import numpy as np

from mixedfx.coefficients.level_loss import level_loss
from mixedfx.linalg import intercept_kernels
from mixedfx.linalg.level_columns import (
    FIRST,
    PLAIN,
    SQUARED,
    add_columns,
    add_rest,
    add_span,
    column_sums,
    load_columns,
    scatter_rest,
    span_squares,
    span_sums,
)
from mixedfx.linalg.level_kernels import add_level_blocks
from mixedfx.linalg.rows import inner, kernel

MOST_STEPS = 60
SETTLED = 1e-13
"""Squared decrement at which a level's last step is taken without another look: what it leaves is of its square."""


@kernel
def project(
    low, high, rows, kind, y, weights, offset, sigma2, alpha, Lambda, v, block_start, u, M, own_blocks, omega, upper,
    Z, base, eta, slopes, bends, above, bend_above, here, before, step, shift, b, g, in_u, A, H, L,
    gradient, blocks, squares, slope, bend, totals,
):  # fmt: skip
    """Any model; u (J, q), M and own_blocks (J, q, q), Lambda (q, q), v (n_rest,) in b."""
    ptr, codes, values, own, tables, places_e, places_r, places_x, span, first, start = rows
    q, beta = places_e.shape[0], start[codes.shape[0]]
    for j in range(low, high):
        begin, n = np.uint64(ptr[j]), np.uint64(ptr[j + 1] - ptr[j])
        load_columns(codes, values, own, tables, places_e, FIRST, q, j, begin, n, Z)
        for k in range(n):
            base[k] = 0.0
        if offset is not None:
            for k in range(n):
                base[k] = offset[begin + k]
        add_columns(codes, values, own, tables, places_x, 1.0, v, beta, j, begin, n, base)
        add_rest(codes, values, own, tables, places_r, first, start, j, begin, n, v, FIRST, base)
        for i in range(q):
            shift[i] = 0.0
        add_span(span, own, j, v, beta, shift)
        for i in range(q):
            here[i] = step[i] = u[j, i]
            before[i] = 0.0  # a start that overflows is drawn towards 0
        last_norm, t, loss, decrement, penalty = np.inf, 1.0, 0.0, 0.0, 0.0
        for _ in range(MOST_STEPS):
            _times(Lambda, here, b)
            for k in range(n):
                eta[k] = base[k]
            for i in range(q):
                x = b[i] + shift[i]
                for k in range(n):
                    eta[k] += x * Z[i, k]
            loss = level_loss(
                kind, y, weights, sigma2, alpha, begin, n, eta, slopes, bends, above, bend_above
            )
            for i in range(q):
                total = 0.0
                for k in range(n):
                    total += Z[i, k] * slopes[k]
                g[i] = total
                for h in range(i + 1):
                    total = 0.0
                    for k in range(n):
                        total += bends[k] * Z[i, k] * Z[h, k]
                    A[i, h] = total
            _transpose_times(Lambda, g, in_u)
            norm = 0.0
            for i in range(q):
                in_u[i] += here[i]
                norm += in_u[i] * in_u[i]
            if not (norm <= last_norm and norm < np.inf) and t > 1e-12:
                t *= 0.5
                for i in range(q):
                    here[i] = before[i] + t * step[i]
                continue
            last_norm, t = norm, 1.0
            _hessian(Lambda, A, H)
            _invert(H, L)
            decrement, penalty = 0.0, 0.0
            for i in range(q):
                step[i] = 0.0
                for h in range(q):
                    step[i] -= H[i, h] * in_u[h]
                decrement -= step[i] * in_u[i]
                before[i] = here[i]
                penalty += 0.5 * here[i] * here[i]
                here[i] += step[i]
            if not decrement > SETTLED:
                break
        totals[0] += loss + penalty - 0.5 * decrement
        totals[1] = max(totals[1], decrement if decrement > SETTLED else 0.0)
        _sandwich(Lambda, H, j, M)
        for i in range(q):
            u[j, i] = here[i]
        _times(Lambda, step, b)
        for k in range(n):
            eta[k] = 0.0
        for i in range(q):
            x = b[i]
            for k in range(n):
                eta[k] += x * Z[i, k]
        for k in range(n):
            r = begin + k
            omega[r] = bends[k]
            if alpha is not None:
                category = int(y[r])
                upper[r] = bend_above[k]
                below, bend_below = above[k] - slopes[k], bends[k] - bend_above[k]
                slope[category + 1] -= above[k] + bend_above[k] * eta[k]
                slope[category] += below - bend_below * eta[k]
                bend[category + 1] += bend_above[k]
                bend[category] += bend_below
            slopes[k] += bends[k] * eta[k]
        scatter_rest(codes, values, own, tables, places_r, first, start, j, begin, n, slopes, gradient, FIRST)
        for i in range(q):
            for h in range(q):
                own_blocks[j, i, h] = A[i, h]
                g[i] += A[i, h] * b[h]
        span_sums(span, own, j, g, gradient, beta)
        span_squares(span, own, j, A, squares)
        column_sums(codes, values, own, tables, places_x, PLAIN, slopes, j, begin, n, gradient, beta)
        column_sums(codes, values, own, tables, places_x, SQUARED, bends, j, begin, n, squares, FIRST)
        for f in range(codes.shape[0]):
            load_columns(codes, values, own, tables, places_r, first[f], first[f + 1], j, begin, n, Z)
            add_level_blocks(codes, f, first[f + 1] - first[f], block_start[f], begin, n, Z, bends, blocks)


@kernel
def project_intercepts(
    low, high, rows, kind, y, weights, offset, sigma2, alpha, scale, v, u, M, own_blocks, omega, upper,
    base, eta, slopes, bends, above, bend_above, gradient, blocks, squares, slope, bend, totals,
):  # fmt: skip
    """Models whose random coefficients are all intercepts; u, M, own_blocks (J,), Lambda = `scale`.

    `squares` has an entry for X's constant and then one for each of ``x_columns``.
    """
    ptr, near, codes, start, values, constant, x_index, x_columns = rows
    shift = v[constant] if constant >= 0 else 0.0
    everything, weight = 0.0, 0.0
    for j in range(low, high):
        begin, n = np.uint64(ptr[j]), np.uint64(ptr[j + 1] - ptr[j])
        for k in range(n):
            base[k] = shift + intercept_kernels.gather(
                near, codes, start, values, x_index, x_columns, begin + k, v, FIRST
            )
            if offset is not None:
                base[k] += offset[begin + k]
        here, before, step = u[j], 0.0, u[j]  # a start that overflows is drawn towards 0
        last_norm, t, loss, decrement, A, H = np.inf, 1.0, 0.0, 0.0, 0.0, 1.0
        for _ in range(MOST_STEPS):
            g, A = 0.0, 0.0
            shrunk = scale * here
            for k in range(n):
                eta[k] = base[k] + shrunk
            loss = level_loss(
                kind, y, weights, sigma2, alpha, begin, n, eta, slopes, bends, above, bend_above
            )
            for k in range(n):
                g += slopes[k]
                A += bends[k]
            g = scale * g + here
            if not (abs(g) <= last_norm and abs(g) < np.inf) and t > 1e-12:
                t *= 0.5
                here = before + t * step
                continue
            last_norm, t = abs(g), 1.0
            H = scale * scale * A + 1.0
            step = -g / H
            decrement = g * g / H
            before = here
            here += step
            if not decrement > SETTLED:
                break
        totals[0] += loss + 0.5 * before * before - 0.5 * decrement
        totals[1] = max(totals[1], decrement if decrement > SETTLED else 0.0)
        u[j] = here
        M[j] = scale * scale / H
        own_blocks[j] = A
        moved = scale * step
        for k in range(n):
            r = begin + k
            d2 = bends[k]
            s = slopes[k] + d2 * moved
            omega[r] = d2
            if alpha is not None:
                category = int(y[r])
                upper[r] = bend_above[k]
                below, bend_below = above[k] - slopes[k], d2 - bend_above[k]
                slope[category + 1] -= above[k] + bend_above[k] * moved
                slope[category] += below - bend_below * moved
                bend[category + 1] += bend_above[k]
                bend[category] += bend_below
            everything += s
            weight += d2
            intercept_kernels.scatter(near, codes, start, values, x_index, x_columns, r, s, gradient, FIRST)
            if near.shape[0] > 0:
                blocks[near[r]] += d2
            for f in range(1, codes.shape[0]):
                blocks[start[f] + codes[f, r]] += d2
            for i in range(x_columns.shape[0]):
                squares[1 + i] += d2 * values[x_columns[i], r] ** 2
    if constant >= 0:
        gradient[constant] += everything
        squares[0] += weight


@inner
def _times(Lambda, u, b):
    for i in range(u.shape[0]):
        b[i] = 0.0
        for h in range(u.shape[0]):
            b[i] += Lambda[i, h] * u[h]


@inner
def _transpose_times(Lambda, b, u):
    for i in range(u.shape[0]):
        u[i] = 0.0
        for h in range(u.shape[0]):
            u[i] += Lambda[h, i] * b[h]


@inner
def _hessian(Lambda, A, H):
    """H = Lambda' A Lambda + I; of A the lower triangle is read."""
    q = A.shape[0]
    for i in range(q):
        for h in range(i):
            A[h, i] = A[i, h]
    for i in range(q):
        for h in range(i + 1):
            total = 1.0 if i == h else 0.0
            for a in range(q):
                inner = 0.0
                for c in range(q):
                    inner += A[a, c] * Lambda[c, h]
                total += Lambda[a, i] * inner
            H[i, h] = total
            H[h, i] = total


@inner
def _invert(H, L):
    """H becomes its inverse by Cholesky's L; its eigenvalues are at least 1."""
    q = H.shape[0]
    for i in range(q):
        for h in range(i + 1):
            total = H[i, h]
            for c in range(h):
                total -= L[i, c] * L[h, c]
            L[i, h] = math.sqrt(total) if i == h else total / L[h, h]
    # L becomes its inverse, whose cross-product is H's.
    for i in range(q):
        L[i, i] = 1.0 / L[i, i]
        for h in range(i):
            total = 0.0
            for c in range(h, i):
                total += L[i, c] * L[c, h]
            L[i, h] = -total * L[i, i]
    for i in range(q):
        for h in range(i + 1):
            total = 0.0
            for c in range(i, q):
                total += L[c, i] * L[c, h]
            H[i, h] = total
            H[h, i] = total


@inner
def _sandwich(Lambda, inverse, j, M):
    """M[j] = Lambda inverse Lambda'."""
    q = Lambda.shape[0]
    for i in range(q):
        for h in range(q):
            total = 0.0
            for a in range(q):
                for c in range(q):
                    total += Lambda[i, a] * inverse[a, c] * Lambda[h, c]
            M[j, i, h] = total

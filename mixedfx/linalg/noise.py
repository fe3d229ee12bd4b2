"""Numba kernel: white noise of the rows, projected onto the coefficients as it is made, never stored.

A row's noise depends on the seed and on the row's number in the caller's data alone: how rows are sorted, and how many
threads there are, changes nothing.
"""

from __future__ import annotations

import math

import numpy as np

from mixedfx.linalg.rows import inner, kernel, load, load_level, scatter_columns

_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


@inner
def _mixed(state):
    """The output function of SplitMix64 (Steele, Lea & Flood 2014)."""
    x = (state ^ (state >> np.uint64(30))) * _MIX_1
    x = (x ^ (x >> np.uint64(27))) * _MIX_2
    return x ^ (x >> np.uint64(31))


@inner
def _fill_normal(state, out):
    """Standard normal numbers by Box and Muller's method; returns the state after them."""
    m = out.shape[0]
    for c in range(0, m, 2):
        state += _STEP
        first = (float(_mixed(state) >> np.uint64(11)) + 0.5) / 9007199254740992.0
        state += _STEP
        second = float(_mixed(state) >> np.uint64(11)) / 9007199254740992.0
        radius, angle = math.sqrt(-2.0 * math.log(first)), 2.0 * math.pi * second
        out[c] = radius * math.cos(angle)
        if c + 1 < m:
            out[c + 1] = radius * math.sin(angle)
    return state


@kernel
def noise_rmatvec(low, high, rows, omega, upper, category, order, seed, e, z, noise, more, out, into_alpha):
    """e = Z_e' n, out += D_o' n for noise n of covariance W, m columns; see `kernels` for thresholds.

    A row that thresholds enter has independent noises in (alpha_m - eta), whose variances add up to its omega.
    """
    ptr, codes, values, own, tables, table_first, table_start, cols_e, cols_r, cols_x, first, start = rows
    at = values.shape[0] + own.shape[1]
    q, m = e.shape[1], e.shape[2]
    for j in range(low, high):
        load_level(own, values.shape[0], j, z)
        for i in range(q):
            for c in range(m):
                e[j, i, c] = 0.0
        for r in range(ptr[j], ptr[j + 1]):
            load(values, codes, tables, table_first, table_start, at, r, z)
            state = _mixed(np.uint64(order[r]) * _STEP + np.uint64(seed))
            state = _fill_normal(state, noise)
            if upper is not None:
                y = category[r]
                above, below = math.sqrt(upper[r]), math.sqrt(max(omega[r] - upper[r], 0.0))
                _fill_normal(state, more)
                for c in range(m):
                    one, two = above * noise[c], below * more[c]
                    into_alpha[y + 1, c] -= one
                    into_alpha[y, c] -= two
                    noise[c] = one + two
            else:
                root = math.sqrt(omega[r])
                for c in range(m):
                    noise[c] *= root
            for i in range(q):
                x = z[cols_e[i]]
                for c in range(m):
                    e[j, i, c] += x * noise[c]
            scatter_columns(codes, cols_r, cols_x, first, start, r, z, noise, out)

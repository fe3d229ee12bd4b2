"""Loops over all rows of one level of the eliminated factor: their forms gathered, their sums scattered.

Columns that follow one another in a table are read together, and no value is copied to be read twice but where many
passes read it. Arguments are those of `LevelRows`; `begin` and `n` are the level's first row and their number, both
unsigned; `into`, `s` and the rows of Z have an entry for each of its rows.
"""

from __future__ import annotations

import numpy as np

from mixedfx.linalg.places import CONSTANT, LEVEL, ROW
from mixedfx.linalg.rows import called, in_order, inner

ONE, TWO, THREE = np.uint64(1), np.uint64(2), np.uint64(3)
"""Places in arrays are unsigned: for signed ones Numba looks whether they count from the end, each time."""
FIRST = np.int64(0)
PLAIN, SQUARED = np.bool_(False), np.bool_(True)
"""Arguments that Numba sees as numbers: for Python's own constants it would compile a function once for each."""


@inner
def span_factor(span, i, own, j):
    """The number by which the i-th of these fixed columns is Z_e's in level j."""
    return own[j, span[i, 2]] if span[i, 2] >= 0 else 1.0


@inner
def add_span(span, own, j, x, at, into):
    """into (q,) += the fixed coefficients x[at:] as those of level j."""
    for i in range(span.shape[0]):
        into[span[i, 1]] += span_factor(span, i, own, j) * x[at + span[i, 0]]


@inner
def span_sums(span, own, j, sums, out, at):
    """out[at:] += what all rows of level j send to the fixed columns, whose Z_e' s is `sums` (q,)."""
    for i in range(span.shape[0]):
        out[at + span[i, 0]] += span_factor(span, i, own, j) * sums[span[i, 1]]


@inner
def span_squares(span, own, j, block, out):
    """out += the squares of these columns, weighted as in ``block`` = Z_j' W Z_j (q, q)."""
    for i in range(span.shape[0]):
        factor = span_factor(span, i, own, j)
        out[span[i, 0]] += factor * factor * block[span[i, 1], span[i, 1]]


@inner
def steady_value(source, column, own, j):
    """The number that a column is in all rows of level j, where it is one: ``source <= LEVEL``."""
    return 1.0 if source == CONSTANT else own[j, column]


@called
def add_columns(codes, values, own, tables, places, sign, x, at, j, begin, n, into):
    """into += sign (columns at `places`) x[at:]."""
    steady, i = 0.0, 0
    while i < places.shape[0]:
        source, column, width = places[i, 0], places[i, 1], places[i, 2]
        x0 = sign * x[at + places[i, 4]]
        if source <= LEVEL:
            steady += x0 * steady_value(source, column, own, j)
        elif source == ROW:
            for k in range(n):
                into[k] += x0 * values[column, begin + k]
        elif places[i, 3] >= 4:
            x1 = sign * x[at + places[i + 1, 4]]
            x2 = sign * x[at + places[i + 2, 4]]
            x3 = sign * x[at + places[i + 3, 4]]
            for k in range(n):
                c = np.uint64(column + codes[source, begin + k] * width)
                into[k] += (x0 * tables[c] + x1 * tables[c + ONE]) + (
                    x2 * tables[c + TWO] + x3 * tables[c + THREE]
                )
            i += 3
        else:
            for k in range(n):
                into[k] += x0 * tables[np.uint64(column + codes[source, begin + k] * width)]
        i += 1
    for k in range(n):
        into[k] += steady


@called
def column_sums(codes, values, own, tables, places, squared, s, j, begin, n, out, at):
    """out[at:] += (columns at `places`, or their squares)' s."""
    total = 0.0
    for k in range(n):
        total += s[k]
    i = 0
    while i < places.shape[0]:
        source, column, width = places[i, 0], places[i, 1], places[i, 2]
        if source <= LEVEL:
            x0 = steady_value(source, column, own, j)
            out[at + places[i, 4]] += (x0 * x0 if squared else x0) * total
        elif source == ROW:
            t0 = 0.0
            for k in range(n):
                x0 = values[column, begin + k]
                t0 += (x0 * x0 if squared else x0) * s[k]
            out[at + places[i, 4]] += t0
        elif places[i, 3] >= 4:
            t0, t1, t2, t3 = four_sums(codes, tables, source, column, width, squared, s, begin, n)
            out[at + places[i, 4]] += t0
            out[at + places[i + 1, 4]] += t1
            out[at + places[i + 2, 4]] += t2
            out[at + places[i + 3, 4]] += t3
            i += 3
        else:
            out[at + places[i, 4]] += one_sum(codes, tables, source, column, width, squared, s, begin, n)
        i += 1


@in_order
def four_sums(codes, tables, source, column, width, squared, s, begin, n):
    """Sums of four neighbours in a table, or of their squares, times s."""
    t0, t1, t2, t3 = 0.0, 0.0, 0.0, 0.0
    for k in range(n):
        c = np.uint64(column + codes[source, begin + k] * width)
        x0, x1, x2, x3 = tables[c], tables[c + ONE], tables[c + TWO], tables[c + THREE]
        t0 += (x0 * x0 if squared else x0) * s[k]
        t1 += (x1 * x1 if squared else x1) * s[k]
        t2 += (x2 * x2 if squared else x2) * s[k]
        t3 += (x3 * x3 if squared else x3) * s[k]
    return t0, t1, t2, t3


@in_order
def one_sum(codes, tables, source, column, width, squared, s, begin, n):
    """The same of one column of a table."""
    total = 0.0
    for k in range(n):
        x = tables[np.uint64(column + codes[source, begin + k] * width)]
        total += (x * x if squared else x) * s[k]
    return total


@called
def add_rest(codes, values, own, tables, places_r, first, start, j, begin, n, v, at, into):
    """into += d_o' v[at:], without beta's part."""
    for f in range(codes.shape[0]):
        i, end, factor_width, base = first[f], first[f + 1], first[f + 1] - first[f], at + start[f] - first[f]
        while i < end:
            source, column, width = places_r[i, 0], places_r[i, 1], places_r[i, 2]
            if source <= LEVEL:
                x0 = steady_value(source, column, own, j)
                if i + 1 < end and places_r[i + 1, 0] <= LEVEL:
                    x1 = steady_value(places_r[i + 1, 0], places_r[i + 1, 1], own, j)
                    for k in range(n):
                        c = np.uint64(base + i + codes[f, begin + k] * factor_width)
                        into[k] += x0 * v[c] + x1 * v[c + ONE]
                    i += 1
                else:
                    for k in range(n):
                        into[k] += x0 * v[np.uint64(base + i + codes[f, begin + k] * factor_width)]
            elif source == ROW:
                for k in range(n):
                    into[k] += (
                        values[column, begin + k]
                        * v[np.uint64(base + i + codes[f, begin + k] * factor_width)]
                    )
            else:
                for k in range(n):
                    x0 = tables[np.uint64(column + codes[source, begin + k] * width)]
                    into[k] += x0 * v[np.uint64(base + i + codes[f, begin + k] * factor_width)]
            i += 1


@called
def scatter_rest(codes, values, own, tables, places_r, first, start, j, begin, n, s, out, at):
    """out[at:] += d_o s, without beta's part."""
    for f in range(codes.shape[0]):
        i, end, factor_width, base = first[f], first[f + 1], first[f + 1] - first[f], at + start[f] - first[f]
        while i < end:
            source, column, width = places_r[i, 0], places_r[i, 1], places_r[i, 2]
            if source <= LEVEL:
                x0 = steady_value(source, column, own, j)
                if i + 1 < end and places_r[i + 1, 0] <= LEVEL:
                    x1 = steady_value(places_r[i + 1, 0], places_r[i + 1, 1], own, j)
                    for k in range(n):
                        c = np.uint64(base + i + codes[f, begin + k] * factor_width)
                        out[c] += x0 * s[k]
                        out[c + ONE] += x1 * s[k]
                    i += 1
                else:
                    for k in range(n):
                        out[np.uint64(base + i + codes[f, begin + k] * factor_width)] += x0 * s[k]
            elif source == ROW:
                for k in range(n):
                    out[np.uint64(base + i + codes[f, begin + k] * factor_width)] += (
                        values[column, begin + k] * s[k]
                    )
            else:
                for k in range(n):
                    x0 = tables[np.uint64(column + codes[source, begin + k] * width)]
                    out[np.uint64(base + i + codes[f, begin + k] * factor_width)] += x0 * s[k]
            i += 1


@called
def load_columns(codes, values, own, tables, places, low, high, j, begin, n, Z):
    """Columns `low`..`high` into the rows of Z, for what reads them many times."""
    for i in range(low, high):
        source, column, width = places[i, 0], places[i, 1], places[i, 2]
        if source <= LEVEL:
            x = steady_value(source, column, own, j)
            for k in range(n):
                Z[i - low, k] = x
        elif source == ROW:
            for k in range(n):
                Z[i - low, k] = values[column, begin + k]
        else:
            for k in range(n):
                Z[i - low, k] = tables[np.uint64(column + codes[source, begin + k] * width)]

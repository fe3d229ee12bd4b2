"""Variances of the linear predictor of many rows from the dense inverse of the reduced system: exact.

With e the eliminated factor, row r has the coefficients z_r of a level j of e and w_r of the rest, and

    Var(eta_r) = z_r' V_jj z_r + 2 z_r' V_j,rest w_r + w_r' H w_r,    V_e,rest = -M Z_e' W D_rest H,

where H is the inverse of the Schur complement and M the covariance of e's levels given the rest. V_e,rest would not fit
into memory: it is computed some columns at a time, for the rows that need them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mixedfx.coefficients.laplace_normal import DENSE_LIMIT, LaplaceNormal
from mixedfx.linalg.dense import dense_reduced
from mixedfx.predictors import Predictors
from mixedfx.row_chunks import row_chunks

Floats = NDArray[np.float64]
Entry = tuple[NDArray[np.int64], Floats]
"""One coefficient of the rest that each row has: its position in the rest vector, and the row's feature."""

COLUMNS_AT_ONCE = 16
ROWS_AT_ONCE = 2**14


def has_dense_variance(normal: LaplaceNormal) -> bool:
    """Whether the rest is small enough; thresholds, which are no part of the dense system, are not there."""
    layout = normal.elimination.operator.layout
    return layout.n_thresholds == 0 and layout.n_rest <= DENSE_LIMIT


def dense_variance(normal: LaplaceNormal, predictors: Predictors) -> Floats:
    """Variance of eta around the mode, shape (N,); levels coded -1 contribute nothing."""
    elimination = normal.elimination
    layout = elimination.operator.layout
    H = elimination.lambdas.rest_sandwich(dense_reduced(elimination).inverse(with_fixed=True))
    eliminated = next(t for t in predictors.terms if t.name == layout.eliminated.name)
    codes, known = _known(eliminated.grouping.codes)
    z = predictors.z(eliminated) * known[:, None]
    V = normal.level_covariances(eliminated.name, conditional=False)
    entries = _entries(normal, predictors)
    variance = np.empty(predictors.n_rows)
    for rows in row_chunks(predictors.n_rows, ROWS_AT_ONCE):
        shape = (len(entries), rows.stop - rows.start)
        at = np.array([position[rows] for position, _ in entries], dtype=np.int64).reshape(shape).T
        w = np.array([feature[rows] for _, feature in entries], dtype=np.float64).reshape(shape).T
        variance[rows] = np.einsum("ra,rab,rb->r", z[rows], V[codes[rows]], z[rows])
        variance[rows] += np.einsum("ra,rab,rb->r", w, H[at[:, :, None], at[:, None, :]], w)
    orders = [np.argsort(position, kind="stable") for position, _ in entries]
    for columns in row_chunks(len(H), COLUMNS_AT_ONCE):
        chosen = [_rows_at(e, order, columns) for e, order in zip(entries, orders, strict=True)]
        if not any(len(rows) for rows in chosen):
            continue
        sums = elimination.operator.level_sums(elimination.curvature, elimination.blocks.e, H[:, columns])
        cross = -(elimination.M @ sums)
        for (position, feature), rows in zip(entries, chosen, strict=True):
            own = cross[codes[rows], :, position[rows] - columns.start]
            variance[rows] += 2 * feature[rows] * np.einsum("rq,rq->r", z[rows], own)
    return variance


def _entries(normal: LaplaceNormal, predictors: Predictors) -> list[Entry]:
    layout = normal.elimination.operator.layout
    blocks = {block.name: block for block in layout.rest}
    entries: list[Entry] = []
    for term in predictors.terms:
        if term.name in blocks:
            block = blocks[term.name]
            codes, known = _known(term.grouping.codes)
            z = predictors.z(term) * known[:, None]
            entries += [(block.start + codes * block.q + a, z[:, a]) for a in range(block.q)]
    X = predictors.X()
    fixed = range(X.shape[1])
    return entries + [(np.full(len(X), layout.beta_start + i), X[:, i]) for i in fixed]


def _known(codes: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Codes that can index, and whether they are to count."""
    return np.maximum(codes, 0).astype(np.int64), codes >= 0


def _rows_at(entry: Entry, order: NDArray[np.int64], columns: slice) -> NDArray[np.int64]:
    """Rows whose coefficient is one of `columns`, given the order of the rows by position."""
    position, _ = entry
    first, last = np.searchsorted(position, [columns.start, columns.stop], sorter=order)
    return order[first:last]

"""Fixed effects without a finite estimate: the data separate, and nothing shrinks a fixed effect.

Where a combination x'd of fixed effects tells the outcomes apart without an error, the loss falls for ever along d. A
solver stops there because the gradient vanishes, with all curvature that the rows had in this direction gone; random
effects have their prior and are never concerned.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mixedfx.linalg.curvature import Curvature
from mixedfx.row_chunks import row_chunks

Floats = NDArray[np.float64]

NOTHING_LEFT = 1e-6
"""Information about a direction below that of a millionth of one row of curvature 1 is none."""
REACH = 10.0
"""Values beyond so many times the typical one count as that much."""
ROWS_AT_ONCE = 100_000


def separated(
    columns: Sequence[NDArray | None], curvature: Curvature, weights: Floats, names: Sequence[str]
) -> tuple[str, ...]:
    """Names of the fixed effects in directions along which the rows have no curvature left; empty as a rule.

    Parameters
    ----------
    columns
        Of the fixed effects, shape (N,) each; None for the column of ones.
    curvature
        Of the rows' losses where a solver stopped, weights included.
    weights
        Shape (N,), or empty for 1.
    names
        Of the columns.
    """
    n, p, m = len(curvature.omega), len(columns), len(curvature.gap)
    if p == 0 or _all_informative(curvature, weights):
        return ()
    weighted, plain = np.zeros((p + m, p + m)), np.zeros((p + m, p + m))
    weighted[p:, p:] = curvature.gap
    # One row far out would be all that counts in x'x, and such a row is always fitted without an error.
    reach = [np.inf if c is None else _typical(c) * REACH for c in columns]
    for rows in row_chunks(n, ROWS_AT_ONCE):
        # An average of l'' over the weights, which may be of any size.
        own = weights[rows] if len(weights) else np.float64(1.0)
        omega = curvature.omega[rows] / own
        X = np.zeros((len(omega), p + m))
        for i, column in enumerate(columns):
            X[:, i] = 1.0 if column is None else np.clip(column[rows], -reach[i], reach[i])
        parts = [(omega, X)]
        if curvature.has_thresholds:
            category = curvature.category[rows].astype(np.int64)
            upper = curvature.upper[rows] / own
            parts = [
                _with_threshold(X, weight, at, p)
                for weight, at in ((upper, category), (omega - upper, category - 1))
            ]
        for weight, D in parts:
            weighted += D.T @ (weight[:, None] * D)
            plain += D.T @ D
    # Directions in which weighted information is least beside that of rows of curvature 1, in the latter's units.
    values, vectors = np.linalg.eigh(plain / _outer(plain))
    root = vectors / np.sqrt(np.maximum(values, 1e-12))
    shares, directions = np.linalg.eigh(root.T @ (weighted / _outer(plain)) @ root)
    found = np.zeros(p + m, dtype=bool)
    for share, direction in zip(shares, (root @ directions).T, strict=True):
        if share * n < NOTHING_LEFT:
            found |= np.abs(direction) > 0.1 * np.abs(direction).max()
    return tuple(name for name, is_in in zip(names, found, strict=False) if is_in)


def _all_informative(curvature: Curvature, weights: Floats) -> bool:
    """Whether every row has curvature left, so that no direction of any columns can be without."""
    if curvature.has_thresholds:
        return False
    n = len(curvature.omega)
    own = curvature.omega / weights if len(weights) else curvature.omega
    return bool(own.min(initial=1.0) * n >= NOTHING_LEFT)


def _typical(column: NDArray) -> float:
    """Median size of the values that are not 0, from at most some ROWS_AT_ONCE rows."""
    some = np.abs(column[:: max(len(column) // ROWS_AT_ONCE, 1)])
    return float(np.median(some[some > 0])) if (some > 0).any() else np.inf


def _with_threshold(X: Floats, weight: Floats, threshold: NDArray[np.int64], p: int) -> tuple[Floats, Floats]:
    """Rows that depend on ``eta - alpha[threshold]``, those of no threshold left out."""
    kept = (threshold >= 0) & (threshold < X.shape[1] - p)
    D = X[kept]
    D[np.arange(len(D)), p + threshold[kept]] = -1.0
    return weight[kept], D


def separation_reason(names: tuple[str, ...]) -> str:
    """What to say of them."""
    listed = ", ".join(f"'{name}'" for name in names[:8]) + (", ..." if len(names) > 8 else "")
    return (
        f"the data separate: some combination of the fixed effects {listed} tells the outcomes apart without an error, "
        "and has no finite estimate. Leave it out, merge categories that have one outcome only, or make it a random "
        "effect, which is shrunk"
    )


def _outer(A: Floats) -> Floats:
    scale = np.sqrt(np.diag(A))
    return np.outer(scale, scale)

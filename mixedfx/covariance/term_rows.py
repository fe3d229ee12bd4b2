"""Z b of one random term in JAX, by gathers from its levels.

Gathers, and the scatters that are their derivatives, are most of the gradient's cost, so there is one for each
coefficient only where features differ from row to row. Features of which the rows have few patterns (0/1 columns,
categories) are multiplied with the coefficients pattern by pattern, level by level, and each row gathers once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from mixedfx.predictors import CONSTANT, RandomTerm

Array = jax.Array
Floats = NDArray[np.float64]

MOST_PATTERNS = 64


class TermRows(NamedTuple):
    """Either `patterns` or `columns` are there.

    Attributes
    ----------
    at
        The row's level, or its level times the number of patterns plus its pattern, shape (N,).
    columns
        The rows' z, q arrays (N,), None for the constant.
    patterns
        The different rows of z, shape (q, patterns).
    """

    at: Array
    columns: tuple[Array | None, ...]
    patterns: Array | None

    @classmethod
    def of(cls, term: RandomTerm, z: Floats, order: NDArray[np.integer]) -> TermRows:
        """Of the rows in some order; z (N, q)."""
        z, codes = z[order], term.grouping.codes[order]
        patterns = _patterns(z, len(codes) / term.grouping.n_levels)
        if patterns is None:
            columns = [None if c == CONSTANT else jnp.asarray(z[:, a]) for a, c in enumerate(term.columns)]
            return cls(jnp.asarray(codes), tuple(columns), None)
        different, which = patterns
        at = codes.astype(np.int32) * len(different) + which.astype(np.int32)
        return cls(jnp.asarray(at), (), jnp.asarray(different.T))

    def times(self, b: Sequence[Array]) -> Array:
        """Z b, shape (N,); b has an array (J,) for each coefficient."""
        if self.patterns is not None:
            return (jnp.stack(b, axis=1) @ self.patterns).ravel()[self.at]
        parts = [
            own[self.at] if z is None else own[self.at] * z for own, z in zip(b, self.columns, strict=True)
        ]
        return jnp.stack(parts).sum(axis=0) if len(parts) > 1 else parts[0]


def _patterns(z: Floats, rows_a_level: float) -> tuple[Floats, NDArray[np.integer]] | None:
    """(different rows of z, which of them each row has); None where that saves nothing."""
    most = min(MOST_PATTERNS, rows_a_level)
    if z.shape[1] < 2 or any(len(np.unique(column)) > most for column in z.T):
        return None
    different, which = np.unique(z, axis=0, return_inverse=True)
    return (different, which.ravel()) if len(different) <= most else None

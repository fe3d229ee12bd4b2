"""Products with Z'WZ, and of vectors over all random coefficients: several columns at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mixedfx.linalg.curvature import Curvature
from mixedfx.linalg.operator import Parts, RowOperator

Floats = NDArray[np.float64]


def gram(operator: RowOperator, curvature: Curvature, blocks: Floats, b: Parts) -> Parts:
    """Z'WZ b, several columns; `blocks` are the eliminated levels', shape (J_e, q_e, q_e)."""
    e = blocks @ b.e + operator.level_sums(curvature, blocks, b.rest)
    nothing = np.zeros_like(blocks)
    rest = operator.reduced_product(curvature, blocks, nothing, b.rest)
    return Parts(e, operator.cross(curvature, blocks, b.e) + rest)


def inner(a: Parts, b: Parts) -> Floats:
    """a'b, shape (columns of a, columns of b)."""
    return np.einsum("jqa,jqb->ab", a.e, b.e, optimize=True) + a.rest.T @ b.rest


def columns(parts: Parts, which: slice) -> Parts:
    """Some of the columns."""
    return Parts(parts.e[:, :, which], parts.rest[:, which])


def joined(parts: Sequence[Parts]) -> Parts:
    """The columns of all of them."""
    return Parts(np.concatenate([own.e for own in parts], axis=2), np.hstack([own.rest for own in parts]))

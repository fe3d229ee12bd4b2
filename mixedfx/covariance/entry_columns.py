"""The vectors E g_k of every free covariance: what average information multiplies with Z."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mixedfx.covariance.parameters import ParameterSpace
from mixedfx.linalg.layout import RowLayout
from mixedfx.linalg.operator import Parts

Floats = NDArray[np.float64]


def entry_columns(space: ParameterSpace, layout: RowLayout, scores: Mapping[str, Floats]) -> Parts:
    """E g_k with E = dSigma_k/dphi, one column an entry; `scores` are g_k, factor -> (J, q)."""
    n = len(space.entries)
    e, rest = np.zeros((layout.n_levels, layout.q, n)), np.zeros((layout.n_rest, n))
    slices = {block.name: block.slice for block in layout.rest}
    for i, entry in enumerate(space.entries):
        name = space.terms[entry.term].name
        values = scores[name] @ space.basis(entry)
        if name == layout.eliminated.name:
            e[:, :, i] = values
        else:
            rest[slices[name], i] = values.ravel()
    return Parts(e, rest)

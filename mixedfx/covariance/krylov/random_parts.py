"""Z without X: what the krylov engine multiplies with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mixedfx.linalg.elimination import Elimination
from mixedfx.linalg.operator import Parts
from mixedfx.predictors import CONSTANT, Predictors

Floats = NDArray[np.float64]


def random_predictors(predictors: Predictors) -> Predictors:
    """The same rows without fixed effects, and with the features of random terms alone."""
    none = np.zeros(0, dtype=np.int32)
    used = np.unique(np.concatenate([none, *(term.columns for term in predictors.terms)]))
    used = used[used != CONSTANT]
    number = np.full(predictors.features.shape[1] + 1, CONSTANT, dtype=np.int32)  # [CONSTANT] is last
    number[used] = np.arange(len(used))
    terms = tuple(replace(term, columns=number[term.columns]) for term in predictors.terms)
    return replace(
        predictors,
        features=predictors.features[:, used],
        fixed_names=(),
        fixed_columns=none,
        terms=terms,
    )


def gram(elimination: Elimination, b: Parts) -> Parts:
    """Z'WZ b, several columns."""
    operator, curvature = elimination.operator, elimination.curvature
    e = elimination.blocks.e @ b.e + operator.level_sums(curvature, b.rest)
    nothing = np.zeros_like(elimination.M)
    return Parts(e, operator.cross(curvature, b.e) + operator.reduced_product(curvature, nothing, b.rest))


def inner(a: Parts, b: Parts) -> Floats:
    """a'b, shape (columns of a, columns of b)."""
    return np.einsum("jqa,jqb->ab", a.e, b.e, optimize=True) + a.rest.T @ b.rest


def columns(parts: Parts, which: slice) -> Parts:
    """Some of the columns."""
    return Parts(parts.e[:, :, which], parts.rest[:, which])

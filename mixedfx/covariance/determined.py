"""Refuse data whose likelihood has no maximum: without residual variance, or with features that are all 0."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mixedfx.design import Design
from mixedfx.errors import DataError
from mixedfx.formula.rank import independent_columns
from mixedfx.predictors import RandomTerm

Floats = NDArray[np.float64]

FIXED_PART = 1e-20
"""Least squares leaves about this part of the response's mean square where it could leave nothing."""
COLLINEAR = 1e-10
"""Least eigenvalue of scaled cross products below which columns are looked at more closely."""
ROUNDING = 1e-6
"""A part of a column, in units of its size, that is none."""
RESIDUAL_PART = 1e-12
"""sigma^2 falls below this part of the variance that the fixed effects leave only on its way to 0."""


def check_fixed_effects(design: Design, left: float) -> None:
    """Raise `DataError` where the fixed effects alone reproduce the response.

    `left` is the weighted sum of squares that they leave by least squares.
    """
    p = len(design.predictors.fixed_names)
    if p >= design.n_rows:
        raise DataError(
            f"{p} fixed effects for {design.n_rows} rows reproduce any response, so that nothing is left to learn "
            "covariances from; use fewer, or more rows"
        )
    y = design.y - design.predictors.offset
    if left <= FIXED_PART * float((design.weights * y) @ y):
        raise DataError(
            f"the fixed effects reproduce the response '{design.spec.response_name}' exactly, so that nothing is left "
            "to learn covariances from; is it computed from columns on the right of '~'?"
        )


def check_features(design: Design, term: RandomTerm) -> None:
    """Raise `DataError` where a random coefficient multiplies nothing but zeros, or others make up for it."""
    z = design.predictors.z(term)
    empty = ~z.any(axis=0)
    if empty.any():
        name = term.names[int(np.argmax(empty))]
        raise DataError(
            f"'{name}' is 0 in every row, so that its random coefficient for factor '{term.name}' can be anything; "
            "take it out of the formula"
        )

    for block in {tuple(np.flatnonzero(row)) for row in term.free if np.count_nonzero(row) > 1}:
        _check_collinear(z[:, list(block)], [term.names[i] for i in block], term.name)


def _check_collinear(z: Floats, names: list[str], factor: str) -> None:
    """Raise `DataError` where one of the columns (N, q) is determined by the others.

    With all covariances free the others' random coefficients can stand for its own, and the variances of all of them
    can grow without bound. Without covariances between them (``||``) each has a variance of its own all the same.
    """
    scale = np.sqrt(np.einsum("rq,rq->q", z, z))
    if np.linalg.eigvalsh(z.T @ z / np.outer(scale, scale))[0] > COLLINEAR:
        return
    kept = independent_columns(list(z.T), intercept=False)
    for i in np.flatnonzero(~kept):
        earlier = [j for j in range(i) if kept[j]]
        shares = np.linalg.lstsq(z[:, earlier] / scale[earlier], z[:, i] / scale[i], rcond=None)[0]
        used = [f"'{names[j]}'" for j, share in zip(earlier, shares, strict=True) if abs(share) > ROUNDING]
        raise DataError(
            f"'{names[i]}' is determined by {', '.join(used)} in every row, so that their random coefficients for "
            f"factor '{factor}' cannot be told apart and their variances could be anything; leave one of them out of "
            "the bar term"
        )


def refusing_zero(design: Design, left: float) -> Callable[[Floats], None]:
    """Raises `DataError`, called with parameters (sigma^2 last), where sigma^2 is on its way to 0.

    `left` is the weighted sum of squares that the fixed effects leave by least squares.
    """
    coefficients = sum(term.grouping.n_levels * term.q for term in design.predictors.terms)
    cause = (
        "Has each level of a grouping factor only one value? Then take its bar term out, or use fewer slopes"
    )
    if coefficients + len(design.predictors.fixed_names) >= design.n_rows:
        cause = (
            f"The bar terms have {coefficients} coefficients together for {design.n_rows} rows, enough for any "
            "response; use fewer of them, or more rows"
        )

    def refuse(vector: Floats) -> None:
        if vector[-1] < RESIDUAL_PART * left / design.n_rows:
            raise DataError(
                f"fixed and random effects reproduce the response '{design.spec.response_name}' exactly: its residual "
                f"variance goes to 0. {cause}"
            )

    return refuse

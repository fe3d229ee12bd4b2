"""Why a search for covariances ended before the maximum of the likelihood, as far as the data say, and what to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from mixedfx.design import Design
from mixedfx.predictors import CONSTANT, RandomTerm
from mixedfx.varcorr import INTERCEPT

Floats = NDArray[np.float64]

RUNAWAY = 1e3
"""A coefficient whose share in the linear predictor varies by so many times what there is to explain has run away."""
FAR = 100.0
"""Mean of a column in standard deviations from which on it and the intercept look alike."""
NO_RESIDUAL = 1e-6
"""Part of the response's variance below which the residual one counts as on its way to 0."""
UNLIKE = 1e4
"""Ratio of the sizes of two columns of a term from which on their variances are too far apart for one search."""


def why_stopped(
    design: Design, matrices: Sequence[Floats], gain: float, *, to_explain: float, sigma2: float | None = None
) -> str:
    """A reason with a remedy.

    Parameters
    ----------
    design
        The model.
    matrices
        Sigma_k where the search ended, in the order of the terms.
    gain
        Log-likelihood that a further step promises.
    to_explain
        Variance of the response, or of the linear predictor, that can be.
    sigma2
        Residual variance there, for families that have one.
    """
    return f"the likelihood was not maximised: {_reason(design, matrices, gain, to_explain, sigma2)}"


def _reason(
    design: Design, matrices: Sequence[Floats], gain: float, to_explain: float, sigma2: float | None
) -> str:
    terms = design.predictors.terms
    for term in terms:
        if reason := _far_from_zero(design, term) or _of_other_size(design, term):
            return reason
    if sigma2 is not None and sigma2 < NO_RESIDUAL * to_explain:
        return (
            f"the residual variance is on its way to 0 ({sigma2:.2g} of {to_explain:.2g}): the bar terms reproduce the "
            f"response '{design.spec.response_name}' all but exactly. Use fewer random coefficients, or more rows"
        )
    if reason := why_without_bound(design, matrices, to_explain):
        return reason
    distance = f", about {np.sqrt(2 * gain):.2g} standard errors away" if gain > 0 else ""
    return (
        f"a further step promises {gain:.2g} more log-likelihood{distance}. Go on from here with start= this result, "
        "or use fewer random coefficients"
    )


def why_without_bound(design: Design, matrices: Sequence[Floats], to_explain: float) -> str:
    """Names a coefficient whose variance is beyond all proportion; "" where there is none. Arguments as above."""
    for term, S in zip(design.predictors.terms, matrices, strict=True):
        size = (design.predictors.z(term) ** 2).mean(axis=0)
        for name, share in zip(term.names, np.diag(S) * size, strict=True):
            if share > RUNAWAY * to_explain:
                return (
                    f"the variance of '{name}' of factor '{term.name}' grows without bound, because nothing in the "
                    "data limits it: its levels determine the response, or fixed effects tell them apart. Take the "
                    "term out, or merge levels"
                )
    return ""


def _far_from_zero(design: Design, term: RandomTerm) -> str:
    for name, column in _features(design, term):
        mean, sd = float(column.mean()), float(column.std())
        if abs(mean) > FAR * sd:
            return (
                f"'{name}', which has a random coefficient for factor '{term.name}', lies far from 0 (mean {mean:.4g}, "
                f"standard deviation {sd:.2g}), where it looks like an intercept. Centre it: subtract its mean"
            )
    return ""


def _of_other_size(design: Design, term: RandomTerm) -> str:
    sizes = {name: float(np.sqrt(np.mean(column**2))) for name, column in _features(design, term)}
    if CONSTANT in term.columns:
        sizes[INTERCEPT] = 1.0
    small, large = min(sizes, key=sizes.__getitem__), max(sizes, key=sizes.__getitem__)
    if sizes[large] <= UNLIKE * sizes[small]:
        return ""
    odd = small if large == INTERCEPT else large
    return (
        f"'{odd}', which has a random coefficient for factor '{term.name}', is of size {sizes[odd]:.2g}, so far from "
        f"the others' that rounding spoils the steps. Scale it: divide it by {sizes[odd]:.2g}"
    )


def _features(design: Design, term: RandomTerm) -> Iterator[tuple[str, Floats]]:
    """Columns of a term but its intercept."""
    z = design.predictors.z(term)
    for name, number, column in zip(term.names, term.columns, z.T, strict=True):
        if number != CONSTANT:
            yield name, column

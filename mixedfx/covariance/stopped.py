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
ABSURD = 1e10
"""The same of covariances at which nothing can be computed any more."""
NEARLY = 1e-6
"""Least eigenvalue of the scaled cross products of a term's columns below which these are nearly collinear: of two,
1 less their correlation."""
INVOLVED = 0.1
"""Share of a column in that eigenvector from which on it is named."""
UNLIKE = 1e4
"""Ratio of the sizes of two columns of a term from which on their variances are too far apart for one search."""


def why_stopped(
    design: Design,
    matrices: Sequence[Floats],
    gain: float,
    *,
    to_explain: float,
    sigma2: float | None = None,
    remedy: str = "Go on from here with start= this result, or use fewer random coefficients",
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
    remedy
        Where neither the columns nor the covariances say what is wrong.
    """
    reason = (
        why_of_columns(design)
        or _without_residual(design, to_explain, sigma2)
        or why_without_bound(design, matrices, to_explain)
    )
    if not reason:
        distance = f", about {np.sqrt(2 * gain):.2g} standard errors away" if gain > 0 else ""
        reason = f"a further step promises {gain:.2g} more log-likelihood{distance}. {remedy}"
    return f"the likelihood was not maximised: {reason}"


def why_of_columns(design: Design) -> str:
    """What the columns of random coefficients have that spoils searches, "" where there is nothing."""
    for term in design.predictors.terms:
        for look in (_far_from_zero, _of_other_size, _nearly_collinear):
            if reason := look(design, term):
                return reason
    return ""


def out_of_proportion(design: Design, matrices: Sequence[Floats], to_explain: float) -> str:
    """Names a variance at which nothing can be computed any more; "" where there is none. Arguments as above."""
    for term, S in zip(design.predictors.terms, matrices, strict=True):
        size = np.sqrt((design.predictors.z(term) ** 2).mean(axis=0))
        for name, sd in zip(term.names, np.sqrt(np.abs(np.diag(S))) * size, strict=True):
            if not sd < np.sqrt(ABSURD * to_explain):
                return (
                    f"the variance of '{name}' of factor '{term.name}' is out of all proportion: it makes linear "
                    f"predictors vary by {sd:.1g}, where {np.sqrt(to_explain):.2g} is there to explain"
                )
    return ""


def _without_residual(design: Design, to_explain: float, sigma2: float | None) -> str:
    if sigma2 is not None and sigma2 < NO_RESIDUAL * to_explain:
        return (
            f"the residual variance is on its way to 0 ({sigma2:.2g} of {to_explain:.2g}): the bar terms reproduce the "
            f"response '{design.spec.response_name}' all but exactly. Use fewer random coefficients, or more rows"
        )
    return ""


def why_without_bound(design: Design, matrices: Sequence[Floats], to_explain: float) -> str:
    """Names a coefficient whose variance is beyond all proportion; "" where there is none. Arguments as above."""
    for term, S in zip(design.predictors.terms, matrices, strict=True):
        z = design.predictors.z(term)
        size = (z**2).mean(axis=0)
        # Coefficients may cancel out, as those of 1 and of a column far from 0 do: what counts is a column's own part.
        own = 1.0 / np.diag(np.linalg.inv(z.T @ z / len(z) + np.diag(NEARLY * size)))
        for name, variance, whole, part in zip(term.names, np.diag(S), size, own, strict=True):
            if variance * whole > RUNAWAY * to_explain and (reason := _nearly_collinear(design, term)):
                return reason
            if variance * part > RUNAWAY * to_explain:
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


def _nearly_collinear(design: Design, term: RandomTerm) -> str:
    z = design.predictors.z(term)
    for block in {tuple(np.flatnonzero(row)) for row in term.free if np.count_nonzero(row) > 1}:
        columns = z[:, list(block)]
        scaled = columns / np.sqrt(np.einsum("rq,rq->q", columns, columns))
        values, vectors = np.linalg.eigh(scaled.T @ scaled)
        if values[0] < NEARLY:
            shares = zip(block, np.abs(vectors[:, 0]), strict=True)
            names = [f"'{term.names[i]}'" for i, share in shares if share > INVOLVED]
            return (
                f"{', '.join(names)}, which have random coefficients for factor '{term.name}', nearly determine each "
                f"other (but for {np.sqrt(values[0]):.1g} of their size), so that their variances can be almost "
                "anything. Leave one of them out, or take what tells it from the others in its place"
            )
    return ""


def _features(design: Design, term: RandomTerm) -> Iterator[tuple[str, Floats]]:
    """Columns of a term but its intercept."""
    z = design.predictors.z(term)
    for name, number, column in zip(term.names, term.columns, z.T, strict=True):
        if number != CONSTANT:
            yield name, column

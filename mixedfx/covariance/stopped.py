"""Why a search for covariances ended before the maximum of the likelihood, as far as the data say, and what to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from mixedfx.design import Design
from mixedfx.formula.rank import independent_columns
from mixedfx.predictors import CONSTANT, RandomTerm

Floats = NDArray[np.float64]

RUNAWAY = 1e3
"""A coefficient whose share in the linear predictor varies by so many times what there is to explain has run away."""
FAR = 100.0
"""Mean of a column in standard deviations from which on it and the intercept look alike."""
UNLIKE = 1e4
"""Ratio of the sizes of two columns of a term from which on their variances are too far apart for one search."""


def why_stopped(design: Design, matrices: Sequence[Floats], to_explain: float, gain: float) -> str:
    """A reason with a remedy.

    Parameters
    ----------
    design
        The model.
    matrices
        Sigma_k where the search ended, in the order of the terms.
    to_explain
        Variance of the response, or of the linear predictor, that can be.
    gain
        Log-likelihood that a further step promises.
    """
    return f"the likelihood was not maximised: {_reason(design, matrices, to_explain, gain)}"


def _reason(design: Design, matrices: Sequence[Floats], to_explain: float, gain: float) -> str:
    terms = design.predictors.terms
    for term, S in zip(terms, matrices, strict=True):
        if not len(_runaways(design, term, S, to_explain)):
            continue
        for name, others in collinear_coefficients(design, term):
            return (
                f"'{name}' is determined by {_listed(others)} in every row, so that their random coefficients for "
                f"factor '{term.name}' cannot be told apart and their variances grow without bound; leave one of "
                "them out of the bar term"
            )
    for term, S in zip(terms, matrices, strict=True):
        for name in _runaways(design, term, S, to_explain):
            return (
                f"the variance of '{name}' of factor '{term.name}' grows without bound: its levels seem to determine "
                "the response; take the term out, or merge levels"
            )
    for term in terms:
        for name, column in _features(design, term):
            mean, sd = float(column.mean()), float(column.std())
            if abs(mean) > FAR * sd:
                return (
                    f"'{name}', which has a random coefficient for factor '{term.name}', lies far from 0 (mean "
                    f"{mean:.4g}, standard deviation {sd:.2g}), where it looks like an intercept. Centre it: subtract "
                    "its mean"
                )
        sizes = {name: float(np.sqrt(np.mean(column**2))) for name, column in _features(design, term)}
        if CONSTANT in term.columns:
            sizes["(Intercept)"] = 1.0
        small, large = min(sizes, key=sizes.__getitem__), max(sizes, key=sizes.__getitem__)
        if sizes[large] > UNLIKE * sizes[small]:
            odd = small if large == "(Intercept)" else large
            return (
                f"'{odd}', which has a random coefficient for factor '{term.name}', is of size {sizes[odd]:.2g} and so "
                f"far from the others' that rounding spoils the steps. Scale it: divide it by {sizes[odd]:.2g}"
            )
    distance = f"about {np.sqrt(2 * gain):.2g} standard errors away" if gain > 0 else "no nearer to be found"
    return (
        f"a further step promises {gain:.2g} more log-likelihood, and the maximum is {distance}. Go on from here with "
        "start= this result, or use fewer random coefficients"
    )


def collinear_coefficients(design: Design, term: RandomTerm) -> Iterator[tuple[str, list[str]]]:
    """Coefficients of a term whose features others determine in every row, with those; all with free covariances."""
    z = design.predictors.z(term)
    for block in {tuple(np.flatnonzero(row)) for row in term.free}:
        own = z[:, list(block)]
        kept = independent_columns(list(own.T), intercept=False)
        for position in np.flatnonzero(~kept):
            earlier = [i for i in range(position) if kept[i]]
            scale = np.sqrt((own**2).mean(axis=0))
            shares = np.linalg.lstsq(own[:, earlier] / scale[earlier], own[:, position] / scale[position])[0]
            used = [
                term.names[block[i]] for i, share in zip(earlier, shares, strict=True) if abs(share) > 1e-6
            ]
            yield term.names[block[position]], used


def _runaways(design: Design, term: RandomTerm, S: Floats, to_explain: float) -> list[str]:
    size = (design.predictors.z(term) ** 2).mean(axis=0)
    return [
        name
        for name, share in zip(term.names, np.diag(S) * size, strict=True)
        if share > RUNAWAY * to_explain
    ]


def _features(design: Design, term: RandomTerm) -> Iterator[tuple[str, Floats]]:
    """Columns of a term but its intercept."""
    z = design.predictors.z(term)
    for name, number, column in zip(term.names, term.columns, z.T, strict=True):
        if number != CONSTANT:
            yield name, column


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)

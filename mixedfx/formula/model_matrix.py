"""Columns of a model matrix from variables: R's rules for contrasts, order and names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedfx.errors import DataError
from mixedfx.formula.contrasts import coding
from mixedfx.formula.levels import Codes
from mixedfx.formula.terms import TermList
from mixedfx.formula.transforms import Array
from mixedfx.formula.tree import deparse
from mixedfx.formula.variables import Variable

INTERCEPT = "(Intercept)"


@dataclass(frozen=True, eq=False)
class Encoded:
    """The variables of a formula with their values in some data.

    Attributes
    ----------
    variables
        By their text.
    values
        By their text: codes (N,) of factors, numbers (N, k) of the others.
    """

    variables: Mapping[str, Variable]
    values: Mapping[str, Array | Codes]


def model_columns(terms: TermList, encoded: Encoded) -> dict[str, NDArray[np.float64]]:
    """Columns of the model matrix in R's order, by R's names, without the intercept's; each of shape (N,).

    Raises
    ------
    DataError
        Two columns would have the same name.
    """
    columns: dict[str, NDArray[np.float64]] = {}
    for term, full in zip(terms.terms, full_codings(terms, encoded.variables), strict=True):
        for name, values in _term_columns(terms, term, full, encoded).items():
            if name in columns or name == INTERCEPT:
                raise DataError(
                    f"two different effects would be called '{name}'; rename a column of the data"
                )
            columns[name] = values
    return columns


def full_codings(terms: TermList, variables: Mapping[str, Variable]) -> list[dict[int, bool]]:
    """For each term and each factor in it: one indicator a level (True) or contrasts (False).

    R's rule (``TermCode`` in its model.c, after Chambers & Hastie, Statistical Models in S, p. 38): contrasts
    if the term without the factor is contained in a term before it, or is empty; and without an intercept,
    the first factor of the first term that has one gets an indicator for each level.
    """
    is_factor = [_is_factor(terms, variables, i) for i in range(len(terms.variables))]
    codings: list[dict[int, bool]] = []
    for position, term in enumerate(terms.terms):
        before = [set(other) for other in terms.terms[:position]]
        codings.append({})
        for i in term:
            if is_factor[i]:
                rest = set(term) - {i}
                codings[-1][i] = bool(rest) and not any(rest <= other for other in before)
    if not terms.intercept:
        first = next((c for c in codings if c), None)
        if first is not None:
            first[min(first)] = True
    return codings


def _is_factor(terms: TermList, variables: Mapping[str, Variable], i: int) -> bool:
    variable = variables.get(deparse(terms.variables[i]))
    return variable is not None and variable.levels is not None


def _term_columns(
    terms: TermList, term: tuple[int, ...], full: dict[int, bool], encoded: Encoded
) -> dict[str, NDArray[np.float64]]:
    """Products of the columns of the term's variables; those of the first variable vary fastest."""
    product: dict[str, NDArray[np.float64]] = {}
    for i in term:
        variable = encoded.variables[deparse(terms.variables[i])]
        values = encoded.values[variable.name]
        own = _factor_columns(variable, values, full[i]) if i in full else _number_columns(variable, values)
        product = {
            f"{left}:{right}" if left else right: own[right] if before is None else before * own[right]
            for right in own
            for left, before in (product.items() if product else [("", None)])
        }
    return product


def _number_columns(variable: Variable, values: Array | Codes) -> dict[str, NDArray[np.float64]]:
    if values.shape[1] == 1:
        return {variable.name: values[:, 0]}
    return {f"{variable.name}{k + 1}": values[:, k] for k in range(values.shape[1])}


def _factor_columns(variable: Variable, codes: Array | Codes, full: bool) -> dict[str, NDArray[np.float64]]:
    matrix, endings = coding(variable, full)
    return {variable.name + ending: matrix[:, k][codes] for k, ending in enumerate(endings)}

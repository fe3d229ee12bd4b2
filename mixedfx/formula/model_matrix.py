"""Columns of a model matrix from variables: R's rules for contrasts, order and names."""

from __future__ import annotations

from collections.abc import Collection

from mixedfx.errors import DataError
from mixedfx.formula.contrasts import factor_columns
from mixedfx.formula.evaluate import Array
from mixedfx.formula.terms import TermList
from mixedfx.formula.tree import deparse
from mixedfx.formula.variables import Encoded

INTERCEPT = "(Intercept)"


def model_columns(terms: TermList, encoded: Encoded) -> dict[str, Array]:
    """Columns of the model matrix, without the intercept's, in R's order and by R's names; each of shape
    (N,).

    Raises
    ------
    DataError
        Two columns would have the same name.
    """
    columns: dict[str, Array] = {}
    for term, full in zip(terms.terms, full_codings(terms, encoded.factors), strict=True):
        for name, values in _term_columns(terms, term, full, encoded).items():
            if name in columns or name == INTERCEPT:
                raise DataError(
                    f"two different effects would be called '{name}'; rename a column of the data"
                )
            columns[name] = values
    return columns


def full_codings(terms: TermList, factors: Collection[str]) -> list[dict[int, bool]]:
    """For each term and each factor in it: one indicator a level (True) or contrasts (False).

    R's rule (``TermCode`` in its model.c, after Chambers & Hastie, Statistical Models in S, p. 38): contrasts
    if the rest of the term is empty or contained in a term before it; and without an intercept, the first
    factor of the first term that has one gets an indicator for each level.

    Parameters
    ----------
    terms
        Terms in R's order.
    factors
        Texts of those variables that are factors.
    """
    is_factor = [deparse(variable) in factors for variable in terms.variables]
    codings: list[dict[int, bool]] = []
    before: list[set[int]] = []
    for term in terms.terms:
        rests = {i: set(term) - {i} for i in term if is_factor[i]}
        codings.append({i: bool(rest) and not any(rest <= t for t in before) for i, rest in rests.items()})
        before.append(set(term))
    if not terms.intercept:
        first = next((coding for coding in codings if coding), None)
        if first is not None:
            first[min(first)] = True
    return codings


def _term_columns(
    terms: TermList, term: tuple[int, ...], full: dict[int, bool], encoded: Encoded
) -> dict[str, Array]:
    """Products of the columns of the term's variables; those of the first variable vary fastest."""
    product: dict[str, Array] = {}
    for i in term:
        name = deparse(terms.variables[i])
        if i in full:
            own = factor_columns(*encoded.factors[name], full[i])
        else:
            own = _number_columns(name, encoded.numbers[name])
        if product:
            own = {f"{a}:{b}": left * right for b, right in own.items() for a, left in product.items()}
        product = own
    return product


def _number_columns(name: str, values: Array) -> dict[str, Array]:
    if values.shape[1] == 1:
        return {name: values[:, 0]}
    return {f"{name}{k + 1}": values[:, k] for k in range(values.shape[1])}

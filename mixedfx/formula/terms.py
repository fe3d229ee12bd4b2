"""Sums of terms as R's ``terms.formula`` reads them: expanded, ordered, with the intercept and the offsets
apart.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mixedfx.formula.tokens import formula_error
from mixedfx.formula.transforms import check_arithmetic, check_call
from mixedfx.formula.tree import (
    Binary,
    Bracket,
    Call,
    Flag,
    Name,
    Node,
    Number,
    Unary,
    columns_of,
    deparse,
    summands,
)

_MOST_TERMS = 2000
"""A power or product that makes more terms than this is a mistake."""

Term = frozenset[int]


@dataclass(frozen=True)
class TermList:
    """The terms of one model matrix.

    Attributes
    ----------
    intercept
        Whether there is a column of ones.
    variables
        Columns and transforms, in order of first appearance.
    terms
        Each term the rising positions of its variables in `variables`; main effects first, then pairs, ...
    offsets
        Arguments of ``offset()``.
    """

    intercept: bool
    variables: tuple[Node, ...]
    terms: tuple[tuple[int, ...], ...]
    offsets: tuple[Node, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """R's term labels."""
        return tuple(":".join(deparse(self.variables[i]) for i in term) for term in self.terms)

    def single(self, term: tuple[int, ...]) -> TermList:
        """A list of one of the terms, without intercept."""
        return TermList(False, self.variables, (term,))


def expand(text: str, signed: Iterable[tuple[str, Node]]) -> TermList:
    """Expand a sum, given as its signs and summands.

    Raises
    ------
    FormulaError
        A summand is not made of columns, documented transforms, 0, 1 and the operators ``+ - * / : ^``.
    """
    expansion = _Expansion(text)
    terms: list[Term] = []
    for sign, node in signed:
        terms = expansion.combine(sign, terms, node)
    # R's order: by number of variables, then as written.
    ordered = sorted(terms, key=len)
    return TermList(
        expansion.intercept,
        tuple(expansion.variables.values()),
        tuple(tuple(sorted(term)) for term in ordered),
        tuple(expansion.offsets),
    )


class _Expansion:
    """Gathers variables, offsets and the intercept while terms are expanded."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.intercept = True
        self.adding = True
        self.variables: dict[str, Node] = {}
        self.offsets: list[Node] = []

    def combine(self, sign: str, terms: list[Term], node: Node) -> list[Term]:
        """`terms` with those of `node` added or taken out."""
        if sign == "+":
            return _distinct(terms + self.terms(node))
        self.adding = not self.adding
        unwanted = self.terms(node)
        self.adding = not self.adding
        return [term for term in terms if term not in unwanted]

    def terms(self, node: Node) -> list[Term]:
        match node:
            case Name() | Call():
                return self.variable(node)
            case Number(value):
                if value not in (0.0, 1.0):
                    raise formula_error(
                        self.text,
                        node.at,
                        f"the number {value:g} cannot be a term; only 0 and 1 can (the intercept)",
                    )
                self.intercept = (value == 1.0) == self.adding
                return []
            case Bracket(inner):
                return self.terms(inner)
            case Unary() | Binary("+" | "-"):
                terms: list[Term] = []
                for sign, summand in summands(node):
                    terms = self.combine(sign, terms, summand)
                return terms
            case Binary("^", left, right):
                return self.power(left, right)
            case Binary("*" | "/" | ":" as operator, left, right):
                for side in (left, right):
                    if isinstance(side, Number):
                        raise formula_error(
                            self.text,
                            side.at,
                            f"a number cannot be combined by '{operator}'; arithmetic needs I(...)",
                        )
                return self.product(operator, self.terms(left), self.terms(right), node)
            case Binary("|" | "||" as operator):
                raise formula_error(
                    self.text,
                    node.at,
                    f"'{operator}' must stand in round brackets of its own: + (1 + x {operator} group)",
                )
            case Flag():
                raise formula_error(
                    self.text, node.at, f"{deparse(node)} cannot be a term; only columns, 0 and 1 can"
                )
            case _:
                raise formula_error(self.text, node.at, f"{deparse(node)} cannot be a term")

    def variable(self, node: Name | Call) -> list[Term]:
        if isinstance(node, Call):
            check_call(self.text, node)
            if not columns_of(node):
                raise formula_error(self.text, node.at, f"{deparse(node)} names no column")
            if node.function == "offset":
                check_arithmetic(self.text, node.arguments[0])
                self.offsets.append(node.arguments[0])
                return []
        key = deparse(node)
        self.variables.setdefault(key, node)
        return [frozenset([list(self.variables).index(key)])]

    def product(self, operator: str, left: list[Term], right: list[Term], node: Node) -> list[Term]:
        if operator == "/":
            nest = frozenset().union(*left)
            return self.limited(_distinct(left + [nest | term for term in right]), node)
        crossed = [a | b for a in left for b in right]
        return self.limited(_distinct(crossed if operator == ":" else left + right + crossed), node)

    def power(self, left: Node, right: Node) -> list[Term]:
        if not (isinstance(right, Number) and right.value >= 1 and right.value == int(right.value)):
            raise formula_error(
                self.text,
                right.at,
                "the power of a sum of terms must be a whole number above 0; for x squared write I(x^2)",
            )
        base = self.terms(left)
        terms = base
        for _ in range(int(right.value) - 1):
            larger = self.limited(_distinct(terms + [a | b for a in terms for b in base]), left)
            if len(larger) == len(terms):
                break
            terms = larger
        return terms

    def limited(self, terms: list[Term], node: Node) -> list[Term]:
        if len(terms) > _MOST_TERMS:
            raise formula_error(self.text, node.at, f"this makes more than {_MOST_TERMS} terms")
        return terms


def _distinct(terms: list[Term]) -> list[Term]:
    return list(dict.fromkeys(terms))

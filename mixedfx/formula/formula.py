"""A mixed-model formula, read and checked before any data is looked at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mixedfx.errors import FormulaError
from mixedfx.formula.parser import parse
from mixedfx.formula.terms import TermList, expand
from mixedfx.formula.tokens import formula_error
from mixedfx.formula.transforms import MATRIX_CALLS, check_arithmetic, check_call
from mixedfx.formula.tree import Binary, Bracket, Call, Name, Node, columns_of, deparse, summands


@dataclass(frozen=True)
class Group:
    """A grouping factor as the formula gives it: one column, or the combinations of several.

    `name` is lme4's: ``"batch"``, ``"cask:batch"``, ``"c:(b:a)"``.
    """

    name: str
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Bar:
    """A grouping factor with all its bar terms; covariances across `parts` are zero by the formula."""

    group: Group
    parts: tuple[TermList, ...]


@dataclass(frozen=True)
class Formula:
    """A formula taken apart.

    Attributes
    ----------
    text
        As written.
    response
        The tree left of ``~``.
    fixed
        Fixed effects and offsets.
    bars
        Random terms, one a grouping factor, in order of first appearance.
    """

    text: str
    response: Node
    fixed: TermList
    bars: tuple[Bar, ...]

    @property
    def response_name(self) -> str:
        return self.response.id if isinstance(self.response, Name) else deparse(self.response)

    @property
    def response_columns(self) -> tuple[str, ...]:
        return columns_of(self.response)

    @property
    def variables(self) -> dict[str, Node]:
        """Columns and transforms of the fixed and random terms, by their text."""
        lists = [self.fixed, *(part for bar in self.bars for part in bar.parts)]
        return {deparse(v): v for terms in lists for i, v in enumerate(terms.variables) if _used(terms, i)}

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the data that the predictors need: without the response."""
        nodes = (*self.variables.values(), *self.fixed.offsets)
        named = [name for node in nodes for name in columns_of(node)]
        return tuple(dict.fromkeys(named + [name for bar in self.bars for name in bar.group.columns]))


def parse_formula(text: str) -> Formula:
    """Read a formula in the notation of R and lme4; nothing is evaluated.

    Parameters
    ----------
    text
        ``"y ~ 1 + x + kind + x:kind + (1 + x | user) + (1 | item)"``. Names with spaces or the like go in
        backticks. Functions are those of `mixedfx.formula.TRANSFORMS`.

    Raises
    ------
    FormulaError
        The text is not a formula, calls something that is not a documented transform, or has no bar term.

    Examples
    --------
    >>> f = parse_formula("y ~ x + (1 + x | user) + (1 | batch/cask)")
    >>> [bar.group.name for bar in f.bars]
    ['user', 'cask:batch', 'batch']
    >>> f.columns
    ('x', 'user', 'cask', 'batch')
    """
    if not isinstance(text, str):
        raise FormulaError(
            f"the formula must be a string such as 'y ~ x + (1 | group)', not {type(text).__name__}"
        )
    text = " ".join(text.splitlines())
    try:
        return _read(text)
    except RecursionError as error:
        raise FormulaError("the formula nests too deeply; make columns in the data instead") from error


def _read(text: str) -> Formula:
    response, right = parse(text)
    _check_response(text, response)
    fixed: list[tuple[str, Node]] = []
    bars: list[tuple[Group, TermList]] = []
    for sign, node in summands(right):
        bar = _bar_of(node)
        if bar is None:
            fixed.append((sign, node))
        elif sign == "-":
            raise formula_error(text, node.at, "a bar term cannot be taken out with '-'; leave it out")
        else:
            bars += _read_bar(text, bar)
    terms = expand(text, fixed)
    if not bars:
        raise formula_error(
            text,
            len(text),
            "the formula has no random term; add one for each grouping factor, such as (1 | user)",
        )
    formula = Formula(text, response, terms, _amalgamate(bars))
    both = set(formula.response_columns) & set(formula.columns)
    if both:
        raise formula_error(text, response.at, f"the response '{min(both)}' is also on the right of '~'")
    return formula


def _check_response(text: str, node: Node) -> None:
    if isinstance(node, Call):
        check_call(text, node)
        if node.function in MATRIX_CALLS or node.function == "offset":
            raise formula_error(
                text, node.at, f"the response must be one column of data, not {node.function}()"
            )
    else:
        check_arithmetic(text, node)
    if not columns_of(node):
        raise formula_error(text, node.at, f"the response '{deparse(node)}' is not a column")


def _bar_of(node: Node) -> Binary | None:
    if isinstance(node, Bracket) and isinstance(node.inner, Binary) and node.inner.operator in ("|", "||"):
        return node.inner
    return None


def _read_bar(text: str, bar: Binary) -> Iterator[tuple[Group, TermList]]:
    """The bar terms that one stands for: ``||`` is one a term, ``a/b`` one a nesting."""
    terms = expand(text, summands(bar.left))
    if terms.offsets:
        raise formula_error(text, bar.left.at, "an offset cannot stand in a bar term")
    if not terms.intercept and not terms.terms:
        raise formula_error(
            text, bar.left.at, "this bar term has no coefficients; write (1 | group) for an intercept"
        )
    parts = [terms]
    if bar.operator == "||":
        parts = [TermList(True, terms.variables, ())] if terms.intercept else []
        parts += [terms.single(term) for term in terms.terms]
    for part in parts:
        for group in _groups(text, bar.right):
            yield group, part


def _groups(text: str, node: Node) -> list[Group]:
    """``a/b`` is ``b:a`` and ``a``, finest first as lme4 lists them."""
    chain = _nesting(node)
    groups = [Group(_group_name(chain[0]), _combined(text, chain[0]))]
    outer = chain[0]
    for inner in chain[1:]:
        outer = Binary(":", inner, outer if isinstance(outer, Name) else Bracket(outer))
        groups.insert(0, Group(_group_name(outer), _combined(text, outer)))
    return groups


def _nesting(node: Node) -> list[Node]:
    match node:
        case Bracket(inner):
            return _nesting(inner)
        case Binary("/", left, right):
            return [*_nesting(left), right.inner if isinstance(right, Bracket) else right]
        case _:
            return [node]


def _combined(text: str, node: Node) -> tuple[str, ...]:
    match node:
        case Name(id):
            return (id,)
        case Bracket(inner):
            return _combined(text, inner)
        case Binary(":", left, right):
            return _combined(text, left) + _combined(text, right)
        case Binary("+" | "*" as operator):
            raise formula_error(
                text, node.at, f"'{operator}' cannot stand in a group; write (1 | a) + (1 | b), or (1 | a:b)"
            )
        case _:
            raise formula_error(
                text,
                node.at,
                f"the group '{deparse(node)}' is not a column; a group is a column, a:b or a/b (columns of "
                "any kind are taken as categories)",
            )


def _group_name(node: Node) -> str:
    # As lme4: a lone name has no backticks, one in a combination does where it needs them.
    return node.id if isinstance(node, Name) else deparse(node)


def _amalgamate(bars: list[tuple[Group, TermList]]) -> tuple[Bar, ...]:
    """One a factor. ``a:b`` and ``b:a``, which nesting writes, are the same groups: the first name stands for both."""
    parts: dict[tuple[str, ...], list[TermList]] = {}
    first: dict[tuple[str, ...], Group] = {}
    for group, terms in bars:
        columns = tuple(sorted(group.columns))
        first.setdefault(columns, group)
        parts.setdefault(columns, []).append(terms)
    return tuple(Bar(first[columns], tuple(lists)) for columns, lists in parts.items())


def _used(terms: TermList, variable: int) -> bool:
    return any(variable in term for term in terms.terms)

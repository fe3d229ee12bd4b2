"""The syntax tree of a formula, and its text as R would print it (which names the coefficients)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Name:
    """A column of the data."""

    id: str
    at: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Number:
    """A number: 0 or 1 between terms, any inside a transform."""

    value: float
    at: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Flag:
    """TRUE or FALSE, as an option of a transform."""

    value: bool
    at: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Call:
    """A transform with its arguments."""

    function: str
    arguments: tuple[Node, ...]
    options: tuple[tuple[str, Node], ...] = ()
    at: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Unary:
    """``-x`` or ``+x``."""

    operator: str
    operand: Node
    at: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Binary:
    """Two operands; `operator` is one of ``~ | || + - * / : ^``."""

    operator: str
    left: Node
    right: Node
    at: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Bracket:
    """Something in round brackets, kept because R prints them."""

    inner: Node
    at: int = field(default=0, compare=False)


Node = Name | Number | Flag | Call | Unary | Binary | Bracket

_SYNTACTIC = re.compile(r"(?:[^\W\d]|\.(?!\d))[\w.]*\Z")
_TIGHT = {":", "^", "/"}
"""Operators that R prints without spaces around them."""


def deparse(node: Node) -> str:
    """The text of a syntax tree, spaced as R does.

    Examples
    --------
    >>> deparse(Call("poly", (Name("x y"), Number(2.0))))
    'poly(`x y`, 2)'
    """
    match node:
        case Name(id):
            return id if _SYNTACTIC.match(id) else f"`{id}`"
        case Number(value):
            return number_text(value)
        case Flag(value):
            return "TRUE" if value else "FALSE"
        case Call(function, arguments, options):
            parts = [deparse(a) for a in arguments] + [f"{key} = {deparse(value)}" for key, value in options]
            return f"{function}({', '.join(parts)})"
        case Unary(operator, operand):
            return operator + deparse(operand)
        case Bracket(inner):
            return f"({deparse(inner)})"
        case Binary(operator, left, right):
            gap = "" if operator in _TIGHT else " "
            return f"{deparse(left)}{gap}{operator}{gap}{deparse(right)}"


def number_text(value: float) -> str:
    """A number as R prints it: 15 digits, fixed notation unless scientific is shorter."""
    mantissa, exponent = f"{value:.14e}".split("e")
    mantissa = mantissa.rstrip("0").rstrip(".")
    scientific = f"{mantissa}e{int(exponent):+03d}"
    digits = len(mantissa.lstrip("-").replace(".", ""))
    fixed = f"{value:.{max(0, digits - 1 - int(exponent))}f}"
    return fixed if len(fixed) <= len(scientific) else scientific


def summands(node: Node) -> Iterator[tuple[str, Node]]:
    """The signs and summands of a sum, left to right; anything else is a sum of one."""
    later: list[tuple[str, Node]] = []
    # A loop, because a formula may sum hundreds of columns and sums nest to the left.
    while isinstance(node, Binary) and node.operator in ("+", "-"):
        later.append((node.operator, node.right))
        node = node.left
    yield (node.operator, node.operand) if isinstance(node, Unary) else ("+", node)
    yield from reversed(later)


def columns_of(node: Node) -> tuple[str, ...]:
    """The columns that a tree names, in order of appearance, each once."""
    match node:
        case Name(id):
            found = [id]
        case Call(_, arguments):
            found = [name for argument in arguments for name in columns_of(argument)]
        case Unary(_, inner) | Bracket(inner):
            found = columns_of(inner)
        case Binary(_, left, right):
            found = columns_of(left) + columns_of(right)
        case _:
            found = []
    return tuple(dict.fromkeys(found))


def functions_of(node: Node) -> frozenset[str]:
    """The functions that a tree calls."""
    match node:
        case Call(function, arguments):
            return frozenset({function}).union(*(functions_of(argument) for argument in arguments))
        case Unary(_, inner) | Bracket(inner):
            return functions_of(inner)
        case Binary(_, left, right):
            return functions_of(left) | functions_of(right)
        case _:
            return frozenset()

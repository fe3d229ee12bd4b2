"""The functions a formula may call, and nothing else, with the arguments they take."""

from __future__ import annotations

from dataclasses import dataclass

from mixedfx.formula.tokens import formula_error
from mixedfx.formula.tree import Binary, Bracket, Call, Flag, Name, Node, Number, Unary

TRANSFORMS: dict[str, str] = {
    "I": "arithmetic on columns: I(x^2), I((x - 32) * 5 / 9)",
    "log": "natural logarithm",
    "log2": "logarithm to base 2",
    "log10": "logarithm to base 10",
    "log1p": "log(1 + x)",
    "exp": "exponential",
    "expm1": "exp(x) - 1",
    "sqrt": "square root",
    "abs": "absolute value",
    "sin": "sine, of radians",
    "cos": "cosine, of radians",
    "center": "x minus its mean in the data of the fit",
    "scale": "x minus its mean, divided by its standard deviation; scale(x, center = TRUE, scale = TRUE)",
    "poly": "orthogonal polynomials: poly(x, 2); powers with poly(x, 2, raw = TRUE)",
    "bs": "B-splines: bs(x, df = 5, degree = 3)",
    "factor": "take a column as categories, sorted",
    "C": "the same as factor",
    "ordered": "take a column as ordered categories (orthogonal polynomial contrasts)",
    "offset": "add to the linear predictor with coefficient 1; only as a term of its own",
}
"""Every function a formula may call, with what it does."""

ARITHMETIC = frozenset({"+", "-", "*", "/", "^"})
"""Operators inside a transform."""
FACTOR_CALLS = frozenset({"factor", "C", "ordered"})
"""Calls that turn a column into categories."""
MATRIX_CALLS = frozenset({"poly", "bs"})
"""Calls that give several columns."""
STATEFUL_CALLS = frozenset({"center", "scale"}) | MATRIX_CALLS
"""Calls that learn from all rows: means, norms, knots."""

_MOST = 100
"""The largest degree or number of columns of a transform."""


@dataclass(frozen=True)
class _Options:
    """Names and kinds of the arguments after the first: "count" is a whole number from 1 to `_MOST`."""

    names: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()


_OPTIONS: dict[str, _Options] = {
    "scale": _Options(("center", "scale"), ("flag", "flag")),
    "poly": _Options(("degree", "raw"), ("count", "flag")),
    "bs": _Options(("df", "degree"), ("count", "count")),
}


def check_call(text: str, call: Call) -> None:
    """Raise `FormulaError` unless the arguments of `call` are what its transform takes."""
    if len(call.arguments) < 1:
        raise formula_error(text, call.at, f"{call.function}() needs a column")
    read_options(text, call)
    inner = call.arguments[0]
    if call.function in FACTOR_CALLS:
        if not isinstance(inner, Name):
            raise formula_error(text, inner.at, f"{call.function}() takes one column")
        return
    check_arithmetic(text, inner)


def check_arithmetic(text: str, node: Node) -> None:
    """Raise `FormulaError` unless `node` is arithmetic on columns, numbers and one-column transforms."""
    match node:
        case Name() | Number():
            return
        case Bracket(inner):
            check_arithmetic(text, inner)
        case Unary(_, operand):
            check_arithmetic(text, operand)
        case Binary(operator, left, right) if operator in ARITHMETIC:
            check_arithmetic(text, left)
            check_arithmetic(text, right)
        case Call(function) if function in FACTOR_CALLS | MATRIX_CALLS | {"offset"}:
            raise formula_error(
                text, node.at, f"{function}() cannot stand inside another function or arithmetic"
            )
        case Call():
            check_call(text, node)
        case Binary(operator):
            raise formula_error(text, node.at, f"'{operator}' has no meaning inside a function")
        case Flag(value):
            raise formula_error(text, node.at, f"{'TRUE' if value else 'FALSE'} has no meaning here")


def read_options(text: str, call: Call) -> dict[str, int | bool]:
    """The arguments after the first, by name; raises `FormulaError` for one that the function does not take."""
    allowed = _OPTIONS.get(call.function, _Options())
    if len(call.arguments) - 1 > len(allowed.names):
        surplus = call.arguments[len(allowed.names) + 1]
        raise formula_error(
            text, surplus.at, f"{call.function}() takes at most {len(allowed.names) + 1} argument(s)"
        )
    given = [(name, node) for name, node in zip(allowed.names, call.arguments[1:], strict=False)]
    options: dict[str, int | bool] = {}
    for name, node in given + list(call.options):
        if name not in allowed.names:
            raise formula_error(text, node.at, f"{call.function}() has no option '{name}'")
        if name in options:
            raise formula_error(text, node.at, f"{call.function}() is given '{name}' twice")
        options[name] = _option_value(text, call, name, node, allowed.kinds[allowed.names.index(name)])
    return options


def _option_value(text: str, call: Call, name: str, node: Node, kind: str) -> int | bool:
    if kind == "flag" and isinstance(node, Flag):
        return node.value
    if (
        kind == "count"
        and isinstance(node, Number)
        and 1 <= node.value <= _MOST
        and node.value == int(node.value)
    ):
        return int(node.value)
    wanted = "TRUE or FALSE" if kind == "flag" else f"a whole number from 1 to {_MOST}"
    raise formula_error(text, node.at, f"option '{name}' of {call.function}() must be {wanted}")

"""The functions a formula may call, and nothing else: what they take, and how each is computed.

A formula is never handed to Python: its tree is walked here, over NumPy arrays. Transforms that learn
something from the data (a mean, knots) leave it in a plain dictionary, so that new data is transformed in the
same way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixedfx.errors import DataError
from mixedfx.formula.tokens import formula_error
from mixedfx.formula.tree import Binary, Bracket, Call, Flag, Name, Node, Number, Unary, deparse

Array = NDArray[np.float64]
State = dict[str, Any]

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

ELEMENTWISE: dict[str, Callable[[Array], Array]] = {
    "I": lambda x: x,
    "log": np.log,
    "log2": np.log2,
    "log10": np.log10,
    "log1p": np.log1p,
    "exp": np.exp,
    "expm1": np.expm1,
    "sqrt": np.sqrt,
    "abs": np.abs,
    "sin": np.sin,
    "cos": np.cos,
}
_ARITHMETIC: dict[str, Callable[[Array, Array], Array]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "^": np.power,
}
FACTOR_CALLS = frozenset({"factor", "C", "ordered"})
"""Calls that turn a column into categories."""
MATRIX_CALLS = frozenset({"poly", "bs"})
"""Calls that give several columns."""


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
    _read_options(text, call)
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
        case Binary(operator, left, right) if operator in _ARITHMETIC:
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


def evaluate(node: Node, column: Callable[[str], Array], state: State, learn: bool) -> Array:
    """The values of an expression, shape (N,) or, for poly and bs, (N, k).

    Parameters
    ----------
    node
        A tree that passed `check_arithmetic` or `check_call`.
    column
        Gives the numbers of a column, shape (N,).
    state
        What transforms learned, by their text; filled where `learn`, read otherwise.
    """
    match node:
        case Name(id):
            return column(id)
        case Number(value):
            return np.asarray(value, dtype=float)
        case Bracket(inner):
            return evaluate(inner, column, state, learn)
        case Unary(operator, operand):
            value = evaluate(operand, column, state, learn)
            return -value if operator == "-" else value
        case Binary(operator, left, right):
            first = evaluate(left, column, state, learn)
            second = evaluate(right, column, state, learn)
            with np.errstate(all="ignore"):  # what is not finite is reported with the column's name later
                return _ARITHMETIC[operator](first, second)
        case Call(function):
            value = evaluate(node.arguments[0], column, state, learn)
            if function in ELEMENTWISE:
                with np.errstate(all="ignore"):
                    return ELEMENTWISE[function](value)
            return _stateful(node, value, state, learn)
        case _:
            raise TypeError(f"cannot evaluate {deparse(node)}")


def _stateful(call: Call, x: Array, state: State, learn: bool) -> Array:
    key = deparse(call)
    # Values that are not finite would spoil what is learned; whoever asked names the column.
    if not np.isfinite(x).all():
        raise DataError(
            f"'{deparse(call.arguments[0])}' holds values that are not finite, so {key} cannot be computed"
        )
    options = _read_options("", call)
    own: State = {} if learn else state[key]
    if call.function == "poly":
        values = _poly(key, x, own, options, learn)
    elif call.function == "bs":
        values = _spline(key, x, own, options)
    else:
        values = _scaled(call.function, key, x, own, options, learn)
    state[key] = own
    return values


def _scaled(function: str, key: str, x: Array, own: State, options: State, learn: bool) -> Array:
    if learn:
        own["center"] = float(np.mean(x)) if options.get("center", True) else 0.0
        own["scale"] = 1.0
        if function == "scale" and options.get("scale", True):
            # R divides by the root mean square, with N - 1, of what is left after centring.
            own["scale"] = float(np.sqrt(np.sum((x - own["center"]) ** 2) / max(len(x) - 1, 1)))
            if own["scale"] == 0:
                raise DataError(f"{key} cannot be computed: the column does not vary")
    return (x - own["center"]) / own["scale"]


def _poly(key: str, x: Array, own: State, options: State, learn: bool) -> Array:
    from formulaic.transforms import poly

    degree, raw = options.get("degree", 1), options.get("raw", False)
    if learn and len(np.unique(x)) <= degree:
        raise DataError(
            f"{key} needs more than {degree} distinct values, but the column has {len(np.unique(x))}"
        )
    # JSON has lists where formulaic keeps dictionaries by degree.
    inner = {name: dict(enumerate(values)) for name, values in own.items()}
    values = np.asarray(poly(x, degree, raw, _state=inner), dtype=float)
    own.update({name: [float(v) for _, v in sorted(by_degree.items())] for name, by_degree in inner.items()})
    return values


def _spline(key: str, x: Array, own: State, options: State) -> Array:
    from formulaic.transforms import basis_spline

    try:
        # As R, the outermost polynomials are continued beyond the data of the fit.
        columns = basis_spline(
            x, options.get("df"), degree=options.get("degree", 3), extrapolation="extend", _state=own
        )
    except ValueError as error:
        raise DataError(f"{key} cannot be computed: {error}") from error
    own["knots"] = [float(k) for k in own["knots"]]
    return np.column_stack([columns[i] for i in sorted(columns)]).astype(float)


def _read_options(text: str, call: Call) -> State:
    """Arguments after the first, by name."""
    allowed = _OPTIONS.get(call.function, _Options())
    if len(call.arguments) - 1 > len(allowed.names):
        surplus = call.arguments[len(allowed.names) + 1]
        raise formula_error(
            text, surplus.at, f"{call.function}() takes at most {len(allowed.names) + 1} argument(s)"
        )
    given = [(name, node) for name, node in zip(allowed.names, call.arguments[1:], strict=False)]
    options: State = {}
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

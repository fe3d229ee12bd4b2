"""The values of an expression: its tree is walked here, over NumPy arrays, and never handed to Python.

Transforms that learn something from the data (a mean, knots) leave it in a plain dictionary that JSON can hold, so
that new data is transformed in the same way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixedfx.errors import DataError
from mixedfx.formula.transforms import read_options
from mixedfx.formula.tree import Binary, Bracket, Call, Name, Node, Number, Unary, deparse

Array = NDArray[np.float64]
State = dict[str, Any]

_ELEMENTWISE: dict[str, Callable[[Array], Array]] = {
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
            if function in _ELEMENTWISE:
                with np.errstate(all="ignore"):
                    return _ELEMENTWISE[function](value)
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
    options = read_options("", call)
    own: State = {} if learn else state[key]
    if call.function == "poly":
        values = _poly(key, x, own, options, learn)
    elif call.function == "bs":
        values = _spline(key, x, own, options)
    else:
        values = _scaled(call.function, key, x, own, options, learn)
    if learn:
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
    if learn:
        own.update(
            {name: [float(v) for _, v in sorted(by_degree.items())] for name, by_degree in inner.items()}
        )
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
    return np.column_stack([columns[i] for i in sorted(columns)]).astype(float)

"""Tokens to a syntax tree, by recursive descent with R's operator precedence."""

from __future__ import annotations

from mixedfx.formula.tokens import FLAGS, Token, formula_error, tokenize
from mixedfx.formula.transforms import TRANSFORMS
from mixedfx.formula.tree import Binary, Bracket, Call, Flag, Name, Node, Number, Unary

_PRECEDENCE = {"|": 1, "||": 1, "+": 2, "-": 2, "*": 3, "/": 3, ":": 4, "^": 6}
_UNARY = 5
_LARGEST = 1e300
_DEEPEST = 50
"""Brackets within brackets; beyond this the formula is a mistake or an attack on the stack."""


def parse(text: str) -> tuple[Node, Node]:
    """The trees left and right of the ``~``.

    Raises
    ------
    FormulaError
        No ``~`` or several, nothing on one side of it, brackets that do not match, an operator without
        operand, a function outside `TRANSFORMS`, or something that has no meaning in formulas.

    Examples
    --------
    >>> left, right = parse("y ~ x")
    >>> left.id, right.id
    ('y', 'x')
    """
    return _Parser(text).formula()


class _Parser:
    """One pass over the tokens; `next` is the token not yet taken."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = tokenize(text)
        self.position = 0
        self.depth = 0

    @property
    def next(self) -> Token:
        return self.tokens[self.position]

    def take(self) -> Token:
        token = self.next
        self.position += 1
        return token

    def is_operator(self, *operators: str) -> bool:
        return self.next.kind == "operator" and self.next.text in operators

    def formula(self) -> tuple[Node, Node]:
        tildes = [token for token in self.tokens if token.kind == "operator" and token.text == "~"]
        if not tildes:
            if self.tokens[-1].kind == "refused":
                raise formula_error(self.text, self.tokens[-1].at, self.tokens[-1].text)
            raise formula_error(self.text, len(self.text), "the formula has no '~'; write response ~ terms")
        if len(tildes) > 1:
            raise formula_error(self.text, tildes[1].at, "the formula has more than one '~'")
        if self.is_operator("~"):
            raise formula_error(self.text, self.next.at, "there is no response on the left of '~'")
        left = self.expression(0)
        if not self.is_operator("~"):
            raise self.unexpected("'~'")
        self.take()
        right = self.expression(0)
        if self.next.kind != "end":
            raise self.unexpected("an operator")
        return left, right

    def expression(self, weakest: int) -> Node:
        """Operands joined by operators that bind more strongly than `weakest`."""
        left = self.operand()
        while self.next.kind == "operator" and _PRECEDENCE.get(self.next.text, 0) > weakest:
            operator = self.take()
            strength = _PRECEDENCE[operator.text]
            # ^ groups to the right, the others to the left.
            right = self.expression(strength - 1 if operator.text == "^" else strength)
            left = Binary(operator.text, left, right, operator.at)
        return left

    def operand(self) -> Node:
        token = self.next
        if self.is_operator("+", "-"):
            self.take()
            with _Depth(self, token):
                return Unary(token.text, self.expression(_UNARY), token.at)
        if self.is_operator("("):
            self.take()
            with _Depth(self, token):
                inner = self.expression(0)
            self.close(token)
            return Bracket(inner, token.at)
        if token.kind == "number":
            value = float(self.take().text)
            if value > _LARGEST:
                raise formula_error(self.text, token.at, f"the number {token.text} is too large")
            return Number(value, token.at)
        if token.kind == "flag":
            return Flag(FLAGS[self.take().text], token.at)
        if token.kind == "name":
            self.take()
            return self.call(token) if self.is_operator("(") else Name(token.text, token.at)
        raise self.unexpected("a column, a number or '('")

    def call(self, function: Token) -> Call:
        if function.text not in TRANSFORMS:
            raise formula_error(
                self.text,
                function.at,
                f"'{function.text}' is not a function that formulas may call (make the column in the data "
                f"instead); there are: {', '.join(TRANSFORMS)}",
            )
        bracket = self.take()
        arguments: list[Node] = []
        options: dict[str, Node] = {}
        with _Depth(self, bracket):
            while not self.is_operator(")"):
                key = self.next
                if key.kind == "name" and self.tokens[self.position + 1].text == "=":
                    self.take()
                    self.take()
                    if key.text in options:
                        raise formula_error(
                            self.text, key.at, f"{function.text}() is given '{key.text}' twice"
                        )
                    options[key.text] = self.expression(0)
                elif options:
                    raise formula_error(self.text, key.at, "an argument without name follows one with a name")
                else:
                    arguments.append(self.expression(0))
                if not self.is_operator(","):
                    break
                self.take()
        self.close(bracket)
        return Call(function.text, tuple(arguments), tuple(options.items()), function.at)

    def close(self, bracket: Token) -> None:
        if self.next.kind == "end":
            raise formula_error(self.text, bracket.at, "this '(' is not closed")
        if not self.is_operator(")"):
            raise self.unexpected("an operator or ')'")
        self.take()

    def unexpected(self, expected: str) -> Exception:
        token = self.next
        if token.kind == "refused":
            return formula_error(self.text, token.at, token.text)
        if token.kind == "end":
            return formula_error(self.text, token.at, f"the formula ends where {expected} was expected")
        if token.kind == "operator" and token.text == ")":
            return formula_error(self.text, token.at, f"there is a ')' where {expected} was expected")
        before = f" after '{self.tokens[self.position - 1].text}'" if self.position else ""
        return formula_error(
            self.text, token.at, f"'{token.text}' stands{before}, where {expected} was expected"
        )


class _Depth:
    """Counts how deep brackets nest while a part is read."""

    def __init__(self, parser: _Parser, token: Token) -> None:
        self.parser, self.token = parser, token

    def __enter__(self) -> None:
        self.parser.depth += 1
        if self.parser.depth > _DEEPEST:
            raise formula_error(self.parser.text, self.token.at, f"brackets nest deeper than {_DEEPEST}")

    def __exit__(self, *_: object) -> None:
        self.parser.depth -= 1

"""Formula text to tokens, each with its position for error messages."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from mixedfx.errors import FormulaError

Kind = Literal["name", "number", "flag", "operator", "refused", "end"]

FLAGS = {"TRUE": True, "True": True, "FALSE": False, "False": False}

_PATTERN = re.compile(
    r"""
    (?P<space>\s+)
  | (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
  | (?P<name>(?:[^\W\d]|\.(?!\d))[\w.]*)          # as R: letters, digits, dots, underscores
  | (?P<quoted>`[^`]*`)
  | (?P<operator>\*\*|\|\||[~+\-*/:^|(),=])
    """,
    re.VERBOSE,
)


@dataclass(frozen=True)
class Token:
    """A piece of the formula: kind, text (a quoted name without its backticks) and where it starts."""

    kind: Kind
    text: str
    at: int


def formula_error(text: str, at: int, message: str) -> FormulaError:
    """A `FormulaError` that shows the formula with a mark under position `at`."""
    return FormulaError(f"{message} (position {at + 1} of the formula)\n    {text}\n    {' ' * at}^")


def tokenize(text: str) -> list[Token]:
    """Tokens of a formula, the last one of kind "end".

    What has no meaning in formulas (``[``, ``{``, quotes, ``@``, an open backtick, a name that begins with a
    digit) ends the list as a token of kind "refused", whose text says why: the parser, which may find an
    earlier mistake, reports it.
    """
    tokens: list[Token] = []
    at = 0
    while at < len(text):
        match = _PATTERN.match(text, at)
        if match is None:
            return [*tokens, Token("refused", _why_refused(text[at]), at)]
        kind, piece = str(match.lastgroup), match.group()
        if kind == "number" and re.match(r"[\w.]", text[match.end() : match.end() + 1]):
            word = re.match(r"[\w.]+", text[at:])
            name = word.group() if word else piece
            why = f"'{name}' begins with a digit; if it is a column, write `{name}`"
            return [*tokens, Token("refused", why, at)]
        if kind == "name":
            tokens.append(_name_token(piece, at))
            if tokens[-1].kind == "refused":
                return tokens
        elif kind == "quoted":
            if piece == "``":
                return [*tokens, Token("refused", "there is no name between the backticks", at)]
            tokens.append(Token("name", piece[1:-1], at))
        elif kind == "number":
            tokens.append(Token("number", piece, at))
        elif kind == "operator":
            tokens.append(Token("operator", "^" if piece == "**" else piece, at))
        at = match.end()
    tokens.append(Token("end", "", len(text)))
    return tokens


def _name_token(word: str, at: int) -> Token:
    if word in FLAGS:
        return Token("flag", word, at)
    if word == ".":
        return Token("refused", "'.' (all columns) is not supported; name the columns", at)
    return Token("name", word, at)


def _why_refused(character: str) -> str:
    reasons = {
        "[": "indexing with '[' is not allowed in formulas; make the column in the data",
        "{": "'{' is not allowed: formulas do not run code; make the column in the data",
        "`": "this backtick is not closed by another",
        "'": "text in quotes is not allowed in formulas; put column names in backticks",
        '"': "text in quotes is not allowed in formulas; put column names in backticks",
        "%": "'%' operators are not supported; write a:b for an interaction, a/b for nesting",
    }
    return reasons.get(character, f"{character!r} is not allowed in formulas")

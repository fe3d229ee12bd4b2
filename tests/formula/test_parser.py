"""Reading formulas: what is refused and how it is said; what is read comes back from its printed form."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mixedfx.errors import FormulaError
from mixedfx.formula import TRANSFORMS, parse_formula
from mixedfx.formula.parser import parse
from mixedfx.formula.tree import Binary, Bracket, Call, Flag, Name, Node, Number, Unary, deparse, number_text

REFUSED = {
    # code and attributes
    "y ~ __import__('os').system('true') + (1 | g)": "'__import__' is not a function",
    "y ~ x.sum() + (1 | g)": "'x.sum' is not a function",
    "y ~ {x} + (1 | g)": "'{' is not allowed",
    "y ~ lambda x: x + (1 | g)": "'x' stands after 'lambda'",
    "y ~ (lambda: 0) + (1 | g)": "a number cannot be combined by ':'",
    "y ~ I(x).real + (1 | g)": "'.real' stands after ')'",
    "y ~ x[0] + (1 | g)": "indexing with '['",
    "y ~ eval(x) + (1 | g)": "'eval' is not a function",
    "y ~ np.log(x) + (1 | g)": "'np.log' is not a function",
    "y ~ lag(x) + (1 | g)": "'lag' is not a function",
    "y ~ x if x else z + (1 | g)": "'if' stands after 'x'",
    "y ~ log('x') + (1 | g)": "text in quotes",
    "y ~ x; z + (1 | g)": "';' is not allowed",
    "y ~ x$z + (1 | g)": "'$' is not allowed",
    "y ~ a %in% b + (1 | g)": "'%' operators",
    "y ~ . + (1 | g)": "'.' (all columns)",
    # brackets, names and operators
    "y ~ (x + (1 | g)": "this '(' is not closed (position 5 of",
    "y ~ x) + (1 | g)": "there is a ')' where an operator was expected (position 6 of",
    "y ~ log(x + (1 | g)": "this '(' is not closed (position 8 of",
    "y ~ x + + (1 | g": "this '(' is not closed",
    "y ~ x + ": "the formula ends where",
    "y ~ x z + (1 | g)": "'z' stands after 'x'",
    "y ~ x * + (1 | g) /": "the formula ends where",
    "y ~ `x + (1 | g)": "this backtick is not closed",
    "y ~ `` + (1 | g)": "no name between the backticks",
    "y ~ 1st + (1 | g)": "write `1st`",
    # parts that are missing
    "y + x": "no '~'",
    "": "no '~'",
    "~ x + (1 | g)": "no response on the left",
    "y ~ x ~ (1 | g)": "more than one '~'",
    "y ~": "the formula ends where",
    "y ~ x": "no random term",
    "1 ~ x + (1 | g)": "the response '1' is not a column",
    "x ~ x + (1 | g)": "the response 'x' is also on the right",
    "log(g) ~ 1 + (1 | g)": "the response 'g' is also on the right",
    # bar terms
    "y ~ x + 1 | g": "must stand in round brackets",
    "y ~ x:(1 | g)": "must stand in round brackets",
    "y ~ (x + (1 | g))": "must stand in round brackets",
    "y ~ x - (1 | g)": "cannot be taken out",
    "y ~ (1 | )": "there is a ')' where a column",
    "y ~ ( | g)": "'|' stands after '('",
    "y ~ (0 | g)": "no coefficients",
    "y ~ (1 | 1)": "the group '1' is not a column",
    "y ~ (1 | log(g))": "the group 'log(g)' is not a column",
    "y ~ (1 | g + h)": "'+' cannot stand in a group",
    "y ~ (1 | g * h)": "'*' cannot stand in a group",
    "y ~ (1 | g | h)": "must stand in round brackets",
    "y ~ (1 + offset(x) | g)": "offset cannot stand in a bar term",
    # terms and transforms
    "y ~ 2 + (1 | g)": "the number 2 cannot be a term",
    "y ~ 2 * x + (1 | g)": "a number cannot be combined by '*'",
    "y ~ x^z + (1 | g)": "the power of a sum of terms must be a whole number",
    "y ~ x^1.5 + (1 | g)": "the power of a sum of terms must be a whole number",
    "y ~ TRUE + (1 | g)": "TRUE cannot be a term",
    "y ~ log() + (1 | g)": "log() needs a column",
    "y ~ I(2) + (1 | g)": "I(2) names no column",
    "y ~ offset(1) + (1 | g)": "offset(1) names no column",
    "y ~ log(x, 2) + (1 | g)": "takes at most 1",
    "y ~ log(x, base = 2) + (1 | g)": "no option 'base'",
    "y ~ poly(x, 0) + (1 | g)": "'degree' of poly() must be a whole number",
    "y ~ poly(x, z) + (1 | g)": "'degree' of poly() must be a whole number",
    "y ~ poly(x, 2, degree = 2) + (1 | g)": "given 'degree' twice",
    "y ~ poly(x, raw = TRUE, raw = TRUE) + (1 | g)": "given 'raw' twice",
    "y ~ poly(x, raw = TRUE, 2) + (1 | g)": "argument without name follows",
    "y ~ scale(x, center = 1) + (1 | g)": "must be TRUE or FALSE",
    "y ~ log(poly(x, 2)) + (1 | g)": "poly() cannot stand inside",
    "y ~ I(factor(k) + 1) + (1 | g)": "factor() cannot stand inside",
    "y ~ factor(x + 1) + (1 | g)": "factor() takes one column",
    "y ~ I(x:z) + (1 | g)": "':' has no meaning inside a function",
    "y ~ I(TRUE) + (1 | g)": "TRUE has no meaning here",
    "y ~ I(x = 2) + (1 | g)": "I() needs a column",
    "y ~ offset(offset(x)) + (1 | g)": "offset() cannot stand inside",
    "y ~ offset(poly(x, 2)) + (1 | g)": "poly() cannot stand inside",
    "cbind(s, f) ~ x + (1 | g)": "'cbind' is not a function",
    "offset(y) ~ x + (1 | g)": "must be one column of data, not offset()",
    "poly(y, 2) ~ x + (1 | g)": "must be one column of data, not poly()",
    # size
    "y ~ " + "(" * 200 + "x" + ")" * 200: "brackets nest deeper",
    "y ~ " + "-" * 500 + "x + (1 | g)": "brackets nest deeper",
    "y ~ (" + " + ".join(f"x{i}" for i in range(30)) + ")^9 + (1 | g)": "more than 2000 terms",
}


@pytest.mark.parametrize("text", REFUSED, ids=[text[:40] or "empty" for text in REFUSED])
def test_refused_with_the_culprit_named(text: str) -> None:
    with pytest.raises(FormulaError) as caught:
        parse_formula(text)
    assert REFUSED[text] in str(caught.value)


def test_the_message_points_at_the_place() -> None:
    with pytest.raises(FormulaError) as caught:
        parse_formula("y ~ x + foo(x) + (1 | g)")
    message, formula, mark = str(caught.value).splitlines()
    assert message.endswith("(position 9 of the formula)")
    assert formula[mark.index("^") :].startswith("foo(x)")


def test_not_a_string() -> None:
    with pytest.raises(FormulaError, match="must be a string"):
        parse_formula(3)  # pyright: ignore[reportArgumentType]


def test_names() -> None:
    formula = parse_formula(
        "`my y` ~ total.fruits + `x y` + `1st` + `lambda` + _a + größe + class + (1 | `g g`)"
    )
    assert formula.response_name == "my y"
    assert formula.columns == ("total.fruits", "x y", "1st", "lambda", "_a", "größe", "class", "g g")
    assert formula.fixed.labels == ("total.fruits", "`x y`", "`1st`", "lambda", "_a", "größe", "class")


def test_formula_over_several_lines() -> None:
    assert parse_formula("y ~ x +\n  (1 | g)").columns == ("x", "g")


@pytest.mark.parametrize(
    ("bars", "names"),
    [
        ("(1 | a/b)", ["b:a", "a"]),
        ("(1 | a/b/c)", ["c:(b:a)", "b:a", "a"]),
        ("(1 | a:b) + (1 | a)", ["a:b", "a"]),
        ("(1 | (a:b)/c)", ["c:(a:b)", "a:b"]),
        ("(1 | a) + (0 + x | a/b)", ["a", "b:a"]),
    ],
)
def test_groups(bars: str, names: list[str]) -> None:
    assert [bar.group.name for bar in parse_formula(f"y ~ {bars}").bars] == names


@pytest.mark.parametrize(
    ("value", "text"),
    # As R's deparse: fixed notation unless scientific is shorter.
    [
        (2.0, "2"),
        (0.5, "0.5"),
        (1e5, "1e+05"),
        (123456.0, "123456"),
        (1e-4, "1e-04"),
        (0.001, "0.001"),
        (0.1 + 0.2, "0.3"),
        (1.5e-10, "1.5e-10"),
        (12.25, "12.25"),
        (0.0, "0"),
    ],
)
def test_number_text(value: float, text: str) -> None:
    assert number_text(value) == text


names = st.sampled_from(["x", "kind", "total.fruits", "C", "I", "log", "x y", "1st", "Q", "größe", "if"]).map(
    Name
)
# Numbers that 15 digits can hold, which is what is printed.
numbers = st.integers(0, 10**6).map(lambda n: Number(n / 64))
flags = st.booleans().map(Flag)


def _extend(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    # Every operand of an operator stands in brackets, so that printing needs no rules of precedence.
    closed = inner.map(lambda n: n if isinstance(n, Name | Number | Call) else Bracket(n))
    return st.one_of(
        closed.map(Bracket),
        st.builds(Unary, st.sampled_from("+-"), closed),
        st.builds(Binary, st.sampled_from(["+", "-", "*", "/", ":", "^", "|", "||"]), closed, closed),
        st.builds(
            Call,
            st.sampled_from(sorted(TRANSFORMS)),
            st.lists(inner, min_size=1, max_size=2).map(tuple),
            st.dictionaries(st.sampled_from(["df", "raw"]), flags, max_size=2).map(
                lambda d: tuple(d.items())
            ),
        ),
    )


trees = st.recursive(st.one_of(names, numbers), _extend, max_leaves=12)


@given(trees)
def test_a_tree_is_read_back_from_its_text(tree: Node) -> None:
    assert parse(f"y ~ {deparse(tree)}") == (Name("y"), tree)


pieces = st.sampled_from(
    [
        *"xyg01 ~+-*/:^|()`,.=2[{'\"$%@",
        "**",
        "||",
        "(1 | g)",
        "y ~ ",
        "log(",
        "poly(x, 2)",
        "lambda ",
        "1e400",
        "Ω",
    ]
)


@settings(max_examples=400)
@given(st.lists(pieces, max_size=25).map("".join))
@example("y~x^0+(1|g)")
@example("y~poly(x,1e400)+(1|g)")
@example("y~I(x^1e400)+(1|g)")
@example("y ~ x^1e400 + (1|g)")
def test_any_text_is_read_or_refused_with_a_formula_error(text: str) -> None:
    try:
        formula = parse_formula(text)
    except FormulaError:
        return
    assert parse_formula(formula.text) == formula


def test_sums_of_many_columns() -> None:
    many = [f"x{i}" for i in range(1500)]
    assert parse_formula(f"y ~ {' + '.join(many)} + (1 | g)").columns == (*many, "g")


def test_expressions_too_long_for_the_stack_are_refused() -> None:
    with pytest.raises(FormulaError, match="nests too deeply"):
        parse_formula(f"y ~ I({' + '.join(['x'] * 20000)}) + (1 | g)")

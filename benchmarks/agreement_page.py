"""The page ``benchmarks/agreement.md``: all differences from R in one table, then each model with its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from benchmarks.agreement import Agreement, TestsAgreement
from tests.goldens import Golden

CALLS = {
    "reml": "lmer, REML",
    "ml": "lmer, ML",
    "laplace": "glmer, nAGQ = 1",
    "nagq0": "glmer, nAGQ = 0",
    "quadrature": "glmer, nAGQ = {nagq}",
}
INTRODUCTION = """\
# Agreement with R

Written by `python -m benchmarks agreement`. R's numbers are read from `tests/golden`, where the scripts lie that made
them. R's fits are polished there (from R's optimum, Newton steps until the gradient is nearly zero), so that the
differences do not come from R's stopping rules.

R's versions: {versions}. Here: mixedfx {own}.

## All models

Differences, here minus R, the largest of each kind:

- **criterion**: REML criterion, or -2 log-likelihood; with its sign, below 0 where the optimum here is the better one;
- **estimates**: fixed effects and thresholds, in R's standard errors;
- **std. errors**: of these, relative;
- **sd, corr**: standard deviations of the random effects and the residuals, relative; correlations, absolute;
- **modes**: conditional modes of all levels, in the standard deviation of their coefficient;
- **cond. sd**: conditional standard deviations of all levels (lme4's condVar), relative; empty where R gives none.

R's standard errors of `glmer` and `clmm` fits are second differences of deviances with an iteration inside, good to
1e-4 or so; here they are differences of an analytic gradient, which steps of another size move by less than 1e-4. Those
of `lmer` and nAGQ = 0 need no differences.
"""
ABOUT_TESTS = """\
## Tests of fixed effects

Satterthwaite's degrees of freedom, p-values and F-tests of several coefficients, by lmerTest and by `fixef_table` and
`test_fixef` here. Largest relative differences; of p-values times 1 / max(1, t^2), because they magnify those of t.
"""


def page(
    models: Sequence[Agreement], tests: Sequence[TestsAgreement], versions: Mapping[str, str], own: str
) -> str:
    """The whole page as Markdown."""
    said = ", ".join(f"{name} {version}" for name, version in versions.items())
    parts = [
        INTRODUCTION.format(versions=said, own=own),
        _overview(models),
        ABOUT_TESTS,
        _tests_overview(tests),
        "## Model by model\n",
        *(_model(model) for model in models),
        "## Tests, fit by fit\n",
        *(_test(test) for test in tests),
    ]
    return "\n".join(parts)


def _overview(models: Sequence[Agreement]) -> str:
    rows = []
    for model in models:
        golden, largest = model.golden, model.overview()
        rows.append(
            [
                f"[{golden.case}](#{golden.case})",
                _label(golden.formula),
                _call(golden),
                f"{golden.n_rows:,}",
                *(_small(value) for value in largest.values()),
            ]
        )
    head = [
        "case",
        "model",
        "R",
        "rows",
        "criterion",
        "estimates",
        "std. errors",
        "sd, corr",
        "modes",
        "cond. sd",
    ]
    return _table(head, rows, left=3)


def _tests_overview(tests: Sequence[TestsAgreement]) -> str:
    rows = []
    for test in tests:
        table, joint = test.table, test.joint
        magnified = np.maximum(1.0, table["t R"] ** 2)
        rows.append(
            [
                f"[{test.name}](#tests-{test.name})",
                _label(test.formula),
                _small(_relative(table["df here"], table["df R"])),
                _small(_relative(table["p here"], table["p R"], 1 / magnified)),
                _small(_relative(joint["F here"], joint["F R"])),
                _small(_relative(joint["df here"], joint["df R"])),
            ]
        )
    head = ["fit", "model", "df", "p", "F", "denominator df"]
    return _table(head, rows, left=2)


def _model(model: Agreement) -> str:
    golden, fit = model.golden, model.fit
    difference = fit.deviance - golden.criterion
    name = "REML criterion" if golden.method == "reml" else "-2 log-likelihood"
    weighted = ", weighted" if golden.weights is not None else ""
    fixed = [
        [
            _label(label),
            *(_number(row[k]) for k in ("R", "here")),
            _small(row["difference"]),
            *(_number(row[k]) for k in ("se R", "se here")),
        ]
        for label, row in model.fixed.iterrows()
    ]
    covariances = [
        [
            *(_label(row[k]) for k in ("grp", "var1", "var2")),
            *(_number(row[k]) for k in ("R", "here")),
            _small(row["difference"]),
        ]
        for _, row in model.covariances.iterrows()
    ]
    modes = [
        [
            *(_label(row[k]) for k in ("factor", "coefficient")),
            f"{row['levels']:,}",
            *(_small(row[k]) for k in ("mode", "conditional sd")),
        ]
        for _, row in model.modes.iterrows()
    ]
    return "\n".join(
        [
            f"### {golden.case}\n",
            f"`{golden.formula}`\n",
            f"{golden.data_name}, {golden.n_rows:,} rows; {golden.family}{weighted}; {_call(golden)}.",
            f"{name}: {golden.criterion:.6f} by R, {fit.deviance:.6f} here, difference {_small(difference)}.\n",
            _table(["fixed effect", "R", "here", "difference / se", "se by R", "se here"], fixed, left=1)
            if fixed
            else "",
            _table(["factor", "", "", "sd or correlation by R", "here", "difference"], covariances, left=3),
            _table(["factor", "coefficient", "levels", "modes", "cond. sd"], modes, left=2),
        ]
    )


def _test(test: TestsAgreement) -> str:
    columns = ["df R", "df here", "p R", "p here"]
    rows = [[_label(name), *(_number(row[c]) for c in columns)] for name, row in test.table.iterrows()]
    parts = [
        f'### <a id="tests-{test.name}"></a>Tests: {test.name}\n',
        f"`{test.formula}`\n",
        f"{test.data}, {'REML' if test.method == 'reml' else 'ML'}.\n",
        _table(["fixed effect", "df by R", "here", "p by R", "here"], rows, left=1),
    ]
    if len(test.joint):
        numbers = ["F R", "F here", "df R", "df here", "p R", "p here"]
        joint = [
            [_label(row["tested"]), *(_number(row[c]) for c in numbers)] for _, row in test.joint.iterrows()
        ]
        head = ["all zero", "F by R", "here", "denominator df by R", "here", "p by R", "here"]
        parts.append(_table(head, joint, left=1))
    return "\n".join(parts)


def _call(golden: Golden) -> str:
    call = CALLS[golden.method].format(nagq=golden.nagq)
    return call.replace("glmer", "clmm") if golden.family == "cumulative" else call


def _label(name: object) -> str:
    """A name or formula in a cell of a table, where "|" must be escaped; nothing for NaN."""
    return f"`{name}`".replace("|", "\\|") if isinstance(name, str) else ""


def _number(value: float) -> str:
    return f"{value:.7g}"


def _small(value: float) -> str:
    return "" if pd.isna(value) else "0" if value == 0 else f"{value:.0e}"


def _relative(ours: pd.Series, theirs: pd.Series, scale: pd.Series | float = 1.0) -> float:
    """Largest relative difference; NaN of nothing. Numbers that are both 0 agree."""
    difference = ((ours - theirs).abs() * scale / theirs.abs().where(theirs != 0, 1.0)).astype(float)
    return float(difference.max()) if len(difference) else np.nan


def _table(head: list[str], rows: list[list[str]], *, left: int) -> str:
    """A Markdown table whose columns after the first `left` are aligned to the right."""
    rule = ["---"] * left + ["---:"] * (len(head) - left)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, rule, *rows]) + "\n"

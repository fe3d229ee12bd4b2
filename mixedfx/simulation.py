"""Crossed data with known truth, to try a model on before the real data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.arguments import check_choice, check_whole_number
from mixedfx.design import build_design
from mixedfx.errors import SettingError
from mixedfx.families import get_family
from mixedfx.formula import Formula, parse_formula
from mixedfx.formula.tree import columns_of
from mixedfx.predictors import Predictors
from mixedfx.varcorr import VarCorr

ACTIVITIES = ("zipf", "uniform")


@dataclass(frozen=True, eq=False)
class Truth:
    """What the data were made from.

    Attributes
    ----------
    beta
        Series over the fixed effects.
    ranef
        Factor -> DataFrame (J, q) over the levels that have rows.
    eta
        Linear predictor, shape (N,).
    """

    beta: pd.Series
    ranef: Mapping[str, pd.DataFrame]
    eta: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Simulation:
    """Simulated data and what they were made from.

    Attributes
    ----------
    data
        The response, the covariates and the factors, one row an observation.
    truth
        Coefficients and linear predictor.
    varcorr
        The covariances that the random effects were drawn with.
    """

    data: pd.DataFrame
    truth: Truth
    varcorr: VarCorr


def simulate(
    formula: str,
    *,
    levels: Mapping[str, int],
    n_rows: int,
    beta: Mapping[str, float] | pd.Series,
    varcorr: VarCorr,
    family: str = "gaussian",
    activity: str = "zipf",
    seed: int = 0,
) -> Simulation:
    """Draw data from a mixed model: covariates standard normal, levels crossed at random.

    Parameters
    ----------
    formula
        The model. A column in `levels` is a factor, every other one a covariate, drawn from N(0, 1).
    levels
        Column -> its number of levels J; they are labelled 1 to J. With ``(1 | a/b)`` each level of b belongs
        to one level of a, and J counts those of b over all of a.
    n_rows
        N, the number of observations. Where N allows it every level has at least one.
    beta
        The fixed effects, by the names that a fit would give them: ``"(Intercept)"``, ``"x"``, ``"kind2"``.
    varcorr
        Covariances of the random effects, with the residual variance for families that have one.
    family
        Name of the response's distribution.
    activity
        ``"zipf"``: the level of rank r is drawn with probability proportional to 1/r, so that few levels have
        many rows and many have few, as users and items do. ``"uniform"``: all alike.
    seed
        The same seed gives the same data.

    Raises
    ------
    SettingError
        `levels` or `beta` lacks a name or has an unknown one, or a setting is not allowed.
    FormulaError
        The formula cannot be read.
    VarCorrError
        `varcorr` does not fit the formula.

    Examples
    --------
    >>> import pandas as pd
    >>> from mixedfx.varcorr import VarCorr
    >>> vc = VarCorr.from_frame(pd.DataFrame({"grp": ["user", "item", "Residual"],
    ...     "var1": ["(Intercept)", "(Intercept)", None], "var2": None, "vcov": [0.5, 0.3, 1.0]}))
    >>> made = simulate("y ~ 1 + x + (1 | user) + (1 | item)", levels={"user": 50, "item": 30}, n_rows=500,
    ...     beta={"(Intercept)": 1.0, "x": 0.5}, varcorr=vc, seed=1)
    >>> made.data.columns.tolist()
    ['y', 'x', 'user', 'item']
    >>> made.truth.ranef["user"].shape
    (50, 1)
    """
    model = parse_formula(formula)
    distribution = get_family(family)
    _check_types(levels, varcorr, seed)
    _check_settings(model, levels, n_rows, activity)
    if distribution.has_sigma and varcorr.sigma2 is None:
        raise SettingError(f"family '{family}' needs a residual variance: add a row 'Residual' to varcorr")

    rng = np.random.default_rng(seed)
    factors = _draw_factors(model, levels, n_rows, activity, rng)
    covariates = {c: rng.standard_normal(n_rows) for c in model.columns if c not in factors}
    # Any response that its family accepts lets the design be built.
    placeholder = {model.response_name: np.arange(n_rows) % 2}
    data = pd.DataFrame(placeholder | {c: covariates.get(c, factors.get(c)) for c in model.columns})
    predictors = build_design(formula, data, family=family, na="raise").predictors

    coefficients = _aligned_beta(beta, predictors)
    ranef = _draw_ranef(predictors, varcorr, rng)
    eta = predictors.eta(coefficients.to_numpy(), {name: frame.to_numpy() for name, frame in ranef.items()})
    data[model.response_name] = distribution.sample(eta, rng, varcorr.sigma2)
    return Simulation(data, Truth(coefficients, ranef, eta), varcorr)


def _check_types(levels: object, varcorr: object, seed: object) -> None:
    if not isinstance(levels, Mapping):
        raise SettingError(
            f"levels must be a dictionary such as {{'user': 50, 'item': 30}}, not {type(levels).__name__}"
        )
    if not isinstance(varcorr, VarCorr):
        raise SettingError(
            f"varcorr must be a VarCorr, not {type(varcorr).__name__}; VarCorr.from_frame() reads a table"
        )
    check_whole_number("seed", seed, 0)


def _check_settings(model: Formula, levels: Mapping[str, int], n_rows: int, activity: str) -> None:
    check_choice("activity", activity, ACTIVITIES)
    _check_count("n_rows is", n_rows)
    if model.response_name not in model.response_columns:
        raise SettingError(
            f"the response '{model.response_name}' is not a column; to simulate, put a column left of '~'"
        )
    for bar in model.bars:
        for column in bar.group.columns:
            if column not in levels:
                raise SettingError(f"levels lacks factor '{column}'; say how many levels it has")
    for column, count in levels.items():
        if column not in model.columns:
            raise SettingError(
                f"levels names '{column}', which is not in the formula; its columns are: "
                f"{', '.join(model.columns)}"
            )
        _check_count(f"levels of factor '{column}' is", count)


def _check_count(what: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 2:
        raise SettingError(f"{what} {value!r}; it must be a whole number, at least 2")


def _draw_factors(
    model: Formula, levels: Mapping[str, int], n_rows: int, activity: str, rng: np.random.Generator
) -> dict[str, NDArray[np.int64] | pd.Categorical]:
    """Level numbers from 1; categorical where the column has an effect too, to be coded and not a number."""
    outer = _nesting(model)
    codes: dict[str, NDArray[np.int64]] = {}
    for column in [*outer, *(c for c in levels if c not in outer)]:
        if column not in codes:
            codes[column] = _draw_levels(levels[column], n_rows, activity, rng)
        if column in outer:
            parent = outer[column]
            if levels[column] < levels[parent]:
                raise SettingError(
                    f"levels gives factor '{column}' {levels[column]} levels, but '{parent}', which it is "
                    f"nested in, has {levels[parent]}; count the levels of '{column}' over all of '{parent}'"
                )
            codes[parent] = codes[column] % levels[parent]
    effects = _effect_columns(model)
    return {
        column: pd.Categorical(code + 1, categories=range(1, levels[column] + 1))
        if column in effects
        else code + 1
        for column, code in codes.items()
    }


def _effect_columns(model: Formula) -> set[str]:
    return {column for node in model.variables.values() for column in columns_of(node)}


def _nesting(model: Formula) -> dict[str, str]:
    """Inner column -> its outer one, finest first: b -> a where there are groups b:a and a, but not b."""
    groups = sorted((bar.group.columns for bar in model.bars), key=len, reverse=True)
    effects = _effect_columns(model)
    outer: dict[str, str] = {}
    for inner, *rest in groups:
        if tuple(rest) in groups and (inner,) not in groups and inner not in effects:
            if rest[0] in outer.values():
                others = [i for i, o in outer.items() if o == rest[0]]
                raise SettingError(
                    f"both '{others[0]}' and '{inner}' are nested in '{rest[0]}', which simulate cannot "
                    "draw; simulate with one of them"
                )
            outer[inner] = rest[0]
    return outer


def _draw_levels(J: int, n_rows: int, activity: str, rng: np.random.Generator) -> NDArray[np.int64]:
    """Level codes 0..J-1, shape (N,), each at least once where N >= J."""
    weight = 1 / np.arange(1, J + 1) if activity == "zipf" else np.ones(J)
    p = rng.permutation(weight / weight.sum())
    once = np.arange(J if n_rows >= J else 0)
    codes = np.concatenate([once, rng.choice(J, size=n_rows - len(once), p=p)])
    return rng.permutation(codes)


def _aligned_beta(beta: Mapping[str, float] | pd.Series, predictors: Predictors) -> pd.Series:
    if not isinstance(beta, Mapping | pd.Series):
        raise SettingError(
            f"beta must be a dictionary such as {{'(Intercept)': 1.0}} or a Series, not {type(beta).__name__}"
        )
    try:
        given = pd.Series(beta, dtype=float)
    except (TypeError, ValueError) as error:
        raise SettingError(f"beta must hold numbers: {error}") from error
    wanted = list(predictors.fixed_names)
    missing = [name for name in wanted if name not in given.index]
    unknown = [name for name in given.index if name not in wanted]
    if missing or unknown:
        what = (
            f"lacks '{missing[0]}'" if missing else f"names '{unknown[0]}', which the formula does not have"
        )
        raise SettingError(f"beta {what}; the fixed effects are: {', '.join(wanted)}")
    return given.loc[wanted]


def _draw_ranef(
    predictors: Predictors, varcorr: VarCorr, rng: np.random.Generator
) -> dict[str, pd.DataFrame]:
    ranef = {}
    for term, block in zip(predictors.terms, varcorr.align(predictors.terms).blocks, strict=True):
        u = rng.standard_normal((term.grouping.n_levels, term.q))
        b = u @ block.factor_matrix().T
        ranef[term.name] = pd.DataFrame(b, index=term.grouping.levels, columns=list(term.names))
    return ranef

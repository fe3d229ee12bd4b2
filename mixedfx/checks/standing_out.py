"""The levels that stand out: far from their factor's mean, and surely so; in sentences."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from mixedfx.families import get_family
from mixedfx.formula.model_matrix import INTERCEPT
from mixedfx.frames import column

if TYPE_CHECKING:
    from mixedfx.checks.stage_normal import StageNormal
    from mixedfx.coefficients.result import CoefficientsResult

Floats = NDArray[np.float64]

INTERVAL = 0.9
EACH_SIDE = 3
"""Levels above and below that are shown of each coefficient."""
CANDIDATES = 24
"""Levels on each side whose standard deviation is looked up: the largest modes."""

COLUMNS = ["factor", "coefficient", "level", "mode", "lower", "upper", "rows", "says"]


def standing_out(coef: CoefficientsResult, stage: StageNormal) -> pd.DataFrame:
    """The levels furthest from 0 of every random coefficient.

    Of the largest modes those whose interval stays furthest from 0: a large mode from few rows comes after a smaller
    one from many. Modes are shrunk, which is what makes picking the largest of many fair.

    Parameters
    ----------
    coef
        Stage 2.
    stage
        Its normal distribution.

    Returns
    -------
    DataFrame
        Columns factor, coefficient, level, mode, lower, upper (90 % interval), rows, says: the sentence. Levels whose
        interval holds 0 are left out.
    """
    rows: list[list[object]] = []
    for factor, modes in coef.ranef.items():
        for name in modes.columns:
            rows += _of_coefficient(coef, stage, factor, str(name), column(modes, name))
    return pd.DataFrame(rows, columns=COLUMNS)


def _of_coefficient(
    coef: CoefficientsResult, stage: StageNormal, factor: str, name: str, modes: pd.Series
) -> list[list[object]]:
    values = modes.to_numpy()
    order = np.argsort(values, kind="stable")
    candidates = np.unique(np.concatenate([order[:CANDIDATES], order[-CANDIDATES:]]))
    labels = modes.index[candidates]
    at = list(coef.ranef[factor].columns).index(name)
    sd = np.sqrt(stage.covariances(factor, labels)[:, at, at])
    half = float(norm.ppf(0.5 + INTERVAL / 2)) * sd
    surely = np.abs(values[candidates]) - half
    rows = stage.rows(factor, labels)
    words = _Words.of(coef, factor, name)
    out: list[list[object]] = []
    for sign in (1.0, -1.0):
        side = np.flatnonzero((np.sign(values[candidates]) == sign) & (surely > 0))
        for i in side[np.argsort(-surely[side], kind="stable")][:EACH_SIDE]:
            mode = float(values[candidates[i]])
            ends = mode - half[i], mode + half[i]
            says = words.sentence(labels[i], mode, float(ends[0]), float(ends[1]), int(rows[i]))
            out.append([factor, name, labels[i], mode, *map(float, ends), int(rows[i]), says])
    return out


@dataclass(frozen=True)
class _Words:
    """How the effect of one coefficient is told.

    Attributes
    ----------
    factor, coefficient, response
        Names.
    average
        The fixed effect of the same name, which the level's is added to; 0 where there is none.
    scale
        "odds", "rate" or "" for the response's own units.
    numeric
        Whether the coefficient multiplies a number, and not a category's indicator.
    """

    factor: str
    coefficient: str
    response: str
    average: float
    scale: str
    numeric: bool

    @classmethod
    def of(cls, coef: CoefficientsResult, factor: str, name: str) -> _Words:
        family = get_family(coef.family)
        scale = "" if family.has_sigma else "rate" if family.name == "poisson" else "odds"
        levels = coef.spec.response_levels
        response = coef.spec.response_name
        if levels is not None and family.has_thresholds:
            response = f"a higher {response}"
        elif levels is not None:
            response = f"{response} = {levels[1]}"
        numeric = any(_is_of(part, coef.spec.variables.numeric) for part in name.split(":"))
        return cls(
            factor,
            name,
            response,
            coef.fixef.to_dict().get(name, 0.0),
            scale,
            numeric,
        )

    def sentence(self, level: object, mode: float, lower: float, upper: float, rows: int) -> str:
        """Such as "item 4602: y rises more with age, by 0.52 a unit (90 % interval 0.31 to 0.73) against 0.2 on
        average; 812 rows".
        """
        count = f"{rows:,} row{'' if rows == 1 else 's'}"
        if self.coefficient == INTERCEPT:
            return f"{self.factor} {level}: {self._intercept(mode, lower, upper)}; {count}"
        return f"{self.factor} {level}: {self._slope(mode, lower, upper)}; {count}"

    def _intercept(self, mode: float, lower: float, upper: float) -> str:
        if not self.scale:
            how = "higher" if mode > 0 else "lower"
            return (
                f"{self.response} is {_digits(abs(mode))} {how} than at an average level, all else equal "
                f"({self._interval(*sorted((abs(lower), abs(upper))))})"
            )
        what = f"the odds of {self.response} are" if self.scale == "odds" else f"{self.response} is"
        that = "those" if self.scale == "odds" else "that"
        return (
            f"{what} {_digits(np.exp(mode))} times {that} of an average level, all else equal "
            f"({self._interval(float(np.exp(lower)), float(np.exp(upper)))})"
        )

    def _slope(self, mode: float, lower: float, upper: float) -> str:
        own, mean = self.average + mode, self.average
        ends = self._interval(mean + lower, mean + upper)
        unit = {"": "", "odds": " in log odds", "rate": " in logarithms"}[self.scale]
        if self.numeric:
            if own * mean < 0:
                how = f"{'rises' if own > 0 else 'falls'} with {self.coefficient}, against the average"
            else:
                way = "rises" if (own or mean) > 0 else "falls"
                how = f"{way} {'more' if abs(own) > abs(mean) else 'less'} with {self.coefficient} than on average"
            return f"{self.response} {how}: {_digits(own)}{unit} a unit ({ends}), on average {_digits(mean)}"
        if not self.scale:
            how, usual = ("higher" if value > 0 else "lower" for value in (own, mean))
            return (
                f"with {self.coefficient}, {self.response} is {_digits(abs(own))} {how} ({ends}), on average "
                f"{_digits(abs(mean))} {usual}"
            )
        what = f"the odds of {self.response} are" if self.scale == "odds" else f"{self.response} is"
        ends = self._interval(float(np.exp(mean + lower)), float(np.exp(mean + upper)))
        return (
            f"with {self.coefficient}, {what} {_digits(np.exp(own))} times as high ({ends}), on average "
            f"{_digits(np.exp(mean))} times"
        )

    @staticmethod
    def _interval(lower: float, upper: float) -> str:
        return f"{INTERVAL:.0%} interval {_digits(lower)} to {_digits(upper)}"


def _digits(value: float) -> str:
    """Three significant digits, final zeros included: 1.40."""
    return f"{value:#.3g}".rstrip(".")


def _is_of(part: str, variables: Iterable[str]) -> bool:
    """Whether a part of a coefficient's name is a variable, or one of a transform's columns, as ``poly(x, 2)1``."""
    return any(part == name or (name.endswith(")") and part.startswith(name)) for name in variables)

"""Prior distributions by name, as a job file or a call gives them: a table ``{"half_t": [3, 2.5]}``, a scale, or one of
NumPyro's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from mixedfx.errors import SettingError

Support = Literal["real", "positive"]

ARGUMENTS: dict[str, tuple[Support, tuple[str, ...]]] = {
    "normal": ("real", ("loc", "scale")),
    "student_t": ("real", ("df", "loc", "scale")),
    "cauchy": ("real", ("loc", "scale")),
    "laplace": ("real", ("loc", "scale")),
    "half_normal": ("positive", ("scale",)),
    "half_t": ("positive", ("df", "scale")),
    "half_cauchy": ("positive", ("scale",)),
    "exponential": ("positive", ("rate",)),
    "gamma": ("positive", ("shape", "rate")),
    "lognormal": ("positive", ("loc", "scale")),
}
"""Name -> where it lives, and its arguments in their order."""

_ANYWHERE = "loc"
"""The argument that may be any number; all others must be above 0."""


@dataclass(frozen=True, eq=False)
class PriorDistribution:
    """One univariate prior.

    Attributes
    ----------
    name
        A key of `ARGUMENTS`, or "numpyro".
    arguments
        In the order of `ARGUMENTS`; none for "numpyro".
    custom
        The NumPyro distribution itself, else None.
    """

    name: str
    arguments: tuple[float, ...] = ()
    custom: Any = None

    @property
    def scale(self) -> float:
        """Its scale (the mean of an exponential one), NaN where it has no such argument."""
        if self.custom is not None:
            return float(getattr(self.custom, "scale", np.nan))
        named = dict(zip(ARGUMENTS[self.name][1], self.arguments, strict=True))
        return named["scale"] if "scale" in named else 1.0 / named["rate"] if len(named) == 1 else np.nan

    def with_scale(self, scale: float) -> PriorDistribution:
        """The same with another scale."""
        return PriorDistribution(self.name, (*self.arguments[:-1], scale))

    def log_density(self, x: float) -> tuple[float, float]:
        """Log density at x, up to a constant, and its derivative."""
        match self.name, self.arguments:
            case "numpyro", _:
                return _numpyro_density(self.custom, x)
            case "student_t" | "cauchy" | "half_t" | "half_cauchy", given:
                df = given[0] if self.name.endswith("_t") else 1.0
                off = x - (given[-2] if self.name in ("student_t", "cauchy") else 0.0)
                spread = df * given[-1] ** 2
                return -0.5 * (df + 1) * math.log1p(off**2 / spread), -(df + 1) * off / (spread + off**2)
            case "laplace", (loc, scale):
                return -abs(x - loc) / scale, -math.copysign(1.0, x - loc) / scale
            case "exponential", (rate,):
                return -rate * x, -rate
            case "gamma", (shape, rate):
                x = max(x, math.ulp(0.0))
                return (shape - 1) * math.log(x) - rate * x, (shape - 1) / x - rate
            case "lognormal", (loc, scale):
                x = max(x, math.ulp(0.0))
                z = (math.log(x) - loc) / scale
                return -math.log(x) - 0.5 * z**2, -(1 + z / scale) / x
        loc = self.arguments[0] if self.name == "normal" else 0.0
        z = (x - loc) / self.arguments[-1]
        return -0.5 * z**2, -z / self.arguments[-1]

    def __str__(self) -> str:
        if self.custom is not None:
            return f"numpyro {type(self.custom).__name__}"
        return f"{self.name}({', '.join(f'{a:.4g}' for a in self.arguments)})"


def read_distribution(
    value: object, default: PriorDistribution, where: str, support: Support
) -> PriorDistribution:
    """What a caller gave for one parameter.

    Parameters
    ----------
    value
        A number (the default's scale), a table with one entry (name -> arguments), or a NumPyro distribution.
    default
        The distribution that a number is a scale of.
    where
        The parameter, for messages.
    support
        Where the parameter lives.

    Raises
    ------
    SettingError
        It is none of these, or lives elsewhere than the parameter.
    """
    if isinstance(value, Mapping):
        return _from_table(value, where, support)
    if hasattr(value, "log_prob") and hasattr(value, "support"):
        return _from_numpyro(value, where, support)
    return default.with_scale(positive_number(value, where))


def is_table(value: object) -> bool:
    """Whether it is a distribution such as ``{"normal": [0, 1]}``, not a mapping of coefficients."""
    return isinstance(value, Mapping) and len(value) == 1 and next(iter(value)) in ARGUMENTS


def positive_number(value: object, where: str) -> float:
    """A finite number above 0; raises `SettingError`."""
    if not _is_number(value) or not value > 0:  # pyright: ignore[reportOperatorIssue]
        raise SettingError(
            f"the prior of {where} is {value!r}, but must be a number above 0 (the scale of the default), a table such "
            'as {"half_t": [3, 2.5]}, or a NumPyro distribution'
        )
    return float(value)  # pyright: ignore[reportArgumentType]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and bool(np.isfinite(value))


def _from_table(table: Mapping[Any, Any], where: str, support: Support) -> PriorDistribution:
    if len(table) != 1:
        raise SettingError(
            f'the prior of {where} must name one distribution, as {{"normal": [0, 1]}}; it is {table!r}'
        )
    ((name, given),) = table.items()
    usable = [n for n, (lives, _) in ARGUMENTS.items() if lives == support]
    if name not in ARGUMENTS:
        raise SettingError(
            f"the prior of {where} names distribution {name!r}; there are: {', '.join(usable)}, or pass a NumPyro "
            "distribution"
        )
    lives, names = ARGUMENTS[name]
    if lives != support:
        raise SettingError(
            f"the prior of {where} is {name!r}, which lives on {_words(lives)}, but {where} on {_words(support)}; "
            f"use one of: {', '.join(usable)}"
        )
    values = list(given) if isinstance(given, Sequence) and not isinstance(given, str) else [given]
    if len(values) != len(names):
        raise SettingError(
            f"the prior of {where}: {name!r} takes ({', '.join(names)}), but was given {given!r}"
        )
    for argument, number in zip(names, values, strict=True):
        usable_here = _is_number(number) and (argument == _ANYWHERE or float(number) > 0)
        if not usable_here:
            kind = "a finite number" if argument == _ANYWHERE else "a number above 0"
            raise SettingError(f"the prior of {where}: {argument} of {name!r} must be {kind}, not {number!r}")
    return PriorDistribution(name, tuple(float(v) for v in values))


def _from_numpyro(distribution: Any, where: str, support: Support) -> PriorDistribution:
    shape = (*distribution.batch_shape, *distribution.event_shape)
    if shape:
        raise SettingError(
            f"the prior of {where} is a {type(distribution).__name__} of shape {shape}, but must be of a single "
            "number; give coefficients different priors as a mapping of their names"
        )
    from numpyro.distributions import constraints

    allowed = {
        "real": (constraints.real,),
        "positive": (constraints.positive, constraints.nonnegative),
    }[support]
    if distribution.support not in allowed:
        raise SettingError(
            f"the prior of {where} is a {type(distribution).__name__}, which does not live on {_words(support)}"
        )
    return PriorDistribution("numpyro", custom=distribution)


def _numpyro_density(distribution: Any, x: float) -> tuple[float, float]:
    import jax

    with jax.enable_x64(True):
        value, slope = jax.value_and_grad(distribution.log_prob)(float(x))
    return float(value), float(slope)


def _words(support: Support) -> str:
    return "all real numbers" if support == "real" else "numbers above 0"

"""Priors of the Bayesian stage 1, scaled by the response and the columns so that units do not matter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixedfx.design import Design
from mixedfx.errors import SettingError
from mixedfx.families import Family
from mixedfx.predictors import CONSTANT
from mixedfx.varcorr import INTERCEPT

Floats = NDArray[np.float64]

AUTOSCALE = 2.5
DEGREES_OF_FREEDOM = 3.0
CONCENTRATION = 2.0


@dataclass(frozen=True, eq=False)
class Priors:
    """Prior distributions of a mixed model.

    The intercept's normal is about the linear predictor at the mean of the other columns, so that it means the same
    however those are centred (as rstanarm's).

    Attributes
    ----------
    fixed_names, beta_loc, beta_scale
        Independent normals on the fixed effects, shape (p,) each.
    sd_scale
        Factor -> scales (q,) of half-t distributions on the standard deviations of its coefficients.
    sigma_scale
        Scale of the half-t on the residual standard deviation; None for families without one.
    df
        Degrees of freedom of the half-t distributions.
    lkj
        Concentration of the LKJ distribution of each correlation matrix; 1 is uniform.
    """

    fixed_names: tuple[str, ...]
    beta_loc: Floats
    beta_scale: Floats
    sd_scale: Mapping[str, Floats]
    sigma_scale: float | None
    df: float = DEGREES_OF_FREEDOM
    lkj: float = CONCENTRATION

    def describe(self) -> dict[str, str]:
        """Parameter -> its distribution in words."""
        rows = zip(self.fixed_names, self.beta_loc, self.beta_scale, strict=True)
        text = {f"beta {name}": f"normal({loc:.4g}, {scale:.4g})" for name, loc, scale in rows}
        for factor, scales in self.sd_scale.items():
            text[f"sd_{factor}"] = f"half-t({self.df:g}, {', '.join(f'{s:.4g}' for s in scales)})"
        if self.sigma_scale is not None:
            text["sigma"] = f"half-t({self.df:g}, {self.sigma_scale:.4g})"
        return text | {"correlations": f"LKJ({self.lkj:g})"}


def choose_priors(design: Design, family: Family, given: Mapping[str, Any] | None = None) -> Priors:
    """The default priors, with the scales in `given` put in their place.

    By default ``beta ~ normal(0, 2.5 s / sd(x))``, the intercept ``normal(m, 2.5 s)``, ``sd ~ half-t(3, 2.5 s /
    sd(z))``, ``sigma ~ half-t(3, s)``, correlations ``LKJ(2)``; s is the standard deviation of the response (1 on the
    logit scale), m its mean (0), and sd(z) the root mean square where a column is constant.

    Parameters
    ----------
    design, family
        The model.
    given
        ``"beta"``, ``"sd_<factor>"``: a scale, or a mapping coefficient -> scale; ``"sigma"``: a scale; ``"lkj"``: a
        concentration. All above 0.

    Raises
    ------
    SettingError
        A name is unknown, or a value is not a number above 0.
    """
    predictors = design.predictors
    loc, scale = 0.0, 1.0
    if family.has_sigma:
        response = design.y - predictors.offset
        loc, scale = float(response.mean()), float(response.std()) or 1.0
    fixed = [AUTOSCALE * scale / s for s in column_scales(predictors.X(), predictors.fixed_columns)]
    centre = np.where(predictors.fixed_columns == CONSTANT, loc, 0.0)
    terms = predictors.terms
    priors = Priors(
        predictors.fixed_names,
        centre,
        np.array(fixed),
        {t.name: AUTOSCALE * scale / column_scales(predictors.z(t), t.columns) for t in terms},
        scale if family.has_sigma else None,
    )
    names = {t.name: t.names for t in terms}
    for name, value in (given or {}).items():
        priors = _with(priors, name, value, names)
    return priors


def column_scales(columns: Floats, which: NDArray[np.int32]) -> Floats:
    """Standard deviation of each column, shape (q,); 1 for the constant, the root mean square where it is 0."""
    sd = columns.std(axis=0)
    size = np.sqrt((columns**2).mean(axis=0))
    sd = np.where(sd > 1e-8 * size, sd, np.where(size > 0, size, 1.0))
    return np.where(which == CONSTANT, 1.0, sd)


def centring(design: Design) -> Floats:
    """Matrix (p, p) that takes beta to (intercept at the mean of the other columns, other coefficients)."""
    names = design.predictors.fixed_names
    matrix = np.eye(len(names))
    if INTERCEPT in names:
        at = names.index(INTERCEPT)
        matrix[at] = design.predictors.X().mean(axis=0)
    return matrix


def _with(priors: Priors, name: str, value: object, coefficients: Mapping[str, tuple[str, ...]]) -> Priors:
    if name == "lkj":
        return replace(priors, lkj=_number(name, value))
    if name == "sigma" and priors.sigma_scale is not None:
        return replace(priors, sigma_scale=_number(name, value))
    if name == "beta":
        return replace(priors, beta_scale=_scales(name, value, priors.fixed_names, priors.beta_scale))
    factor = name.removeprefix("sd_")
    if factor == name or factor not in coefficients:
        known = ["beta", *(f"sd_{f}" for f in coefficients), "lkj"]
        known += ["sigma"] if priors.sigma_scale is not None else []
        raise SettingError(f"no parameter {name!r} for a prior; there are: {', '.join(known)}")
    scales = _scales(name, value, coefficients[factor], priors.sd_scale[factor])
    return replace(priors, sd_scale={**priors.sd_scale, factor: scales})


def _scales(name: str, value: object, coefficients: tuple[str, ...], default: Floats) -> Floats:
    if not isinstance(value, Mapping):
        return np.full(len(coefficients), _number(name, value))
    unknown = [c for c in value if c not in coefficients]
    if unknown:
        raise SettingError(
            f"prior {name!r} names coefficient {unknown[0]!r}; there are: {', '.join(coefficients)}"
        )
    pairs = zip(coefficients, default, strict=True)
    return np.array([_number(f"{name} {c}", value[c]) if c in value else d for c, d in pairs])


def _number(name: str, value: object) -> float:
    usable = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < np.inf
    if not usable:
        raise SettingError(f"the prior of {name!r} is {value!r}, but it must be a number above 0")
    return float(value)  # pyright: ignore[reportArgumentType]

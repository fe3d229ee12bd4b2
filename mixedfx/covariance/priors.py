"""Priors of the Bayesian stage 1, scaled by the response and the columns so that units do not matter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixedfx.covariance.generalized import threshold_names
from mixedfx.covariance.prior_distributions import (
    ARGUMENTS,
    PriorDistribution,
    Support,
    is_table,
    positive_number,
    read_distribution,
)
from mixedfx.design import Design
from mixedfx.errors import SettingError
from mixedfx.families import Family
from mixedfx.predictors import CONSTANT
from mixedfx.varcorr import INTERCEPT

Floats = NDArray[np.float64]

AUTOSCALE = 2.5
DEGREES_OF_FREEDOM = 3.0
CONCENTRATION = 2.0
THRESHOLD_SCALE = 10.0
"""Of the thresholds, on the logit scale: hardly anything beside what data say."""

ALL_FACTORS = "Sigma"


@dataclass(frozen=True, eq=False)
class Priors:
    """Prior distributions of a mixed model.

    The intercept's and the thresholds' are about the linear predictor at the mean of the other columns, so that they
    mean the same however those are centred (as rstanarm's).

    Attributes
    ----------
    fixed_names, fixed
        Independent distributions of the p fixed effects.
    threshold_names, thresholds
        Of the m thresholds, restricted to rising ones; none for families without.
    sd
        Factor -> distributions of the standard deviations of its q coefficients.
    correlation
        Factor -> concentration of the LKJ distribution of each of its correlation matrices; 1 is uniform.
    sigma
        Of the residual standard deviation; None for families without one.
    """

    fixed_names: tuple[str, ...]
    fixed: tuple[PriorDistribution, ...]
    threshold_names: tuple[str, ...]
    thresholds: tuple[PriorDistribution, ...]
    sd: Mapping[str, tuple[PriorDistribution, ...]]
    correlation: Mapping[str, float]
    sigma: PriorDistribution | None


def choose_priors(design: Design, family: Family, given: Mapping[str, Any] | None = None) -> Priors:
    """The default priors, with those in `given` put in their place.

    By default ``beta ~ normal(0, 2.5 s / sd(x))``, the intercept ``normal(m, 2.5 s)``, ``sd ~ half_t(3, 2.5 s /
    sd(z))``, ``sigma ~ half_t(3, s)``, correlations ``LKJ(2)``, thresholds ``normal(0, 10)``; s is the standard
    deviation of the response (1 on the scales of the logit and the logarithm), m its mean (0 for logits, the logarithm
    of the mean count for poisson), and sd(z) the root mean square where a column is constant.

    Parameters
    ----------
    design, family
        The model.
    given
        ``"beta"``, ``"thresholds"``, ``"sigma"``, ``"Sigma_<factor>"`` (``"Sigma"`` for every factor). The last two are
        tables with ``"sd"`` and ``"correlation"``. A distribution is a number (the scale of the default), a table
        such as ``{"half_t": [3, 2.5]}``, or a NumPyro distribution; beta's and sd's may also be a mapping from
        coefficients to these. A correlation's is ``{"lkj": 2}``, a number (LKJ's concentration), or NumPyro's LKJ.

    Raises
    ------
    SettingError
        A name is unknown, or a value is no such distribution.

    Examples
    --------
    >>> given = {"Sigma_user": {"sd": {"half_t": [3, 1]}, "correlation": {"lkj": 1}}, "beta": {"x": {"normal": [0, 1]}}}
    """
    predictors = design.predictors
    scale = 1.0
    if family.has_sigma:
        scale = float((design.y - predictors.offset).std()) or 1.0
    loc = _intercept_location(design, family)
    spread = AUTOSCALE * scale
    centres = np.where(predictors.fixed_columns == CONSTANT, loc, 0.0)
    widths = spread / column_scales(predictors.X(), predictors.fixed_columns)
    thresholds = tuple(threshold_names(design))
    priors = Priors(
        fixed_names=predictors.fixed_names,
        fixed=tuple(_normal(m, s) for m, s in zip(centres, widths, strict=True)),
        threshold_names=thresholds,
        thresholds=tuple(_normal(0.0, THRESHOLD_SCALE) for _ in thresholds),
        sd={
            t.name: tuple(_half_t(spread / s) for s in column_scales(predictors.z(t), t.columns))
            for t in predictors.terms
        },
        correlation={t.name: CONCENTRATION for t in predictors.terms},
        sigma=_half_t(scale) if family.has_sigma else None,
    )
    coefficients = {t.name: t.names for t in predictors.terms}
    # What is said of every factor comes first, so that one factor's own table has the last word.
    for name in sorted(given or {}, key=lambda n: n != ALL_FACTORS):
        priors = _with(priors, name, (given or {})[name], coefficients)
    return priors


def column_scales(columns: Floats, which: NDArray[np.int32]) -> Floats:
    """Standard deviation of each column, shape (q,); 1 for the constant, the root mean square where it is 0."""
    sd = columns.std(axis=0)
    size = np.sqrt((columns**2).mean(axis=0))
    sd = np.where(sd > 1e-8 * size, sd, np.where(size > 0, size, 1.0))
    return np.where(which == CONSTANT, 1.0, sd)


def centring(design: Design) -> Floats:
    """Matrix (p + m, p + m) that takes (beta, thresholds) to what they are at the mean of the other columns."""
    names = design.predictors.fixed_names
    p, m = len(names), len(threshold_names(design))
    means = design.predictors.X().mean(axis=0)
    matrix = np.eye(p + m)
    if INTERCEPT in names:
        matrix[names.index(INTERCEPT), :p] = means
    matrix[p:, :p] = -means
    return matrix


def _intercept_location(design: Design, family: Family) -> float:
    offset, w = design.predictors.offset, design.weights
    if family.has_sigma:
        return float((design.y - offset).mean())
    if family.name == "poisson":
        return float(np.log(np.mean(w * design.y) / np.mean(w * np.exp(offset))))
    return 0.0


def _normal(loc: float, scale: float) -> PriorDistribution:
    return PriorDistribution("normal", (float(loc), float(scale)))


def _half_t(scale: float) -> PriorDistribution:
    return PriorDistribution("half_t", (DEGREES_OF_FREEDOM, float(scale)))


def _with(priors: Priors, name: object, value: object, coefficients: Mapping[str, tuple[str, ...]]) -> Priors:
    if name == "beta":
        fixed = _each("beta", value, priors.fixed_names, priors.fixed, "real")
        return replace(priors, fixed=fixed)
    if name == "thresholds" and priors.thresholds:
        names = priors.threshold_names
        return replace(priors, thresholds=_each("thresholds", value, names, priors.thresholds, "real"))
    if name == "sigma" and priors.sigma is not None:
        return replace(priors, sigma=read_distribution(value, priors.sigma, "sigma", "positive"))
    factors = [f for f in coefficients if name in (ALL_FACTORS, f"{ALL_FACTORS}_{f}")]
    if not factors:
        known = ["beta", *(["thresholds"] if priors.thresholds else []), *(["sigma"] if priors.sigma else [])]
        known += [ALL_FACTORS, *(f"{ALL_FACTORS}_{f}" for f in coefficients)]
        raise SettingError(f"no parameter {name!r} for a prior; there are: {', '.join(known)}")
    if not isinstance(value, Mapping) or not value or set(value) - {"sd", "correlation"}:
        raise SettingError(
            f"the prior of {name} is {value!r}, but must be a table with 'sd', 'correlation' or both, such as "
            '{"sd": {"half_t": [3, 2.5]}, "correlation": {"lkj": 2}}'
        )
    for factor in factors:
        if "sd" in value:
            own = _each(f"{name} sd", value["sd"], coefficients[factor], priors.sd[factor], "positive")
            priors = replace(priors, sd={**priors.sd, factor: own})
        if "correlation" in value:
            concentration = _concentration(f"{name} correlation", value["correlation"])
            priors = replace(priors, correlation={**priors.correlation, factor: concentration})
    return priors


def _each(
    where: str,
    value: object,
    names: tuple[str, ...],
    defaults: tuple[PriorDistribution, ...],
    support: Support,
) -> tuple[PriorDistribution, ...]:
    if not isinstance(value, Mapping) or (is_table(value) and not set(value) & set(names)):
        return tuple(read_distribution(value, default, where, support) for default in defaults)
    unknown = [c for c in value if c not in names]
    if unknown:
        usable = [name for name, (lives, _) in ARGUMENTS.items() if lives == support]
        raise SettingError(
            f"the prior of {where} names {unknown[0]!r}, which is neither one of its coefficients "
            f"({', '.join(names) or 'none'}) nor a distribution for it ({', '.join(usable)})"
        )
    pairs = zip(names, defaults, strict=True)
    return tuple(
        read_distribution(value[n], d, f"{where} {n}", support) if n in value else d for n, d in pairs
    )


def _concentration(where: str, value: object) -> float:
    if isinstance(value, Mapping):
        if set(value) != {"lkj"}:
            raise SettingError(f'the prior of {where} is {value!r}, but must be {{"lkj": concentration}}')
        given = value["lkj"]
        value = given[0] if isinstance(given, list | tuple) and len(given) == 1 else given
    elif hasattr(value, "concentration") and type(value).__name__.startswith("LKJ"):
        value = float(value.concentration)  # pyright: ignore[reportAttributeAccessIssue]
    return positive_number(value, where)

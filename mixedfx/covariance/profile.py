"""Profile-likelihood intervals of a fit's parameters, as lme4's ``confint(profile(fit))``."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import chi2

from mixedfx.covariance.average_information import MEMORY, Optimum
from mixedfx.covariance.fit_again import estimates_at, optimum_again
from mixedfx.covariance.gaussian import GaussianProblem
from mixedfx.covariance.generalized import laplace_point, threshold_names
from mixedfx.covariance.held import (
    EntryProfile,
    GaussianCoefficientProfile,
    Held,
    Profile,
    Search,
    VarianceProfile,
)
from mixedfx.covariance.held_correlation import CorrelationProfile
from mixedfx.covariance.parameters import ParameterSpace
from mixedfx.covariance.profile_end import FISHER, IDENTITY, LOG, Scale, find_end
from mixedfx.covariance.quantities import chosen, names, rows_of
from mixedfx.covariance.result import CovarianceResult
from mixedfx.design import Design
from mixedfx.errors import ConvergenceError, ConvergenceWarning, SettingError
from mixedfx.progress import Report

Floats = NDArray[np.float64]
Limits = tuple[float, float]

CLOSEST = 1 - 1e-8
"""A correlation that is not refuted so close to 1 is not refuted at 1."""
FIRST_INWARD = 0.8
"""The first correlation tried where the estimate is 1."""
LARGEST_STEP = 2.0
"""From the estimate to the first point tried, on logarithmic scales: standard errors of poorly determined parameters
are large there and tell little."""


def profile_intervals(
    fit: CovarianceResult,
    design: Design,
    *,
    parameters: str | Sequence[str] | None,
    level: float,
    report: Report,
) -> pd.DataFrame:
    """Values that a likelihood-ratio test does not reject at 1 - `level`, the other parameters at their best.

    See `mixedfx.confint`; the estimates are those of maximum likelihood.

    Raises
    ------
    SettingError
        Fixed effects of a fit with nagq=0, whose likelihood does not have them as parameters.
    ConvergenceError
        The fit is not at a maximum of the likelihood.

    Warns
    -----
    ConvergenceWarning
        A profile could not be followed to its end, which is NaN.
    """
    profiles = LikelihoodProfiles.of(fit, design)
    table = estimates_at(profiles.optimum, design)
    keep = chosen(table, parameters)
    if parameters is None:
        # Intervals of covariances depend on those of the variances; the correlation says what is of interest.
        keep &= (table["parameter"] != "covariance").to_numpy()
    elif "covariance" in set(table["parameter"][keep]):
        raise SettingError(
            "profile intervals are for correlations, not for covariances: take 'covariance' out of parameters, or use "
            "method='wald' or 'boot'"
        )
    rise, labels = float(chi2.ppf(level, 1)), names(table)
    limits = np.full((len(table), 2), np.nan)
    for done, row in enumerate(np.flatnonzero(keep)):
        report("profile", done, int(keep.sum()), labels[row])
        limits[row] = profiles.limits(int(row), table["parameter"].iloc[row], labels[row], rise)
    report("profile", int(keep.sum()), int(keep.sum()))
    table[["lower", "upper"]] = limits
    return rows_of(table, keep)


@dataclass(frozen=True, eq=False)
class LikelihoodProfiles:
    """Every parameter's profile, for one fit.

    Attributes
    ----------
    design
        The fit's data.
    optimum
        The maximum of the likelihood (not of the restricted one).
    """

    design: Design
    optimum: Optimum[Any]
    _known: dict[tuple[str, int], Any] = field(default_factory=dict)

    @classmethod
    def of(cls, fit: CovarianceResult, design: Design) -> LikelihoodProfiles:
        """Of a fit and its data; a REML fit is fitted again by maximum likelihood, as lme4 does."""
        optimum = optimum_again(fit, design, reml=False)
        if not optimum.converged:
            raise ConvergenceError(
                f"the likelihood was not maximised (a further step promises {optimum.predicted_gain:.2g} more), so "
                "that there is nothing to compare its profile with; the warning of learn_covariance says why"
            )
        return cls(design, optimum)

    @property
    def gaussian(self) -> bool:
        """Whether there is a sigma^2, and fixed effects are profiled out."""
        return self.design.spec.family == "gaussian"

    @property
    def deviance(self) -> float:
        """-2 log-likelihood at the maximum."""
        return -2 * self.optimum.at.loglik

    @cached_property
    def space(self) -> ParameterSpace:
        """Of the covariances."""
        at = self.optimum.at
        return at.problem.space if self.gaussian else laplace_point(at).problem.space

    @cached_property
    def search(self) -> Search:
        """How the maximum was found."""
        return Search(self.optimum, self.space, self.gaussian, 1 if self.gaussian else MEMORY)

    def limits(self, row: int, parameter: str, name: str, rise: float) -> Limits:
        """Both ends for one row of the table of estimates; NaN where a profile could not be followed."""
        coefficients = len(self.design.predictors.fixed_names) + len(threshold_names(self.design))
        if row < coefficients:
            ends = self._coefficient(row, rise)
        elif parameter == "correlation":
            ends = self._correlation((row - coefficients) // 2, rise)
        else:
            ends = self._variance((row - coefficients) // 2, rise)
        if np.isnan(ends).any():
            warnings.warn(
                f"the profile of '{name}' could not be followed to the end of its interval, which is left out; compare "
                "with method='boot'",
                ConvergenceWarning,
                stacklevel=4,
            )
        return (float(np.sqrt(ends[0])), float(np.sqrt(ends[1]))) if parameter == "sd" else ends

    def _coefficient(self, place: int, rise: float) -> Limits:
        profile = self._gaussian_coefficient(place) if self.gaussian else self._entry(place)
        reach = np.sqrt(rise) * profile.spread
        lower, upper = (
            self._end(profile, IDENTITY, rise, profile.estimate + side * reach).value for side in (-1, 1)
        )
        return lower, upper

    def _entry(self, place: int) -> EntryProfile:
        if laplace_point(self.optimum.at).problem.profiled:
            raise SettingError(
                "with nagq=0 fixed effects and thresholds are no parameters of the likelihood, so that they have no "
                "profile: fit with nagq=1, or choose others by parameters=['sd', 'correlation']"
            )
        first = self.space.size
        p = len(self.design.predictors.fixed_names)
        thresholds = range(first + p, len(self.optimum.phi)) if place >= p else ()
        return EntryProfile(self.search, first + place, tuple(thresholds))

    def _gaussian_coefficient(self, place: int) -> GaussianCoefficientProfile:
        predictors, order = self.design.predictors, self.optimum.at.problem.layout.order
        others = np.arange(len(predictors.fixed_names)) != place
        fewer = replace(
            predictors,
            fixed_names=tuple(n for n, keep in zip(predictors.fixed_names, others, strict=True) if keep),
            fixed_columns=predictors.fixed_columns[others],
        )
        without = GaussianProblem.of(replace(self.design, predictors=fewer), reml=False)
        root = np.sqrt(self.design.weights)
        X, x = fewer.X(), predictors.X()[:, place]
        on_others = np.linalg.lstsq(X * root[:, None], x * root, rcond=None)[0]
        spread = float(np.sqrt(self.optimum.at.beta_covariance()[place, place]))
        rest = (x - X @ on_others)[order]
        return GaussianCoefficientProfile(
            self.search, without, float(self.optimum.at.beta[place]), spread, rest, on_others
        )

    def _variance(self, index: int, rise: float) -> Limits:
        if ("variance", index) not in self._known:
            self._known["variance", index] = self._variance_ends(index, rise)
        return self._known["variance", index]

    def _variance_ends(self, index: int, rise: float) -> Limits:
        if index == self.space.size - 1:
            profile: Profile = EntryProfile(self.search, index)
        else:
            profile = VarianceProfile(self.search, index)
        estimate = profile.estimate
        if estimate == 0:
            slope, curvature = float(self.optimum.gradient[index]), profile.spread**-2
            return 0.0, self._end(
                profile, LOG, rise, (slope + np.sqrt(slope**2 + curvature * rise)) / curvature
            ).value
        step = np.exp(min(np.sqrt(rise) * profile.spread / estimate, LARGEST_STEP))
        upper = self._end(profile, LOG, rise, estimate * step).value
        if index == self.space.size - 1:
            return self._end(profile, LOG, rise, estimate / step).value, upper
        zero = self._zero(index)
        if zero.deviance - self.deviance <= rise:
            return 0.0, upper
        return self._end(profile, LOG, rise, estimate / step, beyond=zero).value, upper

    def _zero(self, index: int) -> Held:
        """The model without a random coefficient."""
        if ("zero", index) not in self._known:
            self._known["zero", index] = VarianceProfile(self.search, index).hold(0.0, None)
        return self._known["zero", index]

    def _correlation(self, index: int, rise: float) -> Limits:
        own = self.space.entries[index]
        variances = [
            a
            for a, e in enumerate(self.space.entries)
            if e.term == own.term and e.i == e.j and e.i in (own.i, own.j)
        ]
        # Without one of the two coefficients the correlation can be anything.
        if any(self._zero(a).deviance - self.deviance <= rise for a in variances):
            return -1.0, 1.0
        profile = CorrelationProfile(self.search, index)
        lower, upper = (self._correlation_end(profile, side, rise) for side in (-1, 1))
        return lower, upper

    def _correlation_end(self, profile: CorrelationProfile, side: int, rise: float) -> float:
        estimate = profile.estimate
        if side * estimate >= CLOSEST:
            return float(side)
        if abs(estimate) >= CLOSEST:
            first = -side * FIRST_INWARD
        else:
            step = min(np.sqrt(rise) * profile.spread / (1 - estimate**2), LARGEST_STEP)
            first = FISHER.back(FISHER.to(estimate) + side * step)
        end = self._end(
            profile, FISHER, rise, float(np.clip(first, -CLOSEST, CLOSEST)), last=side * CLOSEST
        ).value
        return float(side) if side * end >= CLOSEST else end

    def _end(
        self,
        profile: Profile,
        scale: Scale,
        rise: float,
        first: float,
        *,
        beyond: Held | None = None,
        last: float | None = None,
    ) -> Held:
        return find_end(
            profile, scale, deviance=self.deviance, rise=rise, first=float(first), beyond=beyond, last=last
        )

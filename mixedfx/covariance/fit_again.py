"""A fit's data and its maximum again: what profiles and bootstraps of a result start from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.covariance.average_information import Optimum
from mixedfx.covariance.gaussian import GaussianPoint, GaussianProblem
from mixedfx.covariance.generalized import laplace_optimum, laplace_point, threshold_names
from mixedfx.covariance.laplace import LaplaceProblem
from mixedfx.covariance.likelihood import gaussian_optimum
from mixedfx.covariance.parameters import ParameterSpace
from mixedfx.covariance.quadrature import QuadraturePoint
from mixedfx.covariance.quantities import quantities
from mixedfx.covariance.result import CovarianceResult
from mixedfx.design import Design, build_design
from mixedfx.errors import DataError, SettingError
from mixedfx.families import get_family

Floats = NDArray[np.float64]

SURELY = 5.0
"""Monte Carlo standard errors that a sampled log-likelihood may be off."""
SAME = 1e-5
"""Log-likelihoods, of themselves and in units, that are those of the same data."""


def design_again(fit: CovarianceResult, data: object, weights: object, what: str) -> Design:
    """The rows of a likelihood fit, encoded again.

    Parameters
    ----------
    fit
        A result of `learn_covariance` by REML or ML.
    data, weights
        What it was fitted to.
    what
        Who asks, for error messages.

    Raises
    ------
    SettingError
        The fit has no likelihood, or no data were given.
    DataError
        The data are not the fit's: other rows, fixed effects or levels, or another likelihood.
    """
    if fit.method not in ("reml", "ml") or fit.fits:
        how = f"{len(fit.fits)} fits, one a factor" if fit.fits else f"method '{fit.method}'"
        if fit.replicates:
            how = f"the mean of {len(fit.replicates)} replicates"
        raise SettingError(
            f"{what} needs a single likelihood, but this result is of {how}; use a fit with method='ml' or 'reml'"
            f"{' (.fits has them)' if fit.fits else ''}"
        )
    if data is None:
        raise SettingError(f"{what} needs the data of the fit: pass data=")
    design = rows_again(fit, data, weights)
    check_same_data(fit, design)
    return design


def rows_again(fit: CovarianceResult, data: object, weights: object = None) -> Design:
    """The rows of any fit, encoded again; raises `DataError` where the data have more or fewer of them."""
    design = build_design(fit.formula, data, family=fit.family, weights=weights)
    if fit.rows is not None and len(fit.rows) and fit.rows.max() < design.n_rows:
        design = design.take(fit.rows)
    if design.n_rows != fit.n_rows:
        raise DataError(
            f"the data given have {design.n_rows} complete rows, but the fit was to {fit.n_rows}; pass the data of the "
            "fit"
        )
    return design


def check_same_data(fit: CovarianceResult, design: Design) -> None:
    """Raise `DataError` where rows, as many as the fit's, have other fixed effects or levels, or another likelihood."""
    names, own = list(design.predictors.fixed_names), list(fit.fixef.index)
    levels = {t.name: t.grouping.n_levels for t in design.predictors.terms}
    if names != own or levels != dict(fit.n_levels):
        raise DataError(
            f"the data given have fixed effects {', '.join(names) or 'none'} and levels {levels}, but the fit has "
            f"{', '.join(own) or 'none'} and {dict(fit.n_levels)}; pass the data of the fit"
        )
    found = _loglik(fit, design)
    sampled = SURELY * float(fit.stats.get("loglik_se", 0.0))  # of refined covariances
    if not np.isclose(found, fit.loglik, rtol=SAME, atol=SAME + sampled):
        raise DataError(
            f"at the fit's estimates the data and weights given have the log-likelihood {found:.6f}, but the fit has "
            f"{fit.loglik:.6f}: they are not those of the fit. Pass the same data, and weights= as they were"
        )


def _loglik(fit: CovarianceResult, design: Design) -> float:
    """Of the fit's estimates, with some data."""
    point = ParameterSpace.of(design.predictors.terms).from_varcorr(fit.varcorr)
    if fit.family == "gaussian":
        return GaussianProblem.of(design, reml=fit.method == "reml").at(point).loglik
    nagq = _nagq(fit)
    problem = LaplaceProblem.of(design, get_family(fit.family), profiled=nagq == 0)
    at = problem.at(point, *_fixed(fit))
    return QuadraturePoint(at, nagq).loglik if nagq > 1 else at.loglik


def _nagq(fit: CovarianceResult) -> int:
    return int(fit.stats.get("nagq", 1))


def _fixed(fit: CovarianceResult) -> tuple[Floats, Floats]:
    """(beta, thresholds)."""
    alpha = np.zeros(0) if fit.thresholds is None else fit.thresholds.to_numpy(dtype=float)
    return fit.fixef.to_numpy(dtype=float), alpha


def optimum_again(fit: CovarianceResult, design: Design, *, reml: bool) -> Optimum[Any]:
    """The maximum of the likelihood (`reml`: of gaussian models the restricted one), from the fit's estimates."""
    if fit.family == "gaussian":
        return gaussian_optimum(design, reml=reml, start=fit.varcorr)
    return laplace_optimum(
        design, get_family(fit.family), nagq=_nagq(fit), start=fit.varcorr, fixed_start=_fixed(fit)
    )


def estimates_at(optimum: Optimum[Any], design: Design) -> pd.DataFrame:
    """The estimates at a maximum, as `quantities` lists them."""
    fixed = list(design.predictors.fixed_names)
    if isinstance(optimum.at, GaussianPoint):
        gaussian = optimum.at
        varcorr = gaussian.problem.space.varcorr(gaussian.point, has_sigma=True)
        return quantities(varcorr, pd.Series(gaussian.beta, index=fixed), None)
    at = laplace_point(optimum.at)
    varcorr = at.problem.space.varcorr(at.point, has_sigma=False)
    edges = threshold_names(design)
    thresholds = pd.Series(at.alpha, index=edges) if edges else None
    return quantities(varcorr, pd.Series(at.beta, index=fixed), thresholds)

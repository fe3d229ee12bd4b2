"""Intervals of a fit's parameters by one of three methods, as lme4's ``confint``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from mixedfx.arguments import check_choice
from mixedfx.covariance.bootstrap import bootstrap
from mixedfx.covariance.fit_again import design_again
from mixedfx.covariance.intervals import check_level, wald_intervals
from mixedfx.covariance.profile import profile_intervals
from mixedfx.covariance.quantities import chosen, rows_of
from mixedfx.covariance.result import CovarianceResult, check_fit
from mixedfx.progress import Report, reporter

METHODS = ("profile", "wald", "boot")


def confint(
    fit: CovarianceResult,
    data: object = None,
    *,
    method: str = "profile",
    parameters: str | Sequence[str] | None = None,
    level: float = 0.95,
    weights: object = None,
    n: int = 200,
    kind: str = "percentile",
    seed: int = 0,
    folder: str | Path | None = None,
    progress: bool | Report | None = None,
) -> pd.DataFrame:
    """Intervals for fixed effects, thresholds, variances, standard deviations, covariances and correlations.

    Parameters
    ----------
    fit
        A result of `learn_covariance`.
    data, weights
        What it was fitted to; not needed for method "wald".
    method
        * "profile": the values that a likelihood-ratio test against the maximum does not reject, all other parameters
          at their best. It needs no symmetry, and knows boundaries: a lower limit of 0 says that the variance is not
          needed, limits of -1 or 1 that no correlation on that side is refuted. As in lme4 the likelihood is the full
          one: a REML fit is fitted again by ML, and the estimates shown are ML's.
        * "wald": from standard errors (see `mixedfx.covariance.intervals.wald_intervals`). At once, and rough for
          variances of few levels.
        * "boot": from fits to simulated data (see `mixedfx.bootstrap`). The slowest; REML fits stay REML fits.
    parameters
        Which: kinds ("coefficient", "variance", "sd", "covariance", "correlation"), groups ("fixed", "threshold", a
        factor, "Residual") or single ones by lme4's names ("Days", "sd_(Intercept)|Subject",
        "cor_Days.(Intercept)|Subject", "sigma"); rows that any of them names are given. By default all; profiles
        leave out covariances.
    level
        Probability that an interval holds its parameter.
    n, kind, seed, folder
        Of method "boot": replicates, "percentile" or "basic" intervals, and see `mixedfx.bootstrap`.
    progress
        See `mixedfx.progress`.

    Returns
    -------
    DataFrame
        ``grp``, ``var1``, ``var2`` (as in `VarCorr.to_frame`; `grp` is "fixed" or "threshold" for the others),
        ``parameter``, ``estimate``, ``lower``, ``upper``. Limits are NaN where the method has none, and infinite where
        the likelihood never falls enough.

    Raises
    ------
    SettingError
        A setting is not allowed, data are missing, or the fit has no likelihood.
    DataError
        The data are not the fit's.
    ConvergenceError
        The fit is not at the maximum of its likelihood.

    Warns
    -----
    ConvergenceWarning
        A profile could not be followed to its end; that limit is NaN.

    References
    ----------
    Bates, Maechler, Bolker & Walker 2015, J. Stat. Softw. 67, section 5.1 (profiles); Venzon & Moolgavkar 1988, Appl.
    Stat. 37 (solving for the ends).

    Examples
    --------
    >>> import mixedfx as mfx
    >>> data = mfx.datasets.load_verbagg()
    >>> fit = mfx.learn_covariance("r2 ~ 1 + (1 | id) + (1 | item)", data, family="bernoulli")
    >>> mfx.confint(fit, data, parameters="sd")[["grp", "lower", "upper"]].round(2).to_numpy().tolist()
    [['id', 1.24, 1.52], ['item', 0.86, 1.55]]
    """
    check_fit(fit, "confint")
    check_level(level)
    check_choice("method", method, METHODS)
    if method == "wald":
        table = wald_intervals(fit, level)
        return rows_of(table, chosen(table, parameters))
    if method == "boot":
        replicates = bootstrap(fit, data, n=n, seed=seed, weights=weights, folder=folder, progress=progress)
        return replicates.intervals(level, kind=kind, parameters=parameters)
    design = design_again(fit, data, weights, "a profile")
    with reporter(progress) as report:
        return profile_intervals(fit, design, parameters=parameters, level=level, report=report)

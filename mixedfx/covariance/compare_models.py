"""Likelihood-ratio tests and information criteria of several fits, as lme4's ``anova``."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
from scipy.stats import chi2

from mixedfx.covariance.fingerprints import FINGERPRINTS
from mixedfx.covariance.fit_again import check_same_data
from mixedfx.covariance.likelihood import fit_gaussian
from mixedfx.covariance.refine import refine_covariance
from mixedfx.covariance.result import CovarianceResult, check_fit
from mixedfx.design import build_design
from mixedfx.errors import ConvergenceWarning, SettingError

NOTHING = 1e-6
"""A statistic of 0 to the accuracy of the log-likelihoods."""
CHANCE = 3.0
"""Monte Carlo standard errors that a difference may be made of: few probes know theirs badly themselves."""


def compare_models(
    *fits: CovarianceResult, data: object = None, weights: object = None, names: Sequence[str] | None = None
) -> pd.DataFrame:
    """Compare fits by likelihood to the same rows: each with the next smaller one.

    Parameters
    ----------
    *fits
        Two or more results of `learn_covariance`. Restricted likelihoods of models with other fixed effects cannot be
        compared, so that REML fits are fitted again by maximum likelihood, as lme4's ``anova`` does.
    data, weights
        What the fits were made from: needed where one is a REML fit.
    names
        Of the fits; by default "model 1", ... in the order given.

    Returns
    -------
    DataFrame
        One row a model, those with fewer parameters first (models with equally many in the order given):

        * ``npar``: covariance parameters, sigma^2, fixed effects and thresholds;
        * ``AIC``, ``BIC``, ``loglik``, ``deviance`` (-2 loglik);
        * ``chisq``, ``df``, ``p``: likelihood-ratio test against the row before, NaN where that has as many
          parameters;
        * ``p_boundary``: the same p-value where the test asks for a single variance of 0 (with its covariances), NaN
          elsewhere. A variance cannot be negative, so that `p` is too large there, and the statistic's distribution
          is an equal mixture of chi-squared on r and r + 1 degrees of freedom, r being the number of its covariances;
        * ``chisq_se``: only where fits were refined by random probes: Monte Carlo standard error of `chisq`, and of the
          differences of AIC and BIC to the row before.

        The tests are right for nested models; whether models are nested is for the caller to know.

    Raises
    ------
    SettingError
        Fewer than two fits; a fit without a likelihood; fits of other families, responses, weights or numbers of rows;
        REML fits without data.

    Warns
    -----
    ConvergenceWarning
        A model has a lower likelihood than one that it contains (by the names of their parameters); or two models, of
        which one was refined by random probes, differ by no more than these leave open.

    References
    ----------
    Self & Liang 1987, J. Amer. Statist. Assoc. 82; Stram & Lee 1994, Biometrics 50 (the mixture).

    Examples
    --------
    >>> import mixedfx as mfx
    >>> data = mfx.datasets.load_verbagg()
    >>> fits = [
    ...     mfx.learn_covariance(f"r2 ~ {fixed} + (1 | id) + (1 | item)", data, family="bernoulli")
    ...     for fixed in ("Anger", "Anger + situ")
    ... ]
    >>> mfx.compare_models(*fits)["df"].tolist()
    [nan, 1.0]
    """
    for fit in fits:
        check_fit(fit, "compare_models")
    if len(fits) < 2:
        raise SettingError(f"compare_models needs two fits or more, but was given {len(fits)}")
    labels = [f"model {i}" for i in range(1, len(fits) + 1)]
    if names is not None:
        if isinstance(names, str) or not isinstance(names, Iterable):
            raise SettingError(f"names is {names!r}; it must be a list with a name for each fit")
        labels = [str(name) for name in names]
    if len(labels) != len(fits):
        raise SettingError(f"there are {len(fits)} fits, but {len(labels)} names")
    _check_comparable(fits, labels)
    own = [_by_likelihood(fit, label, data, weights) for fit, label in zip(fits, labels, strict=True)]
    order = sorted(range(len(own)), key=lambda i: own[i].n_parameters)
    own, labels = [own[i] for i in order], [labels[i] for i in order]
    _warn_of_a_fall(own, labels)
    npar = np.array([fit.n_parameters for fit in own])
    loglik = np.array([fit.loglik for fit in own])
    table = pd.DataFrame(
        {
            "npar": npar,
            "AIC": 2 * npar - 2 * loglik,
            "BIC": np.log(own[0].n_rows) * npar - 2 * loglik,
            "loglik": loglik,
            "deviance": -2 * loglik,
        },
        index=pd.Index(labels, name="model"),
    )
    tests = [(np.nan, np.nan, np.nan, np.nan), *(_test(small, large) for small, large in pairwise(own))]
    table[["chisq", "df", "p", "p_boundary"]] = np.array(tests)
    if any(map(_monte_carlo_error, own)):
        table["chisq_se"] = [np.nan, *(2.0 * _of_difference(small, large) for small, large in pairwise(own))]
        _warn_of_chance(table)
    return table


def _monte_carlo_error(fit: CovarianceResult) -> float:
    """Standard error of the log-likelihood, 0 unless random probes are behind it."""
    return float(fit.stats.get("loglik_se", 0.0))


def _of_difference(small: CovarianceResult, large: CovarianceResult) -> float:
    """As of independent probes: with the same seed the two errors may cancel in part."""
    return float(np.hypot(_monte_carlo_error(small), _monte_carlo_error(large)))


def _warn_of_chance(table: pd.DataFrame) -> None:
    """Of adjacent models that differ by no more than their Monte Carlo error."""
    names, errors = table.index.tolist(), table["chisq_se"].to_numpy()
    criteria = {"the likelihood-ratio test": "deviance", "AIC": "AIC", "BIC": "BIC"}
    differences = {said: np.diff(table[column].to_numpy()) for said, column in criteria.items()}
    for i, error in enumerate(errors[1:]):
        unsure = [said for said, apart in differences.items() if abs(apart[i]) <= CHANCE * error]
        if error > 0 and unsure:
            apart = abs(differences["the likelihood-ratio test"][i])
            warnings.warn(
                f"{', '.join(unsure)} cannot tell {names[i]} and {names[i + 1]} apart: their deviances differ by "
                f"{apart:.3g}, with a Monte Carlo standard error of {error:.2g}. Refine them with a smaller accuracy=, "
                "which takes more probes, or fit them by learn_covariance where memory allows",
                ConvergenceWarning,
                stacklevel=3,
            )


def _test(small: CovarianceResult, large: CovarianceResult) -> tuple[float, float, float, float]:
    """(chisq, df, p, p_boundary)."""
    df = large.n_parameters - small.n_parameters
    if df == 0:
        return np.nan, np.nan, np.nan, np.nan
    # Rounding can leave the larger model a hair below the smaller one.
    statistic = max(2 * (large.loglik - small.loglik), 0.0)
    covariances = _covariances_of_one_variance(small, large)
    boundary = np.nan
    if covariances is not None:
        boundary = 0.5 * (_upper_tail(statistic, covariances) + _upper_tail(statistic, covariances + 1))
    return statistic, float(df), _upper_tail(statistic, df), boundary


def _upper_tail(statistic: float, df: int) -> float:
    """P(chi-squared on df degrees of freedom >= statistic); all of its mass is at 0 for df = 0."""
    return float(chi2.sf(statistic, df)) if df else float(statistic <= NOTHING)


def _covariances_of_one_variance(small: CovarianceResult, large: CovarianceResult) -> int | None:
    """How many covariances the one further variance of `large` brings, None where that is not all that differs."""
    if list(small.fixef.index) != list(large.fixef.index):
        return None
    before, after = _entries(small), _entries(large)
    if not before <= after:
        return None
    further = after - before
    variances = [entry for entry in further if len(entry) == 2]
    if len(variances) != 1 or any(not variances[0] <= entry for entry in further):
        return None
    return len(further) - 1


def _entries(fit: CovarianceResult) -> set[frozenset[tuple[str, str]]]:
    """Free covariance entries: the factor marked, with one coefficient (a variance) or two (a covariance)."""
    frame = fit.varcorr.to_frame()
    keys = zip(frame["grp"], frame["var1"], frame["var2"], strict=True)
    return {
        frozenset([("factor", str(g)), *(("coefficient", str(v)) for v in pair if isinstance(v, str))])
        for g, *pair in keys
    }


def _check_comparable(fits: Sequence[CovarianceResult], labels: Sequence[str]) -> None:
    first = fits[0]
    for fit, label in zip(fits, labels, strict=True):
        if np.isnan(fit.loglik):
            raise SettingError(
                f"{label} has no likelihood: it was learned by '{fit.method}'"
                f"{' from one sample a factor' if fit.fits else ''}; compare fits with method='ml'"
            )
        for what, own, other in (
            ("family", fit.family, first.family),
            ("response", _response(fit), _response(first)),
            ("number of rows", fit.n_rows, first.n_rows),
        ):
            if own != other:
                raise SettingError(
                    f"{labels[0]} and {label} differ in their {what} ({other} and {own}), so that their likelihoods "
                    "cannot be compared; fit both to the same rows (missing values drop rows)"
                )
        for key, what in FINGERPRINTS.items():
            own, other = fit.stats.get(key), first.stats.get(key)
            if own != other and own is not None and other is not None:  # None: saved before there were any
                raise SettingError(
                    f"{labels[0]} and {label} were fitted to different data: the {what} differ, so that their "
                    "likelihoods cannot be compared; fit both to the same rows, with the same weights"
                )


def _warn_of_a_fall(own: Sequence[CovarianceResult], labels: Sequence[str]) -> None:
    """A larger model that contains a smaller one has at least its likelihood, unless the search for it failed."""
    for small in range(len(own)):
        for large in range(small + 1, len(own)):
            fall = own[small].loglik - own[large].loglik
            hidden = NOTHING * max(abs(own[small].loglik), 1.0)
            hidden += CHANCE * _of_difference(own[small], own[large])
            if fall > hidden and _contains(own[large], own[small]):
                warnings.warn(
                    f"{labels[large]} contains {labels[small]}, but its log-likelihood is {fall:.3g} lower: it was not "
                    "maximised, and tests with it say nothing. Fit it again from another start, or simplify it",
                    ConvergenceWarning,
                    stacklevel=3,
                )


def _contains(large: CovarianceResult, small: CovarianceResult) -> bool:
    """By the names of their parameters."""
    return set(small.fixef.index) <= set(large.fixef.index) and _entries(small) <= _entries(large)


def _response(fit: CovarianceResult) -> str:
    return fit.formula.partition("~")[0].strip()


def _by_likelihood(fit: CovarianceResult, label: str, data: object, weights: object) -> CovarianceResult:
    if fit.method != "reml":
        return fit
    if data is None or fit.rows is not None:
        reason = "pass data= to have it fitted again" if fit.rows is None else "it is of a subsample"
        raise SettingError(
            f"{label} was fitted by REML, which does not compare models with other fixed effects: {reason}, or fit it "
            "with method='ml'"
        )
    design = build_design(fit.formula, data, family=fit.family, weights=weights)
    if design.n_rows != fit.n_rows:
        raise SettingError(
            f"the data given have {design.n_rows} complete rows, but {label} was fitted to {fit.n_rows}; pass the "
            "data of the fits"
        )
    check_same_data(fit, design)
    if fit.stats.get("engine") == "krylov":  # there may be no memory for the other one
        return refine_covariance(fit.formula, data, fit, method="ml", weights=weights)
    return fit_gaussian(design, reml=False, start=fit.varcorr)

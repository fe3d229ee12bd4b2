"""Tests of fixed effects: one by one, as the summaries of lmerTest and glmer have them, and of several at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from mixedfx.covariance.result import check_fit
from mixedfx.covariance.satterthwaite import degrees_of_freedom
from mixedfx.errors import SettingError

if TYPE_CHECKING:
    from mixedfx.covariance.result import CovarianceResult

Floats = NDArray[np.float64]


def fixef_table(fit: CovarianceResult) -> pd.DataFrame:
    """Fixed effects, each with the test of whether it is 0.

    Returns
    -------
    DataFrame
        Gaussian fits: ``Estimate``, ``Std. Error``, ``df`` (Satterthwaite's), ``t value``, ``Pr(>|t|)``; without
        ``df`` and p-values where the fit has no ``fixef_df``. Other families: ``Estimate``, ``Std. Error``,
        ``z value``, ``Pr(>|z|)``. MCMC: posterior means and standard deviations, and no p-values.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> data = mfx.datasets.load_insteval().head(5000)
    >>> fit = mfx.learn_covariance("y ~ service + (1 | s) + (1 | d)", data)
    >>> fixef_table(fit).columns.tolist()
    ['Estimate', 'Std. Error', 'df', 't value', 'Pr(>|t|)']
    """
    table = pd.DataFrame({"Estimate": fit.fixef, "Std. Error": fit.fixef_se})
    ratio = table["Estimate"] / table["Std. Error"]
    if fit.family != "gaussian":
        table["z value"] = ratio
        if fit.method == "ml":
            table["Pr(>|z|)"] = 2 * stats.norm.sf(ratio.abs())
        return table
    df = fit.fixef_df
    if df is not None:
        table["df"] = df
    table["t value"] = ratio
    if df is not None:
        table["Pr(>|t|)"] = 2 * stats.t.sf(ratio.abs(), df)
    return table


def test_fixef(fit: CovarianceResult, contrasts: Sequence[str] | pd.DataFrame) -> pd.Series:
    """Test whether several fixed effects, or linear combinations of them, are all 0.

    Gaussian fits: the F-test of lmerTest's ``contest``, whose denominator has Satterthwaite's degrees of freedom.
    The others: Wald's chi-squared test.

    Parameters
    ----------
    fit
        A result by likelihood.
    contrasts
        Names of fixed effects; or a DataFrame with a column for each fixed effect (those not there count as 0) and a
        row for each combination.

    Returns
    -------
    Series
        ``F``, ``df`` (numerator), ``denominator_df``, ``p``; or ``chisq``, ``df``, ``p``. Combinations that depend on
        others count once. The denominator's degrees of freedom are an approximation that depends a little on how the
        contrasts are written, unless those of all contrasts are the same.

    Raises
    ------
    SettingError
        A name is no fixed effect; there are no contrasts, or only zeros; the fit has no degrees of freedom, or is not
        by likelihood.

    References
    ----------
    Fai & Cornelius 1996, J. Stat. Comput. Simul. 54 (the denominator's degrees of freedom for several contrasts).

    Examples
    --------
    >>> import mixedfx as mfx
    >>> data = mfx.datasets.load_verbagg()
    >>> fit = mfx.learn_covariance("r2 ~ btype + situ + (1 | id) + (1 | item)", data, family="bernoulli")
    >>> int(mfx.test_fixef(fit, ["btypescold", "btypeshout"])["df"])
    2
    """
    check_fit(fit, "test_fixef")
    covariance = fit.fixef_covariance
    if covariance is None:
        raise SettingError(
            f"a fit by '{fit.method}' has no tests of fixed effects; fit with method='reml' or 'ml'"
        )
    L = _matrix(contrasts, list(fit.fixef.index))
    # In standard errors, so that units do not decide which combinations depend on others.
    se = np.sqrt(np.einsum("mp,pq,mq->m", L, covariance.to_numpy(), L))
    if not se.any():
        raise SettingError("the contrasts are all zero; give each at least one fixed effect")
    scaled = L[se > 0] / se[se > 0, None]
    values, vectors = np.linalg.eigh(scaled @ covariance.to_numpy() @ scaled.T)
    kept = values > 1e-10 * values[-1]
    chisq = float(((vectors[:, kept].T @ scaled @ fit.fixef.to_numpy()) ** 2 / values[kept]).sum())
    q = int(kept.sum())
    if fit.family != "gaussian":
        return pd.Series({"chisq": chisq, "df": float(q), "p": float(stats.chi2.sf(chisq, q))})
    if fit.fixef_covariance_spread is None:
        raise SettingError(
            "the fit has no degrees of freedom (they take long for many rows, and need a maximum); fit with "
            "satterthwaite=True"
        )
    # Uncorrelated combinations, each with a t-test of its own; of the contrasts as they were given, as in lmerTest.
    rotated = np.linalg.eigh(L @ covariance.to_numpy() @ L.T)[1][:, -q:].T @ L
    denominator = _denominator(
        degrees_of_freedom(rotated, covariance.to_numpy(), fit.fixef_covariance_spread)
    )
    p = float(stats.f.sf(chisq / q, q, denominator))
    return pd.Series({"F": chisq / q, "df": float(q), "denominator_df": denominator, "p": p})


def _matrix(contrasts: Sequence[str] | pd.DataFrame, names: list[str]) -> Floats:
    """The contrasts as rows over the fixed effects."""
    if isinstance(contrasts, pd.DataFrame):
        given: list[object] = list(contrasts.columns)
    elif isinstance(contrasts, str):
        given = [contrasts]
    elif isinstance(contrasts, Iterable):
        given = list(contrasts)
    else:
        given = [contrasts]
    odd = [name for name in given if not isinstance(name, str)]
    if odd:
        raise SettingError(
            f"contrasts must be names of fixed effects, or a DataFrame with a column for each, not {odd[0]!r}; there "
            f"are: {', '.join(names)}"
        )
    unknown = [name for name in given if name not in names]
    if unknown:
        raise SettingError(f"there is no fixed effect {unknown[0]!r}; there are: {', '.join(names)}")
    if not given or not len(contrasts):
        raise SettingError("there is nothing to test; give at least one fixed effect")
    if isinstance(contrasts, pd.DataFrame):
        return _numbers(contrasts).reindex(columns=names, fill_value=0.0).to_numpy(dtype=float)
    return np.eye(len(names))[[names.index(str(name)) for name in given]]


def _numbers(contrasts: pd.DataFrame) -> pd.DataFrame:
    """The table, if it holds finite numbers, each column once."""
    try:
        finite = np.isfinite(contrasts.to_numpy(dtype=float)).all()
    except (TypeError, ValueError):
        finite = False
    if not finite or contrasts.columns.has_duplicates:
        raise SettingError("contrasts must hold finite numbers, and each fixed effect in one column only")
    return contrasts


def _denominator(df: Floats) -> float:
    """The df with which the mean of squared t-variables is an F-variable's, by matching its expectation."""
    if np.ptp(df) <= 1e-8 * df.max():
        return float(df.mean())
    if (df <= 2).any():
        return 2.0
    expectation = float((df / (df - 2)).sum())
    return 2 * expectation / (expectation - len(df))

"""Intraclass correlation: the share of each grouping factor in the variance of a response."""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mixedfx.covariance.fit_again import rows_again
from mixedfx.errors import SettingError
from mixedfx.varcorr import INTERCEPT

if TYPE_CHECKING:
    from mixedfx.covariance.result import CovarianceResult

LOGISTIC_VARIANCE = np.pi**2 / 3


def intraclass_correlation(
    result: CovarianceResult, *, data: object = None, mean: float | None = None
) -> pd.Series:
    """v_k / (sum_k v_k + residual variance) of every factor, v_k the variance that it makes in the linear predictor.

    v_k is the variance of the intercepts where there are no slopes, and with slopes z' Sigma_k z, averaged over the
    rows. The residual variance is sigma^2 for the gaussian family, that of the logistic distribution, pi^2 / 3, for
    bernoulli, binomial and cumulative responses (the correlation is one of the latent variable), and
    log(1 + 1 / mean) for Poisson counts of a mean.

    Parameters
    ----------
    data
        What the model was fitted to; for models with slopes only.
    mean
        Mean count, for the Poisson family only.

    Returns
    -------
    Series
        One number a factor.

    Raises
    ------
    SettingError
        A factor has slopes, and no data were given; or a Poisson fit without `mean`.
    DataError
        The data do not fit the formula, or have another number of rows than the fit's.

    References
    ----------
    Nakagawa, Johnson & Schielzeth 2017, J. R. Soc. Interface 14; with slopes Johnson 2014, Methods in Ecology and
    Evolution 5, equation 10.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> from mixedfx.covariance.icc import intraclass_correlation
    >>> fit = mfx.learn_covariance("y ~ 1 + (1 | s) + (1 | d)", mfx.datasets.load_insteval())
    >>> intraclass_correlation(fit).round(4).to_dict()
    {'s': 0.0601, 'd': 0.1549}
    """
    residual = _residual_variance(result, mean)
    blocks = result.varcorr.blocks
    if all(block.names == (INTERCEPT,) for block in blocks):
        variances = {block.factor: float(block.matrix[0, 0]) for block in blocks}
    else:
        variances = _mean_variances(result, data)
    total = sum(variances.values()) + residual
    return pd.Series({factor: variance / total for factor, variance in variances.items()}, name="icc")


def _mean_variances(result: CovarianceResult, data: object) -> dict[str, float]:
    """Mean of z' Sigma z over the rows, of every factor."""
    sloped = next(block for block in result.varcorr.blocks if block.names != (INTERCEPT,))
    if data is None:
        slopes = ", ".join(name for name in sloped.names if name != INTERCEPT)
        raise SettingError(
            f"factor '{sloped.factor}' has slopes ({slopes}), so that its share of the variance depends on their "
            "values: pass data=, the data of the fit"
        )
    predictors = rows_again(result, data).predictors
    products = {term.name: (z := predictors.z(term)).T @ z / result.n_rows for term in predictors.terms}
    return {
        block.factor: float(np.vdot(block.matrix, products[block.factor])) for block in result.varcorr.blocks
    }


def _residual_variance(result: CovarianceResult, mean: float | None) -> float:
    if result.varcorr.sigma2 is not None:
        return result.varcorr.sigma2
    if result.family != "poisson":
        return LOGISTIC_VARIANCE
    if not isinstance(mean, Real) or isinstance(mean, bool) or not 0 < float(mean) < np.inf:
        raise SettingError("the residual variance of counts depends on their mean: pass mean=, above 0")
    return float(np.log1p(1 / mean))

"""Intraclass correlation: the share of each grouping factor in the variance of a response."""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mixedfx.errors import SettingError
from mixedfx.varcorr import INTERCEPT

if TYPE_CHECKING:
    from mixedfx.covariance.result import CovarianceResult

LOGISTIC_VARIANCE = np.pi**2 / 3


def intraclass_correlation(result: CovarianceResult, *, mean: float | None = None) -> pd.Series:
    """Sigma_k / (sum_k Sigma_k + residual variance) of every factor, for models of random intercepts.

    The residual variance is sigma^2 for the gaussian family, that of the logistic distribution, pi^2 / 3, for
    bernoulli, binomial and cumulative responses (the correlation is one of the latent variable), and
    log(1 + 1 / mean) for Poisson counts of a mean.

    Parameters
    ----------
    mean
        Mean count, for the Poisson family only.

    Returns
    -------
    Series
        One number a factor.

    Raises
    ------
    SettingError
        A factor has slopes, with which the share depends on their features; or a Poisson fit without `mean`.

    References
    ----------
    Nakagawa, Johnson & Schielzeth 2017, J. R. Soc. Interface 14.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> from mixedfx.covariance.icc import intraclass_correlation
    >>> fit = mfx.learn_covariance("y ~ 1 + (1 | s) + (1 | d)", mfx.datasets.load_insteval())
    >>> intraclass_correlation(fit).round(4).to_dict()
    {'s': 0.0601, 'd': 0.1549}
    """
    for block in result.varcorr.blocks:
        if block.names != (INTERCEPT,):
            slopes = ", ".join(name for name in block.names if name != INTERCEPT)
            raise SettingError(
                f"factor '{block.factor}' has slopes ({slopes}), so that its share of the variance depends on their "
                f"features; fit the model with (1 | {block.factor}) for its intraclass correlation, or read the "
                "variances from varcorr"
            )
    variances = {block.factor: float(block.matrix[0, 0]) for block in result.varcorr.blocks}
    total = sum(variances.values()) + _residual_variance(result, mean)
    return pd.Series({factor: variance / total for factor, variance in variances.items()}, name="icc")


def _residual_variance(result: CovarianceResult, mean: float | None) -> float:
    if result.varcorr.sigma2 is not None:
        return result.varcorr.sigma2
    if result.family != "poisson":
        return LOGISTIC_VARIANCE
    if not isinstance(mean, Real) or isinstance(mean, bool) or not 0 < float(mean) < np.inf:
        raise SettingError("the residual variance of counts depends on their mean: pass mean=, above 0")
    return float(np.log1p(1 / mean))

"""Standard deviations of the random coefficients of a covariance result."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mixedfx.errors import DataError

if TYPE_CHECKING:
    from mixedfx.covariance.result import CovarianceResult


def ranef_sd(result: CovarianceResult, factor: str) -> pd.DataFrame:
    """How uncertain each level's coefficients are.

    Of likelihood fits these are conditional standard deviations, given fixed effects, thresholds and covariances (the
    roots of the diagonals of ``condvar``, which lme4 draws in its caterpillar plots); of MCMC they are standard
    deviations of the draws, which hold the uncertainty of everything. Stage 2's ``ranef_sd`` is between the two: with
    the uncertainty of fixed effects, at known covariances.

    Parameters
    ----------
    factor
        Name of the grouping factor.

    Returns
    -------
    DataFrame
        Shape (J, q), as ``result.ranef[factor]``.

    Raises
    ------
    DataError
        The factor is not in the model, or the result has neither conditional covariances nor draws.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> fit = mfx.learn_covariance("y ~ 1 + (1 | s) + (1 | d)", mfx.datasets.load_insteval())
    >>> fit.ranef_sd("d")["(Intercept)"].round(3).head(2).tolist()
    [0.296, 0.198]
    """
    if not isinstance(factor, str) or factor not in result.ranef:
        raise DataError(f"no grouping factor '{factor}'; there are: {', '.join(result.ranef)}")
    modes = result.ranef[factor]
    if result.condvar is not None:
        values = np.sqrt(np.diagonal(result.condvar[factor], axis1=1, axis2=2))
    elif result.posterior is not None:
        draws = result.posterior["posterior"][f"b_{factor}"].transpose("chain", "draw", ...).to_numpy()
        values = draws.reshape(-1, *modes.shape).std(axis=0, ddof=1, dtype=float)  # the draws may be single
    elif factor in result.fits:
        return ranef_sd(result.fits[factor], factor)
    else:
        raise DataError(
            "this result has neither conditional covariances nor draws, so that the random coefficients' standard "
            "deviations are not known. Refined covariances have none: take those of estimate_coefficients at them; "
            "another result was saved without them: fit it again"
        )
    return pd.DataFrame(values, index=modes.index, columns=modes.columns)

"""The fit without random effects: a generalized linear model, from which the search for covariances starts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedfx.covariance.response import Evaluation, Response
from mixedfx.errors import DataError

Floats = NDArray[np.float64]

MAX_STEPS = 25
SETTLED = 1e-6
"""Squared Newton decrement at which a start is good enough."""


@dataclass(frozen=True, eq=False)
class FixedEffectsFit:
    """Fixed effects (p,), thresholds (m,), and the response's derivatives there."""

    beta: Floats
    alpha: Floats
    response: Evaluation


def fixed_effects_fit(
    X: Floats, offset: Floats, response: Response, settled: float = SETTLED
) -> FixedEffectsFit:
    """Newton's method with step halving, from beta as far as it makes up for the offset, and the thresholds of a model
    without predictors.

    A start has to be near, not exact: what has not settled after `MAX_STEPS`, as under complete separation, is taken
    as it is.

    Parameters
    ----------
    X
        Shape (N, p).
    offset
        Shape (N,).
    settled
        Squared Newton decrement at which it ends.

    Raises
    ------
    DataError
        The loss is not finite there.
    """
    p = X.shape[1]
    # An offset far from 0 makes every outcome certain, in the wrong direction: no place to take a step from.
    beta = -np.linalg.lstsq(X, offset, rcond=None)[0] if offset.any() else np.zeros(p)
    x = np.concatenate([beta, response.start_alpha(offset + X @ beta)])
    here = response.evaluate(offset + X @ beta, x[p:])
    if not np.isfinite(here.loss):
        raise DataError(
            f"the likelihood is not finite with an offset of up to {np.abs(offset).max():.3g}: it is added to the "
            "linear predictor, so that it must be on the link's scale, such as offset(log(exposure)) for counts"
        )
    for _ in range(MAX_STEPS):
        gradient = np.concatenate([X.T @ here.d1, here.alpha_slope])
        cross = here.border.transpose_times(X)
        upper = np.hstack([(X.T * here.d2) @ X, cross.T])
        hessian = np.vstack([upper, np.hstack([cross, here.border.hessian()])])
        step = -np.linalg.lstsq(hessian, gradient, rcond=None)[0]
        decrement2 = -float(gradient @ step)
        if decrement2 <= settled:
            break
        length = 1.0
        while True:
            trial = x + length * step
            loss = response.loss(offset + X @ trial[:p], trial[p:])
            if loss <= here.loss - 1e-4 * length * decrement2 or length < 1e-6:
                break
            length *= 0.5
        if not np.isfinite(loss):
            break
        x = trial
        here = response.evaluate(offset + X @ x[:p], x[p:])
    return FixedEffectsFit(x[:p], x[p:], here)

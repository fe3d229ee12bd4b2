"""Responses that fixed effects tell: refused, warned of, or the reason why a likelihood could not be computed."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mixedfx.covariance.fixed_effects_fit import FixedEffectsFit, fixed_effects_fit
from mixedfx.covariance.response import Border, Response
from mixedfx.covariance.stopped import why_of_columns
from mixedfx.design import Design
from mixedfx.errors import ConvergenceError, ConvergenceWarning, DataError, MixedfxError
from mixedfx.linalg.curvature import Curvature
from mixedfx.separation import separated, separation_reason

Floats = NDArray[np.float64]

SEPARATED = 1e-6
"""Loss a row below which the fixed effects tell every response."""


def check_separation(response: Response, without: FixedEffectsFit, X: Floats, names: Sequence[str]) -> None:
    """Raise `DataError` where the fixed effects alone (`without` random ones) tell every response without error."""
    if not len(names) or response.family.name == "poisson":
        return
    if without.response.loss < SEPARATED * float(response.weights.sum()):
        reach = np.abs(without.beta) * np.ptp(X, axis=0)
        raise DataError(
            "the fixed effects tell every response without error (complete separation; "
            f"'{names[int(np.argmax(reach))]}' most of all), "
            "so that their likelihood has no maximum; leave it out, or merge its categories"
        )


def warn_of_separation(
    X: Floats, response: Response, omega: NDArray, border: Border, names: Sequence[str]
) -> None:
    """Where some fixed effects tell the outcomes of some rows, and grew until that made no difference any more.

    `omega` and `border` are the rows' curvatures there.
    """
    apart = _separated(X, response, omega, border, names)
    if apart:
        warnings.warn(separation_reason(apart), ConvergenceWarning, stacklevel=5)


def explained(
    error: Exception, design: Design, response: Response, X: Floats, offset: Floats
) -> MixedfxError:
    """What to raise where no likelihood could be computed: as a rule fixed effects have no finite estimate.

    `response`, `X` and `offset` are in one order of the rows.
    """
    without = fixed_effects_fit(X, offset, response, settled=0.0).response
    apart = _separated(X, response, without.d2, without.border, design.predictors.fixed_names)
    if apart:
        return DataError(separation_reason(apart))
    if isinstance(error, MixedfxError):
        return error
    reason = why_of_columns(design) or "Scale the features, or use fewer"
    return ConvergenceError(f"the likelihood could not be computed ({error}). {reason}")


def _separated(
    X: Floats, response: Response, omega: NDArray, border: Border, names: Sequence[str]
) -> tuple[str, ...]:
    """Fixed effects without a finite estimate, where the rows have this curvature."""
    upper = border.upper if border.size else omega[:0]
    curvature = Curvature(omega, upper, border.category, border.gap)
    return separated(list(X.T), curvature, response.weights, names)

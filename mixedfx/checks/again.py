"""Stage 2's model estimated again for a check: from other rows, or at other covariances."""

from __future__ import annotations

import warnings

from mixedfx.coefficients.estimate import estimate_coefficients
from mixedfx.coefficients.result import CoefficientsResult
from mixedfx.errors import MixedfxError, MixedfxWarning
from mixedfx.varcorr import VarCorr


def estimated_again(coef: CoefficientsResult, data: object, varcorr: VarCorr) -> CoefficientsResult | None:
    """None where the data cannot be used, or the solver gives up; warnings are those that the stages have given."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MixedfxWarning)
            return estimate_coefficients(
                coef.formula,
                data,
                varcorr,
                family=coef.family,
                weights=coef.spec.weights_column,
                progress=False,
            )
    except MixedfxError:
        return None

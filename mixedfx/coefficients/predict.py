"""Predictions for new rows: point values, class labels and intervals."""

from __future__ import annotations

from numbers import Real

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from mixedfx.coefficients.component import Component, Mixture
from mixedfx.coefficients.dense_variance import dense_variance, has_dense_variance
from mixedfx.coefficients.sampled_variance import sampled_variance
from mixedfx.errors import DataError, SettingError
from mixedfx.families import Family
from mixedfx.formula.spec import DesignSpec
from mixedfx.linalg.operator import Parts
from mixedfx.predictors import Predictors
from mixedfx.row_chunks import row_chunks

Floats = NDArray[np.float64]

SOLVED = 256
"""Up to this number of rows, each row's standard error is solved for exactly. Beyond, they come from one dense matrix
where it can be had (`mixedfx.coefficients.dense_variance`), else in part from draws
(`mixedfx.coefficients.sampled_variance`)."""
ROWS_AT_ONCE = 16
PREDICTED_AT_ONCE = 2**20
"""Rows encoded together: enough that what is set up for each batch does not count."""


def predict_rows(spec: DesignSpec, mixture: Mixture, frame: pd.DataFrame, new_levels: str) -> Floats:
    """eta of the rows of ``spec.complete(data)``, shape (N,), encoded chunk by chunk: nothing else takes N numbers.

    Raises
    ------
    DataError
        See `check_levels`; or the rows cannot be encoded.
    """
    beta = mixture.beta()
    b = {name: mixture.b(name) for name in spec.factors}
    eta = np.empty(len(frame))
    for rows in row_chunks(len(frame), PREDICTED_AT_ONCE):
        predictors = spec.encode_complete(frame.iloc[rows])
        check_levels(spec, frame, predictors, new_levels)
        eta[rows] = predictors.eta(beta, b)
    return eta


def linear_predictor(mixture: Mixture, predictors: Predictors) -> Floats:
    """eta, shape (N,); levels that the fit did not have contribute their expectation, 0."""
    factors = [term.name for term in predictors.terms]
    return predictors.eta(mixture.beta(), {name: mixture.b(name) for name in factors})


def linear_predictor_variance(mixture: Mixture, predictors: Predictors) -> Floats:
    """Variance of eta given the data, shape (N,): of beta, of the levels' coefficients, and Sigma for new levels."""
    components = mixture.components
    if predictors.n_rows <= SOLVED:
        within = np.mean([_solved_variance(c, predictors) for c in components], axis=0)
    elif all(has_dense_variance(c.normal) for c in components):
        within = np.mean([dense_variance(c.normal, predictors) for c in components], axis=0)
    else:
        within = sampled_variance(components, predictors)
    between = np.var([predictors.eta(c.beta, dict(c.b)) for c in components], axis=0)
    return within + between + np.mean([_new_level_variance(c, predictors) for c in components], axis=0)


def check_new_levels(new_levels: str) -> None:
    """Raise `SettingError` unless `new_levels` is "population" or "error"."""
    if new_levels not in ("population", "error"):
        raise SettingError(f"new_levels must be 'population' or 'error', not {new_levels!r}")


def check_levels(spec: DesignSpec, frame: pd.DataFrame, predictors: Predictors, new_levels: str) -> None:
    """Refuse levels that the fit did not have, if that is asked for; `predictors` are of some rows of `frame`.

    Raises
    ------
    DataError
        `new_levels` is "error", and there are such levels.
    """
    if new_levels == "population":
        return
    for term in predictors.terms:
        if (term.grouping.codes < 0).any():
            unseen = spec.group(term.name).encode(frame) < 0
            labels = spec.row_levels(frame, term.name)[unseen].unique()
            some = ", ".join(map(str, labels[:5])) + (", ..." if len(labels) > 5 else "")
            raise DataError(
                f"factor '{term.name}' has {len(labels)} level(s) that the fit did not have: {some}; use "
                "new_levels='population' to predict them from the fixed effects, or fold_in() to estimate them"
            )


def with_interval(
    family: Family,
    auxiliary: object,
    eta: Floats,
    variance: Floats,
    level: float,
    scale: str,
    index: pd.Index,
) -> pd.DataFrame:
    """fit, lower, upper of the linear predictor or of the mean response."""
    if isinstance(level, bool) or not isinstance(level, Real) or not 0 < level < 1:
        raise SettingError(f"interval must be between 0 and 1, such as 0.9, not {level!r}")
    half = norm.ppf(0.5 + level / 2) * np.sqrt(variance)
    columns = {"fit": eta, "lower": eta - half, "upper": eta + half}
    if scale == "response":
        columns = {name: family.mean(values, auxiliary) for name, values in columns.items()}
    return pd.DataFrame(columns, index=index)


def _solved_variance(component: Component, predictors: Predictors) -> Floats:
    out = np.empty(predictors.n_rows)
    for first in range(0, predictors.n_rows, ROWS_AT_ONCE):
        rows = np.arange(first, min(first + ROWS_AT_ONCE, predictors.n_rows))
        out[rows] = component.normal.variances(_as_columns(component, predictors, rows))
    return out


def _as_columns(component: Component, predictors: Predictors, rows: NDArray[np.int64]) -> Parts:
    """The rows' design vectors d_r as columns over all coefficients."""
    layout = component.normal.elimination.operator.layout
    m = np.arange(len(rows))
    e = np.zeros((layout.n_levels, layout.q, len(rows)))
    rest = np.zeros((layout.n_rest, len(rows)))
    blocks = {block.name: block for block in layout.rest}
    for term in predictors.terms:
        known = term.grouping.codes[rows] >= 0
        codes, z = term.grouping.codes[rows][known], predictors.z(term)[rows][known]
        if term.name == layout.eliminated.name:
            e[codes, :, m[known]] = z
        else:
            block = blocks[term.name]
            at = block.start + codes[:, None] * block.q + np.arange(block.q)
            rest[at, m[known][:, None]] = z
    rest[layout.beta_start : layout.alpha_start] = predictors.X()[rows].T
    return Parts(e, rest)


def _new_level_variance(component: Component, predictors: Predictors) -> Floats:
    total = np.zeros(predictors.n_rows)
    for term, block in zip(predictors.terms, component.varcorr.align(predictors.terms).blocks, strict=True):
        z = predictors.z(term)
        total += np.where(term.grouping.codes < 0, np.einsum("ri,ij,rj->r", z, block.matrix, z), 0.0)
    return total

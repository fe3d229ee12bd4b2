"""Learn a `DesignSpec` from the data of a fit, and encode them on the way."""

from __future__ import annotations

import warnings

import pandas as pd

from mixedfx.errors import CollinearWarning
from mixedfx.formula.formula import Formula
from mixedfx.formula.groups import fit_group
from mixedfx.formula.levels import some
from mixedfx.formula.model_matrix import INTERCEPT, model_columns
from mixedfx.formula.numeric import fit_numeric
from mixedfx.formula.rank import independent_columns
from mixedfx.formula.response import Scale, fit_response
from mixedfx.formula.spec import DesignSpec
from mixedfx.formula.variables import fit_variables
from mixedfx.grouping import Grouping
from mixedfx.predictors import Predictors


def fit_spec(
    formula: Formula,
    frame: pd.DataFrame,
    *,
    family: str,
    scale: Scale,
    weights_column: str | None,
    weighted: bool,
) -> tuple[DesignSpec, Predictors]:
    """Learn how complete data are encoded, and encode them.

    Parameters
    ----------
    formula
        The formula, taken apart.
    frame
        Its columns, without missing values.
    family
        The family's name, kept in the specification.
    scale
        How the response is read. "ordinal" leaves the intercept to the thresholds.
    weights_column, weighted
        Kept in the specification.

    Raises
    ------
    DataError
        A column does not fit its use.

    Warns
    -----
    CollinearWarning
        Fixed effects that earlier ones determine are dropped.
    """
    response = fit_response(formula.response, frame, scale)
    variables, encoded = fit_variables(formula.variables, frame)
    offsets = tuple(fit_numeric(node, frame)[0] for node in formula.fixed.offsets)
    grouped = [fit_group(bar.group, frame) for bar in formula.bars]
    columns = model_columns(formula.fixed, encoded)
    kept = independent_columns(list(columns.values()), formula.fixed.intercept)
    dropped = [name for name, keep in zip(columns, kept, strict=True) if not keep]
    if dropped:
        warnings.warn(
            f"fixed effects determined by the others are dropped: {some(dropped)}",
            CollinearWarning,
            stacklevel=4,
        )
    names = [INTERCEPT] if formula.fixed.intercept and scale != "ordinal" else []
    names += [name for name, keep in zip(columns, kept, strict=True) if keep]
    spec = DesignSpec(
        formula,
        family,
        response,
        variables,
        offsets,
        tuple(levels for levels, _ in grouped),
        tuple(names),
        weights_column,
        weighted,
    )
    groupings = [Grouping(levels.name, codes, levels.levels) for levels, codes in grouped]
    return spec, spec.predictors(frame, encoded, columns, groupings)

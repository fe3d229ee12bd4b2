"""A model's data, encoded: response, weights and predictors, with the specification that made them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.arguments import check_choice
from mixedfx.constant_rows import is_constant, take_rows
from mixedfx.errors import CollinearWarning, DataError
from mixedfx.families import Family, get_family
from mixedfx.formula.factor_names import check_factor_names
from mixedfx.formula.fit import fit_spec
from mixedfx.formula.formula import parse_formula
from mixedfx.formula.levels import some
from mixedfx.formula.missing import complete_rows, missing_rows
from mixedfx.formula.rank import independent_columns
from mixedfx.formula.response import ResponseValues, Scale, encode_response
from mixedfx.formula.spec import DesignSpec
from mixedfx.formula.weights import check_weights, read_weights
from mixedfx.frames import read_columns
from mixedfx.predictors import CONSTANT, Predictors


@dataclass(frozen=True, eq=False)
class Design:
    """What both stages fit.

    Attributes
    ----------
    y
        Shape (N,): the response, float64; for families of classes their numbers, 0..M-1 for ordinal ones and 0/1 for
        bernoulli, as integers that are as small as they can be (int8).
    weights
        float64, shape (N,), positive: precision (gaussian), trials (binomial) or frequency (others). A view of one 1
        where none were given (`weighted`).
    predictors
        Features, fixed columns, random terms, offset.
    spec
        Encodes new data in the same way.
    """

    y: ResponseValues
    weights: NDArray[np.float64]
    predictors: Predictors
    spec: DesignSpec

    @property
    def n_rows(self) -> int:
        return len(self.y)

    @property
    def weighted(self) -> bool:
        """Whether weights were given; otherwise `weights` is a view of one 1."""
        return not is_constant(self.weights)

    @property
    def response_levels(self) -> pd.Index | None:
        """Labels of the response's categories, where it has categories."""
        return self.spec.response_levels

    def take(self, rows: NDArray[np.int64]) -> Design:
        """The design of some of the rows, encoded as all rows are: transforms and contrasts keep their meaning.

        Levels without rows are left out, and so are fixed effects that the others determine here.

        Parameters
        ----------
        rows
            Positions in this design.

        Raises
        ------
        DataError
            A random coefficient's feature is 0 in all these rows, a gaussian model has a level for each row, or the
            response says nothing here.

        Warns
        -----
        CollinearWarning
            Fixed effects were left out.
        """
        given = self.predictors
        features = given.features[rows]
        for term in given.terms:
            for name, column in zip(term.names, term.columns, strict=True):
                if column != CONSTANT and not features[:, column].any():
                    raise DataError(
                        f"the {len(rows)} rows drawn tell nothing of coefficient '{name}' of factor '{term.name}': its "
                        "feature is 0 in all of them; draw more rows"
                    )
        terms = tuple(replace(t, grouping=t.grouping.take(rows)) for t in given.terms)
        for term in terms:
            if get_family(self.spec.family).has_sigma and term.grouping.n_levels * term.q_related >= len(
                rows
            ):
                raise DataError(
                    f"the {len(rows)} rows drawn have {term.grouping.n_levels} levels of factor '{term.name}', whose "
                    "coefficients cannot be told from the residuals: draw more rows or levels"
                )
        y = self.y[rows]
        get_family(self.spec.family).check_response(y, self.spec.response_name)
        taken = replace(
            given, features=features, offset=take_rows(given.offset, rows), index=given.index[rows]
        )
        X = taken.columns(given.fixed_columns)
        kept = independent_columns(list(X.T), intercept=False)
        if not kept.all():
            names = [name for name, keep in zip(given.fixed_names, kept, strict=True) if not keep]
            warnings.warn(
                f"fixed effects left out of the subsample, whose other columns determine them: {some(names)}",
                CollinearWarning,
                stacklevel=3,
            )
        predictors = replace(
            taken,
            fixed_names=tuple(name for name, keep in zip(given.fixed_names, kept, strict=True) if keep),
            fixed_columns=given.fixed_columns[kept],
            terms=terms,
        )
        return Design(y, take_rows(self.weights, rows), predictors, self.spec)


def build_design(
    formula: str,
    data: object,
    *,
    family: str | Family = "gaussian",
    weights: object = None,
    na: Literal["drop", "raise"] = "drop",
) -> Design:
    """Encode data for a formula.

    Parameters
    ----------
    formula
        In the notation of R and lme4; see `mixedfx.formula.parse_formula`.
    data
        Anything `mixedfx.frames.read_columns` reads.
    family
        The response's distribution, which says how the response is read: numbers; 0/1, booleans or two
        levels, the second meaning success (bernoulli); ordered categories (families with thresholds).
    weights
        An array or Series with one weight a row, or a column's name; above 0.
    na
        What to do with rows that miss a value in a column used: "drop" them with a warning, or "raise" an
        error.

    Raises
    ------
    FormulaError
        The formula cannot be read, or a grouping factor has a name that the results use for something else.
    DataError
        The data do not fit the formula or the family: no rows, an unknown column, infinite values, a grouping
        factor with one level, a weight that is not above 0, ...
    SettingError
        An unknown family, or another `na`.

    Warns
    -----
    DroppedRowsWarning
        Rows were dropped: how many, and which columns miss values.
    CollinearWarning
        Fixed effects were dropped because the others determine them.

    Examples
    --------
    >>> d = pd.DataFrame({"y": [1.0, 2.0, 4.0], "x": [0.0, 1.0, 3.0], "g": [7, 7, 9]})
    >>> design = build_design("y ~ 1 + x + (1 | g)", d)
    >>> design.predictors.fixed_names, design.predictors.terms[0].grouping.levels.tolist()
    (('(Intercept)', 'x'), [7, 9])
    """
    check_choice("na", na, ("drop", "raise"))
    chosen = get_family(family)
    parsed = parse_formula(formula)
    check_factor_names(bar.group.name for bar in parsed.bars)
    scale: Scale = "binary" if chosen.name == "bernoulli" else "number"
    if chosen.has_thresholds:
        # The thresholds span the constant: factors are coded as beside an intercept, whatever the formula
        # says.
        scale = "ordinal"
        parsed = replace(parsed, fixed=replace(parsed.fixed, intercept=True))
    weights_column = weights if isinstance(weights, str) else None
    needed = (*parsed.response_columns, *parsed.columns, *((weights_column,) if weights_column else ()))
    frame = read_columns(data, needed)
    if len(frame) == 0:
        raise DataError("the data have no rows")
    row_weights = read_weights(weights, frame)
    frame, row_weights = _complete_rows(frame, row_weights, weights_column, na)
    check_weights(row_weights, weights)
    spec, predictors = fit_spec(
        parsed,
        frame,
        family=chosen.name,
        scale=scale,
        weights_column=weights_column,
        weighted=weights is not None,
    )
    y = encode_response(spec.response, frame, chosen)
    chosen.check_response(y, parsed.response_name)
    return Design(y, row_weights, predictors, spec)


def _complete_rows(
    frame: pd.DataFrame, weights: NDArray[np.float64], weights_column: str | None, na: str
) -> tuple[pd.DataFrame, NDArray[np.float64]]:
    """The rows without missing values; see `build_design`."""
    mask, counts = missing_rows(frame)
    if weights_column is None and not is_constant(weights):
        unweighted = np.isnan(weights)
        if unweighted.any():
            counts["weights"] = int(unweighted.sum())
            mask |= unweighted
    if not counts:
        return frame, weights
    kept = complete_rows(mask, counts, na, stacklevel=3)
    return frame.iloc[kept], take_rows(weights, kept)

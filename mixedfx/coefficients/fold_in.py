"""Coefficients of new levels from a few rows, everything else as estimated: nothing is refitted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.coefficients.component import Mixture
from mixedfx.coefficients.newton_cg import newton_cg
from mixedfx.coefficients.predict import linear_predictor
from mixedfx.coefficients.problem import Problem
from mixedfx.design import Design
from mixedfx.errors import DataError, SettingError
from mixedfx.families import Family
from mixedfx.formula.spec import DesignSpec
from mixedfx.grouping import Grouping
from mixedfx.predictors import Predictors, RandomTerm
from mixedfx.progress import reporter
from mixedfx.varcorr import VarCorr

Floats = NDArray[np.float64]


def fold_in(
    spec: DesignSpec,
    family: Family,
    mixture: Mixture,
    new_rows: object,
    tol: float,
    weights: object = None,
) -> dict[str, pd.DataFrame]:
    """Conditional modes of the levels in `new_rows` that the fit did not have, given all other coefficients.

    Raises
    ------
    DataError
        Every level was there already.
    SettingError
        The weights of the fit were an array, and none are given for the new rows.
    """
    if weights is None and spec.weighted and spec.weights_column is None:
        raise SettingError(
            "the weights of the fit were given as an array, so those of the new rows are not known; pass "
            "fold_in(..., weights=) with one weight a row"
        )
    predictors = spec.encode(new_rows)
    y, weights = spec.encode_response(new_rows, weights)
    family.check_values(y, spec.response_name)
    new = _new_levels(spec, new_rows, predictors)
    if new is None:
        raise DataError(
            "fold_in() found no new level: the fit has all of them already; to use more rows of known levels, "
            "estimate again with start= the present fit"
        )
    known = linear_predictor(mixture, predictors)
    new = replace(new, offset=known)
    modes: list[dict[str, Floats]] = []
    for component in mixture.components:
        blocks = tuple(component.varcorr.block(term.name) for term in new.terms)
        varcorr = VarCorr(blocks, component.varcorr.sigma2)
        thresholds = component.alpha if family.has_thresholds else None
        problem = Problem.of(Design(y, weights, new, spec), family, varcorr, thresholds)
        with reporter(None) as report:
            modes.append(problem.b(newton_cg(problem, tol=tol, report=report).projection.point))
    return {
        term.name: pd.DataFrame(
            np.mean([mode[term.name] for mode in modes], axis=0),
            index=term.grouping.levels.rename(term.name),
            columns=list(term.names),
        )
        for term in new.terms
    }


def _new_levels(spec: DesignSpec, data: object, predictors: Predictors) -> Predictors | None:
    """Predictors of the new levels' coefficients alone, without fixed effects; None where no level is new.

    A row of a known level of some factor has nothing to add for that factor: its features are 0 there.
    """
    features: list[Floats] = []
    terms: list[RandomTerm] = []
    for term in predictors.terms:
        unseen = term.grouping.codes < 0
        if not unseen.any():
            continue
        labels = spec.row_levels(data, term.name)
        levels = labels[unseen].unique()
        codes = np.where(unseen, levels.get_indexer(labels), 0).astype(np.int32)
        first = sum(f.shape[1] for f in features)
        features.append(predictors.z(term) * unseen[:, None])
        columns = np.arange(first, first + term.q, dtype=np.int32)
        terms.append(RandomTerm(Grouping(term.name, codes, levels), term.names, columns, term.free))
    if not terms:
        return None
    return Predictors(
        features=np.hstack(features),
        fixed_names=(),
        fixed_columns=np.zeros(0, dtype=np.int32),
        terms=tuple(terms),
        offset=predictors.offset,
        index=predictors.index,
    )

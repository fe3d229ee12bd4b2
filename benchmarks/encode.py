"""From mixedfx's design to plain arrays: mixedfx reads the formula, and nothing after that depends on it."""

from __future__ import annotations

from benchmarks.encoded import Encoded, Term
from benchmarks.problem import Problem
from mixedfx.covariance.generalized import threshold_names
from mixedfx.design import Design
from mixedfx.varcorr import VarCorr


def encode(problem: Problem, design: Design) -> Encoded:
    """The design as plain arrays, with the covariances of a "coefficients" problem."""
    predictors = design.predictors
    given: VarCorr | None = None
    if problem.task == "coefficients":
        given = VarCorr.from_frame(problem.varcorr_frame()).align(predictors.terms)
    terms = tuple(
        Term(
            term.name,
            term.names,
            term.grouping.levels.astype(str).to_numpy(dtype=str),
            term.grouping.codes,
            term.columns,
            term.free,
            None if given is None else given.block(term.name).matrix,
        )
        for term in predictors.terms
    )
    return Encoded(
        design.y,
        predictors.features,
        predictors.fixed_names,
        predictors.fixed_columns,
        tuple(threshold_names(design)),
        terms,
        None if given is None else given.sigma2,
    )

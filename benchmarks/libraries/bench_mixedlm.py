"""mixedlm, a Rust port of lme4: REML, Laplace, and coefficients at given covariances by its modular functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import mixedlm
import numpy as np
import pandas as pd
from mixedlm.families import Binomial
from numpy.typing import NDArray

from benchmarks.answer import coefficient_table, covariance_table
from benchmarks.case import Case


@dataclass(frozen=True, eq=False)
class Prepared:
    """The data, with a numeric response, and the given covariances as theta (empty where there are none)."""

    data: pd.DataFrame
    theta: NDArray[np.float64]


def version() -> str:
    return mixedlm.__version__


def refusal(case: Case) -> str | None:
    if case.model.family not in ("gaussian", "bernoulli"):
        return f"it has no family for {case.model.family} responses"
    if case.model.task == "coefficients" and not all(term.free.all() for term in case.encoded.terms):
        return "the adapter gives covariances of full blocks only"
    return None


def prepare(case: Case) -> Prepared:
    response = case.model.formula.partition("~")[0].strip()
    data = case.data.assign(**{response: case.encoded.y})
    if case.model.task == "covariance":
        return Prepared(data, np.zeros(0))
    sigma = np.sqrt(case.encoded.sigma2 or 1.0)
    blocks = [term.cholesky[np.tril_indices(term.q)] / sigma for term in case.encoded.terms]
    return Prepared(data, np.concatenate(blocks))


def fit(case: Case, prepared: Prepared) -> Any:
    formula, data = case.model.formula, prepared.data
    if case.model.task == "covariance":
        if case.model.family == "gaussian":
            return mixedlm.lmer(formula, data, REML=True)
        return mixedlm.glmer(formula, data, family=Binomial())
    found = mixedlm.OptimizeResult(
        prepared.theta, deviance=np.nan, converged=True, n_iter=0, message="given", nAGQ=0
    )
    if case.model.family == "gaussian":
        function = mixedlm.mkLmerDevfun(mixedlm.lFormula(formula, data))
        result = mixedlm.mkLmerMod(function, found)
    else:
        parsed = mixedlm.glFormula(formula, data, family=Binomial())
        result = mixedlm.mkGlmerMod(mixedlm.mkGlmerDevfun(parsed, nAGQ=0), found)
    return result, mixedlm.fixef(result), mixedlm.ranef(result)


def answer(case: Case, prepared: Prepared, result: Any) -> tuple[pd.DataFrame, dict[str, Any]]:  # noqa: ARG001
    # It names coefficients in its own way ("service.1"), but has them in R's order.
    encoded = case.encoded
    names = {term.name: term.coefficients for term in encoded.terms}
    if case.model.task == "covariance":
        covariances = result.VarCorr()
        matrices = {factor: (names[factor], covariances.get_cov(factor)) for factor in names}
        converged = {"converged": bool(result.converged)}
        if case.model.family != "gaussian":
            return covariance_table(matrices, None), converged
        details = converged | {"evaluations": float(result.function_evals)}
        return covariance_table(matrices, float(result.sigma) ** 2), details
    fitted, fixef, ranef = result
    tables = {}
    for structure in fitted.matrices.random_structures:
        factor, levels = structure.grouping_factor, sorted(structure.level_map, key=structure.level_map.get)
        values = np.column_stack([np.asarray(column) for column in ranef[factor].values()])
        tables[factor] = (names[factor], levels, values)
    beta = dict(zip(encoded.fixed_names, map(float, fixef.values()), strict=True))
    return coefficient_table(beta, tables), {"converged": bool(fitted.converged)}

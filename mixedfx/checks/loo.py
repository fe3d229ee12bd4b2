"""PSIS-LOO of stage 1's posterior: how well it would predict one of its rows from the others.

Vehtari, Gelman & Gabry (2017), Statistics and Computing 27; Vehtari, Simpson, Gelman, Yao & Gabry (2024), JMLR 25.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mixedfx.checks.finding import Finding
from mixedfx.checks.stage_one import fitted_rows
from mixedfx.families import Family, get_family

if TYPE_CHECKING:
    from xarray import Dataset

    from mixedfx.checks.stage_one import StageOne
    from mixedfx.coefficients.result import CoefficientsResult
    from mixedfx.predictors import Predictors

Floats = NDArray[np.float64]

PART = "leave-one-out"
ROWS = 1000
"""Of more rows a random sample is looked at."""
DRAWS = 1000
"""Of more draws each chain's are thinned to so many in all."""
HIGH_K = 0.7
"""Beyond this Pareto k the estimate for a row is not reliable."""


@dataclass(frozen=True)
class LeaveOneOut:
    """PSIS-LOO of one fit of stage 1.

    Attributes
    ----------
    log_score, error
        Mean over rows of the log density of a row given the others, and its standard error.
    parameters
        Effective number of parameters a row.
    high_k
        Share of rows whose Pareto k is above 0.7.
    n_rows
        Rows looked at.
    """

    log_score: float
    error: float
    parameters: float
    high_k: float
    n_rows: int


def leave_one_out(first: StageOne, coef: CoefficientsResult, data: object) -> LeaveOneOut | None:
    """PSIS-LOO on rows of a fit; None where it has no posterior, or its rows are not known."""
    result, spec = first.result, coef.spec
    if result.posterior is None or first.normal is None:
        return None
    draws = _thinned(result.posterior["posterior"].to_dataset())
    if any(f"b_{factor}" not in draws for factor in spec.factors):
        return None
    rows = np.arange(coef.n_rows) if result.rows is None else result.rows
    if len(rows) > ROWS:
        rows = np.sort(np.random.default_rng(0).choice(rows, ROWS, replace=False))
    frame = fitted_rows(coef, data, rows)
    if frame is None:
        return None
    y, weights = spec.encode_response(frame)
    logs = _log_likelihood(spec.encode(frame), draws, get_family(coef.family), y, weights)
    from arviz_stats.base.array import array_stats

    elpd, k, p = (
        np.asarray(values, dtype=float) for values in array_stats.loo(logs, chain_axis=0, draw_axis=1)
    )
    error = float(elpd.std(ddof=1) / np.sqrt(len(elpd)))
    return LeaveOneOut(float(elpd.mean()), error, float(p.mean()), float(np.mean(k > HIGH_K)), len(elpd))


def check_leave_one_out(found: LeaveOneOut | None) -> list[Finding]:
    """A number to compare models by; it has no limit."""
    if found is None:
        return []
    says = f"PSIS-LOO of stage 1: log score {found.log_score:.3f}, {found.parameters:.2g} effective parameters a row"
    if found.high_k > 0:
        says += f"; not reliable for {found.high_k:.1%} of {found.n_rows:,} rows (Pareto k above {HIGH_K:g})"
    return [
        Finding(
            PART, "stage 1", "log score of a row given the others", "info", says, found.log_score, found.error
        )
    ]


def _thinned(draws: Dataset) -> Dataset:
    step = max(1, -(-draws.sizes["chain"] * draws.sizes["draw"] // DRAWS))
    return draws.isel(draw=slice(None, None, step))


def _log_likelihood(
    predictors: Predictors, draws: Dataset, family: Family, y: Floats, weights: Floats
) -> Floats:
    """Log density of each row under each draw, shape (chains, draws, N)."""
    shape = (draws.sizes["chain"], draws.sizes["draw"], predictors.n_rows)
    eta = np.broadcast_to(predictors.offset, shape).copy()
    if "beta" in draws:
        names = list(predictors.fixed_names)
        beta = draws["beta"].transpose("chain", "draw", "coef")
        at = [names.index(str(name)) for name in beta["coef"].to_numpy()]
        eta += beta.to_numpy() @ predictors.X()[:, at].T
    for term in predictors.terms:
        values = draws[f"b_{term.name}"].transpose("chain", "draw", term.name, f"{term.name}_coef")
        values = values.sel({f"{term.name}_coef": list(term.names)})
        place = values.indexes[term.name].get_indexer(term.grouping.levels)[term.grouping.codes]
        eta += np.einsum("cdrq,rq->cdr", values.to_numpy()[:, :, place], predictors.z(term))
    if not family.has_sigma:
        return -weights * family.loss(y, eta) + family.log_constant(y, weights) / len(y)
    sigma = draws["sigma"].transpose("chain", "draw").to_numpy()[:, :, None]
    z = (y - eta) * np.sqrt(weights) / sigma
    return -0.5 * z**2 - np.log(sigma) + 0.5 * np.log(weights / (2 * np.pi))

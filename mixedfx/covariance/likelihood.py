"""Stage 1 by likelihood: REML and ML for gaussian models with the exact engine."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.covariance.average_information import Optimum, maximise
from mixedfx.covariance.determined import check_features, check_fixed_effects, refusing_zero
from mixedfx.covariance.fingerprints import fingerprints
from mixedfx.covariance.gaussian import GaussianPoint, GaussianProblem
from mixedfx.covariance.inverse_information import inverse_information, standard_errors
from mixedfx.covariance.likelihood_point import LikelihoodPoint
from mixedfx.covariance.moments import equal_shares, rough_estimates
from mixedfx.covariance.optimum_stats import QUARTILES, optimum_stats, scaled_eigenvalues
from mixedfx.covariance.parameters import ParameterSpace
from mixedfx.covariance.result import CovarianceResult
from mixedfx.covariance.satterthwaite import covariance_spread, is_cheap
from mixedfx.covariance.semidefinite import undetermined
from mixedfx.covariance.stopped import why_stopped
from mixedfx.design import Design
from mixedfx.errors import ConvergenceWarning, DataError
from mixedfx.linalg.blas import one_blas
from mixedfx.predictors import RandomTerm
from mixedfx.varcorr import VarCorr

Floats = NDArray[np.float64]

FEW_ROWS = 500
"""Up to so many rows a second start is tried, because it takes no time."""
SAME = 1e-6
"""Difference of log-likelihoods that makes no difference."""


@one_blas()
def fit_gaussian(
    design: Design, *, reml: bool, start: VarCorr | None = None, satterthwaite: bool | None = None
) -> CovarianceResult:
    """REML or ML estimates, as lme4's ``lmer(..., REML = reml)``.

    Parameters
    ----------
    design
        A gaussian model.
    reml
        Restricted likelihood, or the full one.
    start
        Covariances to start from; by default a moment guess.
    satterthwaite
        Whether to compute what degrees of freedom need; None: where that is cheap.

    Raises
    ------
    DataError
        There are at least as many coefficients per factor as observations, so that sigma is not identified; or
        the effects reproduce the response exactly.
    """
    began = time.perf_counter()
    optimum = gaussian_optimum(design, reml=reml, start=start)
    wanted = is_cheap(optimum.at) if satterthwaite is None else satterthwaite
    wanted = wanted and optimum.converged and optimum.at.problem.layout.p > 0
    spread = covariance_spread(optimum.at, optimum.information) if wanted else None
    return _result(design, optimum, spread, time.perf_counter() - began)


def gaussian_optimum(design: Design, *, reml: bool, start: VarCorr | None = None) -> Optimum[GaussianPoint]:
    """The maximum that `fit_gaussian` reports, without standard errors."""
    _check_identified(design)
    problem = GaussianProblem.of(design, reml=reml)
    left = float(problem.weights @ problem.y**2)
    check_fixed_effects(design, left)
    refuse = refusing_zero(design, left)
    if start is not None:
        return maximise(problem.at(problem.space.from_varcorr(start)), problem.space, refuse=refuse)
    starts = [rough_estimates(problem)]
    if design.n_rows <= FEW_ROWS:  # whose likelihood can have several maxima
        starts.append(equal_shares(problem))
    if not all(term.free.all() for term in design.predictors.terms):
        related = rough_estimates(problem, related=True)
        if problem.at(related).loglik > problem.at(starts[0]).loglik:
            starts.append(related)
    optima, refusals = [], []
    for first in starts:
        try:
            optima.append(maximise(problem.at(first), problem.space, refuse=refuse))
        except DataError as error:
            refusals.append(error)
    if not optima:
        raise refusals[0]
    best = max(optimum.at.loglik for optimum in optima)
    near = [optimum for optimum in optima if optimum.at.loglik >= best - SAME]
    return max(near, key=lambda optimum: (optimum.converged, optimum.at.loglik))


def _check_identified(design: Design) -> None:
    for term in design.predictors.terms:
        check_features(design, term)
        # As lme4 counts them: coefficients without covariances are as if of several factors.
        coefficients = term.grouping.n_levels * term.q_related
        if coefficients >= design.n_rows:
            raise DataError(
                f"factor '{term.name}' has {coefficients} coefficients ({term.grouping.n_levels} levels x "
                f"{term.q_related}) for {design.n_rows} observations, so they cannot be told from the residuals; "
                + (
                    "use fewer slopes, or another grouping factor"
                    if term.q_related > 1
                    else "take its bar term out"
                )
            )


def _result(
    design: Design, optimum: Optimum[GaussianPoint], spread: Floats | None, seconds: float
) -> CovarianceResult:
    at, problem = optimum.at, optimum.at.problem
    space = problem.space
    varcorr = space.varcorr(space.point(optimum.phi), has_sigma=True)
    if not optimum.converged:
        variance = float(np.var(design.y - design.predictors.offset))
        why = why_stopped(
            design,
            at.point.matrices,
            optimum.predicted_gain,
            to_explain=variance,
            sigma2=at.point.sigma2,
        )
        warnings.warn(why, ConvergenceWarning, stacklevel=4)
        varcorr = replace(varcorr, freezable=False, why=why)
    names = list(design.predictors.fixed_names)
    fixef_covariance = at.beta_covariance()
    _warn_of_unknown(space, undetermined(space, optimum.phi, optimum.gradient, optimum.information))
    covariance = entry_covariance(optimum, space)
    return CovarianceResult(
        formula=design.spec.formula,
        family="gaussian",
        method="reml" if problem.reml else "ml",
        varcorr=varcorr,
        fixef=pd.Series(at.beta, index=names, name="fixef"),
        fixef_se=pd.Series(np.sqrt(np.diag(fixef_covariance)), index=names, name="fixef_se"),
        ranef=ranef_frames(space.terms, at.b),
        condvar=at.condvar(),
        standard_errors=standard_error_table(varcorr, covariance),
        varcorr_covariance=covariance,
        loglik=at.loglik,
        converged=optimum.converged,
        boundary=boundary_names(varcorr),
        stats={
            **optimum_stats(optimum, space, with_sigma=True),
            **scaled_eigenvalues(optimum, space, with_sigma=True),
            "scaled_residuals": np.quantile(at.scaled_residuals, QUARTILES),
            **fingerprints(design),
            "seconds": seconds,
        },
        n_rows=design.n_rows,
        n_levels={t.name: t.grouping.n_levels for t in space.terms},
        fixef_covariance=pd.DataFrame(fixef_covariance, names, names),
        fixef_covariance_spread=spread,
    )


def _warn_of_unknown(space: ParameterSpace, unknown: NDArray[np.bool_]) -> None:
    names = [
        f"'{space.terms[e.term].names[e.i]}' of factor '{space.terms[e.term].name}'"
        for e, flag in zip(space.entries, unknown, strict=False)
        if flag and e.i == e.j
    ]
    if names:
        warnings.warn(
            f"the data say nothing of the variance of {', '.join(names)}, and what it was at the start is shown: fixed "
            "effects tell these levels apart. Take one of the two out of the formula",
            ConvergenceWarning,
            stacklevel=5,
        )


def ranef_frames(terms: tuple[RandomTerm, ...], b: Mapping[str, Floats]) -> dict[str, pd.DataFrame]:
    """Conditional modes (J, q) as labelled frames."""
    return {
        t.name: pd.DataFrame(b[t.name], index=t.grouping.levels.rename(t.name), columns=list(t.names))
        for t in terms
    }


def standard_error_table(varcorr: VarCorr, covariance: Floats) -> pd.DataFrame:
    """The frame of `varcorr` with the standard errors ``se`` that the entries' sampling covariance, (n, n), has."""
    return varcorr.to_frame().assign(se=standard_errors(covariance))


def entry_covariance[P: LikelihoodPoint](optimum: Optimum[P], space: ParameterSpace) -> Floats:
    """Sampling covariance of the entries, shape (n, n), from the average information.

    NaN for entries of a singular block, and for those of which the data, to working precision, say nothing.
    """
    own = slice(space.size)
    phi, information = optimum.phi[own], optimum.information[own, own]
    point = space.point(phi)
    singular = [
        bool(np.linalg.matrix_rank(S, tol=1e-10 * max(np.trace(S), np.finfo(float).tiny)) < len(S))
        for S in point.matrices
    ]
    inside = np.array([not singular[e.term] for e in space.entries] + [True])
    inside &= ~undetermined(space, phi, optimum.gradient[own], information)
    covariance = np.full((space.size, space.size), np.nan)
    covariance[np.ix_(inside, inside)] = inverse_information(information[np.ix_(inside, inside)])
    return covariance


def boundary_names(varcorr: VarCorr) -> tuple[str, ...]:
    """Parameters at a boundary: ``"user (Intercept)"`` for a variance of 0, ``"user (Intercept),x"`` for a correlation
    of +-1, ``"user"`` for a larger block that is singular otherwise."""
    names: list[str] = []
    for block in varcorr.blocks:
        sd = np.sqrt(np.diag(block.matrix))
        zero = [f"{block.factor} {name}" for name, s in zip(block.names, sd, strict=True) if s == 0]
        names += zero
        kept = sd > 0
        correlation = block.matrix[np.ix_(kept, kept)] / np.outer(sd[kept], sd[kept])
        if not kept.any() or np.linalg.eigvalsh(correlation)[0] > 1e-8:
            continue
        labels = [name for name, k in zip(block.names, kept, strict=True) if k]
        pairs = np.argwhere(np.triu(np.abs(correlation) > 1 - 1e-8, 1))
        names += [f"{block.factor} {labels[i]},{labels[j]}" for i, j in pairs] or [block.factor]
    return tuple(names)

"""Stage 1 by likelihood for families other than the gaussian: Laplace's approximation, as glmer and clmm."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.covariance.average_information import MEMORY, Optimum, maximise
from mixedfx.covariance.determined import check_features
from mixedfx.covariance.fingerprints import fingerprints
from mixedfx.covariance.fixed_effects_fit import FixedEffectsFit, fixed_effects_fit
from mixedfx.covariance.inverse_information import standard_errors
from mixedfx.covariance.joint_hessian import JointCovariance, joint_covariance
from mixedfx.covariance.laplace import LaplacePoint, LaplaceProblem
from mixedfx.covariance.likelihood import boundary_names, ranef_frames, standard_error_table
from mixedfx.covariance.optimum_stats import QUARTILES, optimum_stats
from mixedfx.covariance.parameters import Covariances
from mixedfx.covariance.quadrature import QuadraturePoint, check_quadrature
from mixedfx.covariance.result import CovarianceResult
from mixedfx.covariance.separable import check_separation, explained, warn_of_separation
from mixedfx.covariance.stopped import why_stopped, why_without_bound
from mixedfx.design import Design
from mixedfx.errors import ConvergenceError, ConvergenceWarning
from mixedfx.families import Family, get_family
from mixedfx.linalg.blas import one_blas
from mixedfx.varcorr import VarCorr

Floats = NDArray[np.float64]

SMALLEST_START, LARGEST_START = 0.02, 4.0
"""Bounds of the variance of eta that one coefficient's starting variance makes."""
RELATED = 4.0
"""Ratio of two guesses of a variance from which on both are tried, where coefficients have no covariances."""
LEAST_OWN = 1e-6
"""Part of a column's mean square that is taken for its own, however near it is to others."""
LARGEST_LINK = 1.0
"""Variance of a linear predictor that is not small: 1,000 times as much is beyond probabilities of 1e-13."""


@one_blas()
def fit_laplace(
    design: Design, family: Family, *, nagq: int = 1, start: VarCorr | None = None
) -> CovarianceResult:
    """Maximum likelihood estimates, the integrals over the random effects approximated.

    Parameters
    ----------
    design, family
        A bernoulli, binomial, Poisson or cumulative model.
    nagq
        1: Laplace's approximation, at the mode given (Sigma, beta, thresholds). 0: beta and thresholds at their joint
        mode with the random effects. More: adaptive Gauss-Hermite quadrature with so many points.
    start
        Covariances to start from; by default a moment guess.

    Raises
    ------
    SettingError
        `nagq` above 1 and more than a single scalar random term.
    DataError
        The fixed effects tell every response without error.
    """
    began = time.perf_counter()
    optimum = laplace_optimum(design, family, nagq=nagq, start=start)
    covariance = joint_covariance(optimum.at, laplace_point(optimum.at).problem.space)
    if not nagq:
        covariance = replace(covariance, fixed=laplace_point(optimum.at).fixed_covariance())
    return _result(design, optimum, covariance, nagq, began)


type GeneralizedPoint = LaplacePoint | QuadraturePoint


def laplace_optimum(
    design: Design,
    family: Family,
    *,
    nagq: int = 1,
    start: VarCorr | None = None,
    fixed_start: tuple[Floats, Floats] | None = None,
) -> Optimum[LaplacePoint] | Optimum[QuadraturePoint]:
    """The maximum that `fit_laplace` reports, without standard errors; `fixed_start` is (beta, thresholds)."""
    for term in design.predictors.terms:
        check_features(design, term)
    if nagq > 1:
        check_quadrature(design.predictors.terms, nagq)
    problem = LaplaceProblem.of(design, family, profiled=nagq == 0)
    names = design.predictors.fixed_names
    try:
        starts = _starts(problem, start, fixed_start, names)
        laplace = max((_maximise(begin, problem) for begin in starts), key=lambda optimum: optimum.at.loglik)
    except (ConvergenceError, np.linalg.LinAlgError) as error:
        raise explained(error, design, problem.response, problem.rows.X, problem.rows.offset) from error
    return _maximise(partial(QuadraturePoint, laplace.at, nagq), problem) if nagq > 1 else laplace


def laplace_point(at: GeneralizedPoint) -> LaplacePoint:
    """The point itself, or the one that its quadrature rests on."""
    return at.laplace if isinstance(at, QuadraturePoint) else at


def _maximise[P: (LaplacePoint, QuadraturePoint)](
    begin: Callable[[], P], problem: LaplaceProblem
) -> Optimum[P]:
    # A start that had a name here would be kept, and with it a matrix over the rest.
    return maximise(begin(), problem.space, with_sigma=False, memory=MEMORY, tol=1e-11)


def _starts(
    problem: LaplaceProblem,
    given: VarCorr | None,
    fixed: tuple[Floats, Floats] | None,
    names: Sequence[str],
) -> Iterator[Callable[[], LaplacePoint]]:
    """Where to begin: most often one place."""
    without = fixed_effects_fit(problem.rows.X, problem.rows.offset, problem.response)
    check_separation(problem.response, without, problem.rows.X, names)
    beta, alpha = (without.beta, without.alpha) if fixed is None else fixed
    if given is not None:
        point = Covariances(problem.space.from_varcorr(given).matrices, 1.0)
        yield partial(problem.at, point, beta, alpha)
        return
    point = moment_guess(problem, without)
    yield partial(problem.at, point, beta, alpha)
    apart = moment_guess(problem, without, related=True)
    for term, S, other in zip(problem.space.terms, point.matrices, apart.matrices, strict=True):
        if not term.free.all() and (np.diag(other) > RELATED * np.diag(S)).any():
            yield partial(problem.at, apart, beta, alpha)
            return


def moment_guess(problem: LaplaceProblem, without: FixedEffectsFit, *, related: bool = False) -> Covariances:
    """Diagonal covariances by the method of moments, from the fit without random effects.

    A level's score g = -sum z w l' has variance D = sum z^2 w l'' there, and about tau^2 D^2 more where its coefficient
    has variance tau^2: sums over the levels are solved for tau^2, one coefficient at a time. `related`: each
    so large that what the factor's other coefficients cannot make up for is large, because all may cancel out.
    """
    d1, omega = without.response.d1, without.response.d2
    blocks = problem.rows.operator.diagonal_blocks(omega)
    by_factor = {problem.layout.eliminated.name: blocks.e}
    by_factor |= {b.name: values for b, values in zip(problem.layout.rest, blocks.rest, strict=True)}
    scores = problem.by_factor(problem.rows.random.transpose_times(d1))
    total, tiny = float(omega.sum()), np.finfo(float).tiny
    matrices = []
    for term in problem.space.terms:
        g, D = scores[term.name], np.diagonal(by_factor[term.name], axis1=1, axis2=2)
        size = np.maximum(D.sum(axis=0) / total, tiny)
        moment = ((g**2).sum(axis=0) - D.sum(axis=0)) / np.maximum((D**2).sum(axis=0), tiny)
        share = np.clip(moment * size / term.q, SMALLEST_START, LARGEST_START)
        if related:
            share = LARGEST_START
            products = by_factor[term.name].sum(axis=0) / total + np.diag(LEAST_OWN * size)
            size = 1.0 / np.diag(np.linalg.inv(products))
        matrices.append(np.diag(share / size))
    return Covariances(tuple(matrices), 1.0)


def _result(
    design: Design,
    optimum: Optimum[LaplacePoint] | Optimum[QuadraturePoint],
    covariance: JointCovariance,
    nagq: int,
    began: float,
) -> CovarianceResult:
    at = laplace_point(optimum.at)
    problem, space = at.problem, at.problem.space
    varcorr = space.varcorr(at.point, has_sigma=False)
    # Laplace's approximation can have a maximum where the likelihood itself rises for ever.
    why = why_without_bound(design, at.point.matrices, LARGEST_LINK)
    if not optimum.converged:
        why = why_stopped(design, at.point.matrices, optimum.predicted_gain, to_explain=LARGEST_LINK)
    if why:
        warnings.warn(why, ConvergenceWarning, stacklevel=4)
        varcorr = replace(varcorr, freezable=False, why=why)
    names, edges = list(design.predictors.fixed_names), threshold_names(design)
    rows, there = at.problem.rows, at.mode.response
    warn_of_separation(rows.X, problem.response, there.d2, there.border, names)
    errors = standard_errors(covariance.fixed)
    return CovarianceResult(
        formula=design.spec.formula,
        family=problem.response.family.name,
        method="ml",
        varcorr=varcorr,
        fixef=pd.Series(at.beta, index=names, name="fixef"),
        fixef_se=pd.Series(errors[: len(names)], index=names, name="fixef_se"),
        thresholds=pd.Series(at.alpha, index=edges, name="thresholds") if len(at.alpha) else None,
        thresholds_se=pd.Series(errors[len(names) :], index=edges, name="se") if len(at.alpha) else None,
        ranef=ranef_frames(space.terms, at.b),
        condvar=at.condvar,
        standard_errors=standard_error_table(varcorr, covariance.entries),
        varcorr_covariance=covariance.entries,
        loglik=optimum.at.loglik,
        converged=optimum.converged,
        boundary=boundary_names(varcorr),
        stats={
            **optimum_stats(optimum, space, with_sigma=False),
            "smallest_eigenvalue": covariance.smallest_eigenvalue,
            "largest_eigenvalue": covariance.largest_eigenvalue,
            **_scaled_residuals(at),
            **fingerprints(design),
            "nagq": nagq,
            "seconds": time.perf_counter() - began,
        },
        n_rows=design.n_rows,
        n_levels={t.name: t.grouping.n_levels for t in space.terms},
        fixef_covariance=pd.DataFrame(covariance.fixed[: len(names), : len(names)], names, names),
    )


def _scaled_residuals(at: LaplacePoint) -> dict[str, Floats]:
    """Quartiles of the Pearson residuals, which ordered categories do not have.

    With the families' canonical links l' = -(y - mu) and l'' is the variance of y.
    """
    if len(at.alpha):
        return {}
    response = at.mode.response
    root = np.sqrt(np.maximum(response.d2, np.finfo(float).tiny))
    return {"scaled_residuals": np.quantile(-response.d1 / root, QUARTILES)}


def threshold_names(design: Design) -> list[str]:
    """Names of the thresholds between the response's categories, none for other responses."""
    levels = design.response_levels
    if levels is None or not get_family(design.spec.family).has_thresholds:
        return []
    return [f"{low}|{high}" for low, high in pairwise(levels)]

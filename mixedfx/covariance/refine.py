"""`refine_covariance`: the covariances' maximum of the likelihood of all rows, from covariances that were frozen."""

from __future__ import annotations

import math
import time
import warnings
from dataclasses import replace
from numbers import Real
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.arguments import check_whole_number
from mixedfx.covariance.determined import check_features, check_fixed_effects, refusing_zero
from mixedfx.covariance.fixed_effects_fit import fixed_effects_fit
from mixedfx.covariance.generalized import LARGEST_LINK, threshold_names
from mixedfx.covariance.inverse_information import standard_errors
from mixedfx.covariance.joint_hessian import STEP, joint_covariance
from mixedfx.covariance.krylov.gaussian import KrylovPoint, KrylovProblem
from mixedfx.covariance.krylov.laplace import KrylovLaplacePoint, KrylovLaplaceProblem
from mixedfx.covariance.krylov.precision import monte_carlo_errors
from mixedfx.covariance.krylov.search import FIRST_PROBES, Search, search
from mixedfx.covariance.likelihood import boundary_names, entry_covariance, ranef_frames, standard_error_table
from mixedfx.covariance.optimum_stats import optimum_stats, scaled_eigenvalues
from mixedfx.covariance.parameters import Covariances, ParameterSpace
from mixedfx.covariance.result import CovarianceResult
from mixedfx.covariance.separable import check_separation, explained, warn_of_separation
from mixedfx.covariance.stopped import out_of_proportion, why_of_columns, why_stopped, why_without_bound
from mixedfx.design import Design, build_design
from mixedfx.errors import ConvergenceError, ConvergenceWarning, DataError, SettingError
from mixedfx.families import Family, get_family
from mixedfx.linalg.blas import one_blas
from mixedfx.progress import Report, reporter
from mixedfx.varcorr import VarCorr

Floats = NDArray[np.float64]

HESSIAN_STEP = 0.005
"""Of differences of the gradient, in standard errors: above what conjugate gradients of random probes leave."""


ELSEWHERE = "Refine from other covariances, or use fewer random coefficients"
NO_RESIDUAL = (
    "Fixed and random effects that reproduce the response (almost) exactly leave no residual variance: is it computed "
    "from columns on the right of '~'?"
)
MORE_PROBES = "That is less than the random probes leave open: a smaller accuracy= takes more of them"
UNBOUNDED = "Nothing in the data limits it. Take the term out, or merge levels"


@one_blas()
def refine_covariance(
    formula: str,
    data: object,
    varcorr: VarCorr | CovarianceResult,
    *,
    family: str = "gaussian",
    method: str | None = None,
    weights: object = None,
    accuracy: float = 1e-3,
    na: Literal["drop", "raise"] = "drop",
    seed: int = 0,
    progress: bool | Report | None = None,
) -> CovarianceResult:
    """Maximise the likelihood of all rows over the covariances, however many levels there are.

    No matrix larger than a level's is formed: determinants and traces of inverses come from random probes, and all
    else from conjugate gradients, to the accuracy asked for. Average-information steps lead from the covariances
    given to the maximum of the restricted likelihood (gaussian) or of Laplace's approximation (as `glmer` and `clmm`
    define it), usually three to five.

    Parameters
    ----------
    formula, data, family, weights, na, progress
        See `mixedfx.learn_covariance`.
    varcorr
        Where to start: frozen covariances, or a covariance result; sigma^2 = 1 where a gaussian model has none there.
    method
        "reml" (gaussian alone) or "ml". By default the one that the covariance result was learned by; else "reml" for
        gaussian models, "ml" for the others.
    accuracy
        Monte Carlo standard error of each covariance, relative to the product of the two standard deviations, or to
        twenty standard errors where these are more. The number of probes follows from it, 256 at most. Nothing is
        random where the factors other than the largest have few coefficients, or the data few rows.
    seed
        Of the probes.

    Returns
    -------
    CovarianceResult
        ``stats`` holds ``probes``, ``monte_carlo_se`` (of the rows of ``standard_errors``), and ``loglik_se``, the
        Monte Carlo standard error of ``loglik``. There are no conditional covariances (``condvar``): stage 2 has them.

    Raises
    ------
    MixedfxError
        The formula, the data or a setting cannot be used; the message says why and what to do.
    ConvergenceError
        The covariances to start from, or those where the search ended, are out of all proportion, or the likelihood
        cannot be computed.

    Warns
    -----
    ConvergenceWarning
        The likelihood was not maximised or has no maximum (``varcorr.freezable`` is False then, and ``varcorr.why``
        says so too), fixed effects separate the outcomes, or `accuracy` was not reached with 256 probes.

    References
    ----------
    Gilmour, Thompson & Cullis 1995, Biometrics 51 (average information); Ubaru, Chen & Saad 2017, SIAM J. Matrix Anal.
    Appl. 38 (log-determinants by stochastic Lanczos quadrature).

    Examples
    --------
    >>> import mixedfx as mfx
    >>> data = mfx.datasets.load_insteval()
    >>> formula = "y ~ 1 + (1 | s) + (1 | d)"
    >>> frozen = mfx.learn_covariance(formula, data.head(20_000))
    >>> refined = mfx.refine_covariance(formula, data, frozen)
    >>> refined.varcorr.to_frame()["vcov"].round(3).tolist()  # lme4's, too
    [0.106, 0.274, 1.387]
    """
    began = time.perf_counter()
    chosen = get_family(family)
    learned_by = varcorr.method if isinstance(varcorr, CovarianceResult) else None
    method = _check_method(method, learned_by, chosen)
    _check_accuracy(accuracy)
    check_whole_number("seed", seed, 0)
    start = varcorr.varcorr if isinstance(varcorr, CovarianceResult) else varcorr
    if not isinstance(start, VarCorr):
        raise SettingError(f"varcorr must be a VarCorr or a covariance result, not {type(varcorr).__name__}")
    design = build_design(formula, data, family=chosen, weights=weights, na=na)
    for term in design.predictors.terms:
        check_features(design, term)
    _check_start(design, start)
    with reporter(progress) as report:
        if chosen.name == "gaussian":
            _check_rows(design)
            result = _refine_gaussian(design, start, method == "reml", float(accuracy), seed, report)
        else:
            result = _refine_laplace(design, chosen, start, float(accuracy), seed, report)
    return replace(result, stats={**result.stats, "seconds": time.perf_counter() - began})


def _check_method(method: str | None, learned_by: str | None, family: Family) -> str:
    available = ("reml", "ml") if family.name == "gaussian" else ("ml",)
    if method is None:
        return learned_by if learned_by is not None and learned_by in available else available[0]
    if not isinstance(method, str) or method not in available:
        raise SettingError(
            f"covariances of family '{family.name}' are refined by {' or '.join(map(repr, available))}, not {method!r}"
        )
    return method


def _check_accuracy(accuracy: object) -> None:
    if isinstance(accuracy, bool) or not isinstance(accuracy, Real) or not 0 < float(accuracy) < 1:
        raise SettingError(
            f"accuracy is {accuracy!r}, but must be a number between 0 and 1: the wanted Monte Carlo error of each "
            "covariance, relative to the standard deviations"
        )


def _check_rows(design: Design) -> None:
    p = len(design.predictors.fixed_names)
    for term in design.predictors.terms:
        coefficients = term.grouping.n_levels * term.q
        if coefficients >= design.n_rows or p >= design.n_rows:
            raise DataError(
                f"{design.n_rows:,} rows do not tell the residual variance from {coefficients:,} coefficients of "
                f"factor '{term.name}' and {p} fixed effects; use fewer coefficients, or more rows"
            )


def _to_explain(design: Design) -> float:
    """Variance that random coefficients can be there for."""
    if design.spec.family != "gaussian":
        return LARGEST_LINK
    return float(np.var(design.y - design.predictors.offset))


def _check_start(design: Design, start: VarCorr) -> None:
    matrices = [block.matrix for block in start.align(design.predictors.terms).blocks]
    if reason := out_of_proportion(design, matrices, _to_explain(design)):
        raise ConvergenceError(
            f"refining cannot start from these covariances: {reason}. Are they of the same response and features, in "
            "the same units? Start from those that learn_covariance finds on a subsample"
        )


def _refine_gaussian(
    design: Design, start: VarCorr, reml: bool, accuracy: float, seed: int, report: Report
) -> CovarianceResult:
    space = ParameterSpace.of(design.predictors.terms)

    problem = KrylovProblem.of(design, reml=reml, probes=FIRST_PROBES, seed=seed)
    left = float(problem.cross[0, 0])
    check_fixed_effects(design, left)

    def first(probes: int, near: KrylovPoint | None) -> KrylovPoint:
        if near is not None:
            return problem.near(near, probes=probes, seed=seed)
        return problem.at(space.from_varcorr(start))

    try:
        found = search(first, space, accuracy, report, with_sigma=True, refuse=refusing_zero(design, left))
    except np.linalg.LinAlgError as error:
        reason = why_of_columns(design) or f"{NO_RESIDUAL} Else: {ELSEWHERE[0].lower()}{ELSEWHERE[1:]}"
        raise ConvergenceError(f"the likelihood could not be computed ({error}). {reason}") from error
    optimum = found.optimum
    at = optimum.at
    _check_proportion(design, at.point.matrices)
    covariance = entry_covariance(optimum, space)
    varcorr = space.varcorr(space.point(optimum.phi), has_sigma=True)
    names = list(design.predictors.fixed_names)
    fixed = pd.DataFrame(at.beta_covariance(), names, names)
    return _result(
        design,
        found,
        varcorr=varcorr,
        accuracy=accuracy,
        method="reml" if reml else "ml",
        covariance=covariance,
        fixed=fixed,
        eigenvalues=scaled_eigenvalues(optimum, space, with_sigma=True),
    )


def _refine_laplace(
    design: Design, family: Family, start: VarCorr, accuracy: float, seed: int, report: Report
) -> CovarianceResult:
    space, names = ParameterSpace.of(design.predictors.terms), list(design.predictors.fixed_names)

    problem = KrylovLaplaceProblem.of(design, family, probes=FIRST_PROBES, seed=seed)
    rows = problem.rows

    def first(probes: int, near: KrylovLaplacePoint | None) -> KrylovLaplacePoint:
        if near is not None:
            return problem.near(near, probes=probes, seed=seed)
        without = fixed_effects_fit(rows.X, rows.offset, problem.response)
        check_separation(problem.response, without, rows.X, names)
        point = Covariances(space.from_varcorr(start).matrices, 1.0)
        return problem.at(point, without.beta, without.alpha)

    try:
        found = search(first, space, accuracy, report, with_sigma=False)
    except (ConvergenceError, np.linalg.LinAlgError) as error:
        raise explained(error, design, problem.response, rows.X, rows.offset) from error
    at = found.optimum.at
    _check_proportion(design, at.point.matrices)
    warn_of_separation(rows.X, problem.response, at.mode.omega, at.mode.border, names)
    step = STEP if at.problem.signs.complete else HESSIAN_STEP
    joint = joint_covariance(at, space, KrylovLaplacePoint.gradient_alone, step=step)
    if not at.problem.signs.complete:
        # The search has them from average information, which is far from the Hessian.
        sigma2 = space.size - 1
        errors = monte_carlo_errors(np.delete(at.gradients(), sigma2, axis=0), joint.whole)
        found = replace(found, errors=np.insert(errors, sigma2, 0.0))
    varcorr = space.varcorr(at.point, has_sigma=False)
    p = len(names)
    fixed = pd.DataFrame(joint.fixed[:p, :p], names, names)
    result = _result(
        design,
        found,
        varcorr=varcorr,
        accuracy=accuracy,
        method="ml",
        covariance=joint.entries,
        fixed=fixed,
        eigenvalues={
            "smallest_eigenvalue": joint.smallest_eigenvalue,
            "largest_eigenvalue": joint.largest_eigenvalue,
        },
    )
    if not len(at.alpha):
        return result
    edges = threshold_names(design)
    errors = standard_errors(joint.fixed)[p:]
    return replace(
        result,
        thresholds=pd.Series(at.alpha, index=edges, name="thresholds"),
        thresholds_se=pd.Series(errors, index=edges, name="se"),
    )


def _check_proportion(design: Design, matrices: tuple[Floats, ...]) -> None:
    if reason := out_of_proportion(design, matrices, _to_explain(design)):
        raise ConvergenceError(
            f"the likelihood has no maximum: {why_of_columns(design) or reason + '. ' + UNBOUNDED}"
        )


def _result[P: (KrylovPoint, KrylovLaplacePoint)](
    design: Design,
    found: Search[P],
    *,
    varcorr: VarCorr,
    accuracy: float,
    method: str,
    covariance: Floats,
    fixed: pd.DataFrame,
    eigenvalues: dict[str, float],
) -> CovarianceResult:
    optimum, at = found.optimum, found.optimum.at
    space, names = at.problem.space, list(design.predictors.fixed_names)
    loglik_se, with_sigma = _loglik_se(at), varcorr.sigma2 is not None
    matrices, to_explain = at.point.matrices, _to_explain(design)
    # As in stage 1: Laplace's approximation can have a maximum where the likelihood itself rises for ever.
    why = "" if with_sigma else why_without_bound(design, matrices, to_explain)
    if not optimum.converged:
        why = why_stopped(
            design,
            matrices,
            optimum.predicted_gain,
            to_explain=to_explain,
            sigma2=varcorr.sigma2,
            remedy=MORE_PROBES if loglik_se > optimum.predicted_gain else ELSEWHERE,
        )
    if why:
        varcorr = replace(varcorr, freezable=False, why=why)
    elif found.relative > accuracy:
        why = (
            f"the Monte Carlo error of the covariances is {found.relative:.1e} of their scale with {found.probes} "
            f"probes, the most there are, and not accuracy={accuracy:g}; it is in stats['monte_carlo_se']"
        )
    if why:
        warnings.warn(why, ConvergenceWarning, stacklevel=5)
    frame = standard_error_table(varcorr, covariance)
    return CovarianceResult(
        formula=design.spec.formula,
        family=design.spec.family,
        method=method,
        varcorr=varcorr,
        fixef=pd.Series(at.beta, index=names, name="fixef"),
        fixef_se=pd.Series(standard_errors(fixed.to_numpy()), index=names, name="fixef_se"),
        ranef=ranef_frames(space.terms, at.b),
        standard_errors=frame,
        varcorr_covariance=covariance,
        loglik=at.loglik,
        converged=optimum.converged,
        boundary=boundary_names(varcorr),
        stats={
            **optimum_stats(optimum, space, with_sigma=with_sigma),
            **eigenvalues,
            "engine": "krylov",
            **({} if with_sigma else {"nagq": 1}),
            "probes": at.problem.signs.count,
            "monte_carlo_se": found.errors[: len(frame)],
            "loglik_se": loglik_se,
        },
        n_rows=design.n_rows,
        n_levels={t.name: t.grouping.n_levels for t in space.terms},
        fixef_covariance=fixed,
    )


def _loglik_se(at: KrylovPoint | KrylovLaplacePoint) -> float:
    """Monte Carlo standard error of the log-likelihood."""
    if at.problem.signs.complete:
        return 0.0
    return 0.5 * float(at.logdets.std(ddof=1)) / math.sqrt(len(at.logdets))

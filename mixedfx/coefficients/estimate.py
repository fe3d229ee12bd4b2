"""Stage 2's entry: the coefficients of all levels at given covariances."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from mixedfx.coefficients.backend import check_backend, choose_backend
from mixedfx.coefficients.component import Component, Mixture
from mixedfx.coefficients.fixed_hessian import fixed_hessian
from mixedfx.coefficients.newton_cg import Mode, newton_cg
from mixedfx.coefficients.problem import Point, Problem
from mixedfx.coefficients.projection import Projection
from mixedfx.coefficients.result import CoefficientsResult
from mixedfx.coefficients.start import start_from
from mixedfx.design import Design, build_design
from mixedfx.errors import ConvergenceWarning, NotFreezableError, SettingError, VarCorrError
from mixedfx.families import Family, get_family
from mixedfx.formula.spec import DesignSpec
from mixedfx.linalg.blas import one_blas
from mixedfx.linalg.connectivity import connectivity
from mixedfx.linalg.memory import check_memory
from mixedfx.progress import reporter
from mixedfx.separation import separated, separation_reason
from mixedfx.varcorr import VarCorr

if TYPE_CHECKING:
    from mixedfx.progress import Report

SOLVERS = {"newton-cg": newton_cg, "fixed-hessian": fixed_hessian}
SMALLEST_TOL = 1e-12
"""Rounding leaves scaled gradients of about so much."""


class HasVarCorr(Protocol):
    """A covariance result."""

    @property
    def varcorr(self) -> VarCorr:
        """What stage 1 learned."""
        ...


def estimate_coefficients(
    formula: str,
    data: object,
    varcorr: VarCorr | HasVarCorr | Sequence[VarCorr],
    *,
    family: str = "gaussian",
    weights: object = None,
    solver: str = "newton-cg",
    backend: str = "auto",
    tol: float = 1e-8,
    start: CoefficientsResult | None = None,
    na: Literal["drop", "raise"] = "drop",
    progress: bool | Report | None = None,
) -> CoefficientsResult:
    """Fixed effects and the coefficients of every level, jointly, at fixed covariances.

    Minimises ``F(beta, b) = sum_r w_r l(y_r, eta_r) + 1/2 sum_kj b_kj' Sigma_k^-1 b_kj``. For the gaussian family this
    is BLUE and BLUP, as `lmer` gives them; for others it is the joint mode, which ``glmer(nAGQ = 0)`` computes: its
    fixed effects differ a little from those of ``nAGQ = 1``.

    Parameters
    ----------
    formula
        In lme4's notation: ``"y ~ 1 + x + (1 + x | user) + (1 | item)"``.
    data
        A pandas or polars DataFrame, an Arrow table, or a path to Parquet or CSV.
    varcorr
        The covariances: `VarCorr`, a covariance result, or a list of VarCorr (draws of Sigma), which are fitted one
        after the other, each from the last one's mode, and mixed in equal parts.
    family
        "gaussian", "bernoulli", "binomial" (a proportion, with weights the trials), "poisson" or "cumulative" (ordered
        categories, P(y <= m) = logistic(alpha_m - eta)).
    weights
        An array or a column's name: precision for gaussian (variance sigma^2 / w, as lme4), trials for binomial,
        frequency otherwise.
    solver
        "newton-cg", or "fixed-hessian", diamond's method, to compare with (gaussian, bernoulli, binomial).
    backend
        "numba" works on the CPU's threads, "jax" on JAX's default device, with the same results up to rounding. "auto"
        is "jax" for a million rows or more where JAX has a GPU or TPU, else "numba". ``stats["backend"]`` says which.
    tol
        Stops when the gradient, in units of each coefficient's curvature, and the promised gain are below it.
    start
        An earlier fit of the same formula to start from; levels it lacks start at 0.
    na
        "drop" rows with missing values, with a warning, or "raise" an error.
    progress
        See `mixedfx.progress`.

    Returns
    -------
    CoefficientsResult

    Raises
    ------
    MixedfxError
        The formula, the data, a setting or the covariances cannot be used; the message says why and what to do.
    NotFreezableError
        Stage 1 could not establish these covariances.
    ResourceError
        The data will not fit into the memory that is free.

    Warns
    -----
    ConvergenceWarning
        The solver did not reach its tolerance, or a fixed effect has no finite estimate; ``reason`` says why and what
        to do. What it has is returned, with ``converged`` False.

    Examples
    --------
    >>> import pandas as pd, mixedfx as mfx
    >>> data = pd.DataFrame({"y": [1.0, 2.0, 4.0, 5.0], "g": list("aabb")})
    >>> vc = mfx.VarCorr.from_frame(pd.DataFrame({"grp": ["g", "Residual"], "var1": ["(Intercept)", None],
    ...                                           "var2": [None, None], "vcov": [2.0, 0.5]}))
    >>> mfx.estimate_coefficients("y ~ 1 + (1 | g)", data, vc).ranef["g"].round(3)
       (Intercept)
    g
    a       -1.333
    b        1.333
    """
    check_settings(solver, backend, tol)
    _check_start(start)
    chosen = get_family(family)
    draws = _as_draws(varcorr, chosen)
    with one_blas(), reporter(progress) as report:
        prepared = _prepare(
            build_design(formula, data, family=chosen, weights=weights, na=na),
            chosen,
            draws,
            start,
            backend,
        )
        problem, first = prepared.problem, prepared.start
        components: list[Component] = []
        modes: list[Mode] = []
        for draw in prepared.draws:
            problem = problem.at(draw)
            if components:
                last = components[-1]
                first = start_from(problem, last.beta, last.b, last.alpha)
            modes.append(SOLVERS[solver](problem, tol=tol, start=first, report=report))
            components.append(Component.of(problem, draw, modes[-1]))
        end = modes[-1].projection
        if solver == "fixed-hessian" and not modes[-1].converged:
            # Whether the data separate shows only far out, where this method hardly gets.
            end = newton_cg(problem, tol=tol, start=end.point, report=report).projection
    reason = next((mode.reason for mode in modes if not mode.converged), None)
    apart = _separated(problem, end, prepared.spec.fixed_names)
    if apart:
        reason = separation_reason(apart)
    if reason is not None:
        warnings.warn(f"stage 2 did not converge: {reason}", ConvergenceWarning, stacklevel=2)
    return CoefficientsResult(
        spec=prepared.spec,
        family=chosen.name,
        mixture=Mixture(tuple(components)),
        converged=reason is None,
        reason=reason or modes[0].reason,
        stats={"backend": problem.backend.name} | _stats(modes) | _connectivity(problem),
        tol=tol,
        n_rows=problem.layout.n_rows,
    )


@dataclass(frozen=True, eq=False)
class _Prepared:
    """What the solver needs; the design itself, as large again, is given up before it starts."""

    problem: Problem
    spec: DesignSpec
    draws: tuple[VarCorr, ...]
    start: Point | None


def _prepare(
    design: Design,
    family: Family,
    draws: tuple[VarCorr, ...],
    start: CoefficientsResult | None,
    backend: str,
) -> _Prepared:
    predictors = design.predictors
    check_memory(predictors)
    aligned = tuple(draw.align(predictors.terms) for draw in draws)
    problem = Problem.of(design, family, aligned[0], backend=choose_backend(backend, design.n_rows))
    first = start_from(problem, *start.aligned_to(predictors)) if start is not None else None
    return _Prepared(problem, design.spec, aligned, first)


def _separated(problem: Problem, at: Projection, names: tuple[str, ...]) -> tuple[str, ...]:
    """Fixed effects without a finite estimate."""
    layout = problem.layout
    if problem.family.has_sigma or not (np.isfinite(at.objective) and np.isfinite(at.squares).all()):
        return ()
    columns = [layout.feature(int(c)) if c >= 0 else None for c in layout.fixed_columns]
    return separated(columns, at.reduction.curvature, problem.weights, names)


def _connectivity(problem: Problem) -> dict[str, Any]:
    found = connectivity(problem.layout)
    return {"components": found.components, "largest_component": found.largest_share}


def check_settings(solver: str, backend: str, tol: object) -> None:
    """Refuse settings of stage 2 before there are data.

    Raises
    ------
    SettingError
        The solver or the backend is unknown, or `tol` is out of range.
    """
    if solver not in SOLVERS:
        raise SettingError(f"unknown solver {solver!r}; known solvers: {', '.join(SOLVERS)}")
    check_backend(backend)
    if not isinstance(tol, Real) or not SMALLEST_TOL <= float(tol) < 1:
        raise SettingError(
            f"tol must be at least {SMALLEST_TOL:g}, which rounding allows, and below 1, such as 1e-8, not {tol!r}"
        )


def _check_start(start: object) -> None:
    if start is not None and not isinstance(start, CoefficientsResult):
        raise SettingError(
            f"start must be an earlier result of estimate_coefficients(), not {type(start).__name__}"
        )


def _as_draws(given: VarCorr | HasVarCorr | Sequence[VarCorr], family: Family) -> tuple[VarCorr, ...]:
    if isinstance(given, VarCorr):
        draws: tuple[object, ...] = (given,)
    elif isinstance(given, Sequence):
        draws = tuple(given)
    else:
        draws = (getattr(given, "varcorr", given),)
    if not draws:
        raise VarCorrError("the list of covariances is empty; pass at least one VarCorr")
    return tuple(_checked(draw, family) for draw in draws)


def _checked(draw: object, family: Family) -> VarCorr:
    if not isinstance(draw, VarCorr):
        raise VarCorrError(
            f"varcorr must be a VarCorr, a covariance result or a list of VarCorr, not {type(draw).__name__}; "
            "VarCorr.from_frame() reads a table with columns grp, var1, var2, vcov"
        )
    if not draw.freezable:
        raise NotFreezableError(
            f"these covariances were not established well enough to be frozen: {draw.why}. To use them all the "
            "same, learn them with force=True"
        )
    if family.has_sigma and draw.sigma2 is None:
        raise VarCorrError(
            f"family '{family.name}' needs a residual variance: add a row with grp 'Residual' to the covariances"
        )
    if not family.has_sigma and draw.sigma2 is not None:
        raise VarCorrError(
            f"family '{family.name}' has no residual variance, but the covariances have a Residual row; were they "
            "learned with another family?"
        )
    return draw


def _stats(modes: Sequence[Mode]) -> dict[str, Any]:
    """Sums over the draws of Sigma; gradient and objective of the worst and of the last."""
    history = [step for mode in modes for step in mode.history]
    return {
        "newton_iterations": len(history),
        "cg_iterations": sum(step.cg_iterations for step in history),
        "passes": sum(mode.passes for mode in modes),
        "grad_norm": max(mode.projection.scaled_norm for mode in modes),
        "decrement": max(mode.decrement for mode in modes),
        "objective": modes[-1].projection.objective,
        "seconds": float(np.sum([mode.seconds for mode in modes])),
        "history": tuple(history),
    }

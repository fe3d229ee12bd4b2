"""The likelihood of all rows, by the engine that fits: what the full-data test of the covariances evaluates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mixedfx.covariance.average_information import Optimum, maximise
from mixedfx.covariance.gaussian import GaussianProblem
from mixedfx.covariance.krylov.gaussian import KrylovProblem
from mixedfx.covariance.krylov.laplace import KrylovLaplaceProblem
from mixedfx.covariance.krylov.sampled_inverse import COARSE
from mixedfx.covariance.krylov.search import FIRST_PROBES, climb
from mixedfx.covariance.parameters import Covariances
from mixedfx.covariance.semidefinite import constrained_step
from mixedfx.families import get_family

if TYPE_CHECKING:
    from mixedfx.coefficients.result import CoefficientsResult
    from mixedfx.design import Design
    from mixedfx.varcorr import VarCorr

Floats = NDArray[np.float64]

TOLERANCE = 0.005
"""Steps end when the next one promises less log-likelihood than this: then each entry is within a tenth of a standard
error of the optimum. Where the frozen covariances are near it, that is one step."""
TRUSTED = {True: 0.5, False: 0.05}
"""Gaussian or not -> what the last step may promise to be taken without looking at the likelihood where it leads, which
takes as long as the step itself. Steps by average information leave a tenth (gaussian; otherwise a third) of the way to
the optimum: then less than `TOLERANCE`."""
SHORT = 0.01
"""A step that changes no covariance by more, relative to the standard deviations, is trusted as well: of millions of
rows it may promise much, but what it leaves is far below what any check looks at."""


@dataclass(frozen=True, eq=False)
class Reached:
    """Covariances at which all rows were looked at.

    Attributes
    ----------
    at
        The likelihood there, or near: other families are at stage 2's fixed effects.
    loglik
        Its value, fixed effects and thresholds at their best.
    b
        Conditional modes, factor -> (J, q).
    """

    at: Any
    loglik: float
    b: Mapping[str, Floats]


@dataclass(frozen=True, eq=False)
class Maximum(Reached):
    """The maximum.

    Attributes
    ----------
    optimum
        Parameters, and information about them.
    steps
        From the frozen covariances.
    """

    optimum: Optimum[Any]
    steps: int


@dataclass(frozen=True, eq=False)
class FullLikelihood:
    """Restricted, full or Laplace's likelihood, dense or by probes.

    Attributes
    ----------
    problem
        The likelihood's problem: `GaussianProblem`, `KrylovProblem` or `KrylovLaplaceProblem`.
    coef
        Stage 2, whose fixed effects and thresholds those of Laplace's likelihood start from.
    name
        In words.
    """

    problem: Any
    coef: CoefficientsResult
    name: str

    @classmethod
    def of(cls, design: Design, coef: CoefficientsResult, *, reml: bool, dense: int) -> FullLikelihood:
        """Dense for gaussian models with up to `dense` coefficients beside the largest factor's."""
        probes: dict[str, Any] = {"probes": FIRST_PROBES, "seed": 0, "accuracy": COARSE}
        if coef.family != "gaussian":
            problem = KrylovLaplaceProblem.of(design, get_family(coef.family), **probes)
            return cls(problem, coef, "Laplace's likelihood")
        layout = coef.mixture.components[0].normal.elimination.operator.layout
        name = "REML" if reml else "ML"
        if layout.beta_start <= dense:
            return cls(GaussianProblem.of(design, reml=reml), coef, name)
        return cls(KrylovProblem.of(design, reml=reml, **probes), coef, name)

    @property
    def gaussian(self) -> bool:
        return self.coef.family == "gaussian"

    def at(self, varcorr: VarCorr) -> Reached:
        """The likelihood at some covariances, fixed effects and thresholds at their best."""
        point = self.problem.space.from_varcorr(varcorr)
        if self.gaussian:
            at = self.problem.at(point)
            return Reached(at, at.loglik, at.b)
        coef, space = self.coef, self.problem.space
        alpha = np.zeros(0) if coef.thresholds is None else coef.thresholds.to_numpy(dtype=float)
        beta = coef.fixef.to_numpy(dtype=float)
        modes = {factor: b.to_numpy(dtype=float) for factor, b in coef.ranef.items()}
        at = self.problem.at(Covariances(point.matrices, 1.0), beta, alpha, modes)
        # Stage 2's fixed effects are near the best ones: one step to them, on trust.
        own = at.vector
        step = constrained_step(
            space,
            own,
            at.gradient(),
            at.average_information(),
            with_sigma=False,
            held=range(len(space.entries)),
        )
        return Reached(at, at.loglik + step.predicted_gain, at.modes_at(step.phi))

    def maximum(self, start: Reached) -> Maximum:
        """From a point on, to within a tenth of a standard error; the last step is trusted."""
        space, gaussian = self.problem.space, self.gaussian
        if isinstance(self.problem, GaussianProblem):
            optimum = maximise(start.at, space, tol=TOLERANCE)
            return Maximum(optimum.at, optimum.at.loglik, optimum.at.b, optimum, optimum.iterations)
        found = climb(lambda: start.at, space, with_sigma=gaussian, tol=TRUSTED[gaussian], near=self._short)
        at, steps, loglik = found.at, found.iterations, found.at.loglik
        if not found.converged or found.predicted_gain <= TOLERANCE:
            if not steps:
                return Maximum(at, start.loglik, start.b, found, 0)
            return Maximum(at, loglik, at.b, found, steps)
        last = constrained_step(space, found.phi, found.gradient, found.information, with_sigma=gaussian)
        ended = replace(found, phi=last.phi)
        return Maximum(at, loglik + last.predicted_gain, at.modes_at(last.phi), ended, steps + 1)

    def _short(self, phi: Floats, target: Floats) -> bool:
        size = self.problem.space.size
        here, there = (self.problem.space.point(vector[:size]) for vector in (phi, target))
        pairs = zip(here.matrices, there.matrices, strict=True)
        return all((np.abs(T - S) <= SHORT * _scale(S)).all() for S, T in pairs)


def _scale(S: Floats) -> Floats:
    """Products of the standard deviations, shape (q, q)."""
    sd = np.sqrt(np.diag(S))
    return np.outer(sd, sd)

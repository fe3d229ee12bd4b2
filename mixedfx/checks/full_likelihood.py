"""The likelihood of all rows, by the engine that fits: what the full-data test of the covariances evaluates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedfx.covariance.average_information import Optimum, maximise
from mixedfx.covariance.gaussian import GaussianProblem
from mixedfx.covariance.krylov.gaussian import KrylovProblem
from mixedfx.covariance.krylov.laplace import KrylovLaplaceProblem
from mixedfx.covariance.krylov.search import FIRST_PROBES, climb
from mixedfx.covariance.parameters import Covariances
from mixedfx.families import get_family

if TYPE_CHECKING:
    from mixedfx.coefficients.result import CoefficientsResult
    from mixedfx.design import Design
    from mixedfx.varcorr import VarCorr


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
        if coef.family != "gaussian":
            family = get_family(coef.family)
            problem = KrylovLaplaceProblem.of(design, family, probes=FIRST_PROBES, seed=0)
            return cls(problem, coef, "Laplace's likelihood")
        layout = coef.mixture.components[0].normal.elimination.operator.layout
        name = "REML" if reml else "ML"
        if layout.beta_start <= dense:
            return cls(GaussianProblem.of(design, reml=reml), coef, name)
        return cls(KrylovProblem.of(design, reml=reml, probes=FIRST_PROBES, seed=0), coef, name)

    @property
    def gaussian(self) -> bool:
        return self.coef.family == "gaussian"

    def at(self, varcorr: VarCorr) -> Any:
        """The likelihood at some covariances, fixed effects and thresholds at their best."""
        point = self.problem.space.from_varcorr(varcorr)
        if self.gaussian:
            return self.problem.at(point)
        alpha = np.zeros(0) if self.coef.thresholds is None else self.coef.thresholds.to_numpy(dtype=float)
        beta = self.coef.fixef.to_numpy(dtype=float)
        problem, space = self.problem, self.problem.space
        held = range(len(space.entries))
        return climb(
            lambda: problem.at(Covariances(point.matrices, 1.0), beta, alpha),
            space,
            with_sigma=False,
            held=held,
        ).at

    def maximum(self, start: Any, tol: float) -> Optimum[Any]:
        """From a point on, until a further step promises less than `tol`."""
        if isinstance(self.problem, GaussianProblem):
            return maximise(start, self.problem.space, tol=tol)
        return climb(lambda: start, self.problem.space, with_sigma=self.gaussian, tol=tol)

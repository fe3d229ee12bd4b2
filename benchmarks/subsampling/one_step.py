"""The one-step estimate from all rows: what one evaluation of their score says of given covariances."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedfx.covariance.krylov.gaussian import KrylovProblem
from mixedfx.covariance.krylov.laplace import KrylovLaplaceProblem
from mixedfx.covariance.parameters import Covariances
from mixedfx.covariance.result import CovarianceResult
from mixedfx.design import Design
from mixedfx.families import get_family

PROBES = 16


@dataclass(frozen=True, eq=False)
class OneStep:
    """All rows, prepared once for the scores of many covariances."""

    problem: KrylovProblem | KrylovLaplaceProblem

    @classmethod
    def of(cls, design: Design) -> OneStep:
        family = get_family(design.spec.family)
        if family.has_sigma:
            return cls(KrylovProblem.of(design, reml=True, probes=PROBES, seed=0))
        return cls(KrylovLaplaceProblem.of(design, family, probes=PROBES, seed=0))

    def estimate(self, frozen: CovarianceResult) -> NDArray[np.float64]:
        """Each variance (the residual's last, where there is one), one average-information step on."""
        start = self.problem.space.from_varcorr(frozen.varcorr)
        if isinstance(self.problem, KrylovProblem):
            at = self.problem.at(start)
            moving = np.arange(len(at.vector))
        else:
            at = self.problem.at(Covariances(start.matrices, 1.0), frozen.fixef.to_numpy(), np.zeros(0))
            sigma2 = self.problem.space.size - 1
            moving = np.delete(np.arange(len(at.vector)), sigma2)
        information = at.average_information()[np.ix_(moving, moving)]
        moved = at.vector[moving] + np.linalg.solve(information, at.gradient()[moving])
        return moved[: len(frozen.standard_errors)]

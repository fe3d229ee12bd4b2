"""How good an answer is, computed from the numbers a library returned and never from what it says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.answer import IncompleteAnswer, read_coefficients, read_covariances
from benchmarks.encoded import Encoded
from benchmarks.problem import Problem
from mixedfx.covariance.average_information import maximise
from mixedfx.covariance.fixed_effects_fit import fixed_effects_fit
from mixedfx.covariance.gaussian import GaussianProblem
from mixedfx.covariance.laplace import LaplaceProblem
from mixedfx.covariance.parameters import Covariances
from mixedfx.design import Design
from mixedfx.errors import ConvergenceError
from mixedfx.families import get_family
from mixedfx.varcorr import VarCorr

Floats = NDArray[np.float64]

SETTLED = 1e-9
"""What a further step over fixed effects may still promise, in log-likelihood."""


@dataclass(frozen=True, eq=False)
class Judged:
    """The objective at an answer, its parameters, and the size each is to be compared by."""

    objective: float
    parameters: Floats
    sizes: Floats

    def parameter_gap(self, best: Judged) -> float:
        """Largest difference of a parameter from the best answer's, in units of its size there."""
        return float((np.abs(self.parameters - best.parameters) / best.sizes).max())


@dataclass(frozen=True, eq=False)
class Judge:
    """Judges the answers to one problem.

    For "coefficients" the objective is F(beta, b), and the parameters are all coefficients as they are. For
    "covariance" it is the `criterion` at the covariances, whatever fixed effects come with them, and the parameters are
    the entries of each Sigma_k, relative to the product of the two standard deviations, and a gaussian model's sigma^2,
    relative to itself.
    """

    problem: Problem
    design: Design
    encoded: Encoded

    def __call__(self, path: Path) -> Judged:
        """Judge the answer in a file.

        Raises
        ------
        IncompleteAnswer
            The answer lacks a coefficient or the residual variance.
        MixedfxError
            Its covariances do not fit the model.
        """
        if self.problem.task == "covariance":
            varcorr = VarCorr.from_frame(read_covariances(path)).align(self.design.predictors.terms)
            parameters, sizes = self._entries(varcorr)
            return Judged(self.criterion(varcorr), parameters, sizes)
        beta, b = read_coefficients(path, self.encoded)
        parameters = np.concatenate([beta, *(b[term.name].ravel() for term in self.encoded.terms)])
        objective = joint_objective(self.encoded, self.problem.family, beta, b)
        return Judged(objective, parameters, np.ones(len(parameters)))

    @property
    def gaussian(self) -> bool:
        return self.problem.family == "gaussian"

    def criterion(self, varcorr: VarCorr) -> float:
        """-2 times a log-likelihood of the covariances alone, with all constants.

        The restricted one for gaussian; for the other families Laplace's, at its maximum over fixed effects and
        thresholds. Its minimum is where the likelihood of all parameters has its maximum.
        """
        matrices = tuple(block.matrix for block in varcorr.blocks)
        if self.gaussian:
            return -2 * self._restricted.at(Covariances(matrices, _sigma2(varcorr))).loglik
        return -2 * profile_loglik(self._laplace, Covariances(matrices, 1.0))

    @cached_property
    def _restricted(self) -> GaussianProblem:
        return GaussianProblem.of(self.design, reml=True)

    @cached_property
    def _laplace(self) -> LaplaceProblem:
        return LaplaceProblem.of(self.design, get_family(self.problem.family))

    def _entries(self, varcorr: VarCorr) -> tuple[Floats, Floats]:
        residual = [_sigma2(varcorr)] if self.gaussian else []
        entries, sizes = [np.array(residual)], [np.array(residual)]
        for block in varcorr.blocks:
            sd = np.sqrt(np.diag(block.matrix))
            lower = np.tril_indices(len(sd))
            size = np.outer(sd, sd)[lower]
            entries.append(block.matrix[lower])
            sizes.append(np.where(size > 0, size, sum(residual) or 1.0))
        return np.concatenate(entries), np.concatenate(sizes)


def profile_loglik(problem: LaplaceProblem, point: Covariances) -> float:
    """Laplace's log-likelihood at given covariances, at its maximum over fixed effects and thresholds.

    Raises
    ------
    ConvergenceError
        The maximum was not found.
    """
    start = fixed_effects_fit(problem.rows.X, problem.rows.offset, problem.response)
    at, covariances = problem.at(point, start.beta, start.alpha), range(problem.space.size)
    found = maximise(at, problem.space, with_sigma=False, held=covariances, memory=8)
    if abs(found.predicted_gain) > SETTLED:
        raise ConvergenceError(
            f"no maximum over fixed effects at these covariances: a step promises {found.predicted_gain:.2g}"
        )
    return found.at.loglik


def joint_objective(encoded: Encoded, family: str, common: Floats, b: dict[str, Floats]) -> float:
    """F(beta, b) = sum_r l(y_r, eta_r) + 1/2 sum_kj b_kj' Sigma_k^-1 b_kj.

    l is log(1 + exp(eta)) - y eta for bernoulli, (y - eta)^2 / (2 sigma^2) for gaussian, and for cumulative, with F
    logistic and thresholds alpha, -log(F(alpha_y - eta) - F(alpha_(y-1) - eta)). `common` is (beta, alpha).
    """
    beta, alpha = np.split(common, [len(encoded.fixed_names)])
    eta, y = encoded.eta(beta, b), encoded.y
    if family == "bernoulli":
        loss = float(np.sum(np.logaddexp(0.0, eta) - y * eta))
    elif family == "cumulative":
        edges, category = np.concatenate([[-np.inf], alpha, [np.inf]]), y.astype(np.int64)
        above, below = edges[category + 1] - eta, edges[category] - eta
        # F(a) - F(c) = F(a) F(-c) (1 - exp(c - a)), which keeps its digits far out in the tails.
        gaps = np.log1p(-np.exp(below - above))
        loss = float(np.sum(np.logaddexp(0.0, -above) + np.logaddexp(0.0, below) - gaps))
    elif family == "gaussian" and encoded.sigma2 is not None:
        loss = float(np.sum((y - eta) ** 2)) / (2 * encoded.sigma2)
    else:
        raise ValueError(f"no joint objective for family '{family}' with sigma^2 {encoded.sigma2}")
    u = (np.linalg.solve(term.cholesky, b[term.name].T) for term in encoded.terms)
    return loss + 0.5 * sum(float(np.sum(values**2)) for values in u)


def _sigma2(varcorr: VarCorr) -> float:
    if varcorr.sigma2 is None:
        raise IncompleteAnswer("the answer has no residual variance")
    return varcorr.sigma2

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
from mixedfx.covariance.gaussian import GaussianProblem
from mixedfx.covariance.parameters import Covariances
from mixedfx.design import Design
from mixedfx.varcorr import VarCorr

Floats = NDArray[np.float64]


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
    "covariance" it is the REML criterion, -2 times the restricted log-likelihood, and the parameters are the entries of
    each Sigma_k, relative to the product of the two standard deviations, and sigma^2, relative to itself.
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
            parameters, sizes = _entries(varcorr)
            return Judged(self.reml_criterion(varcorr), parameters, sizes)
        beta, b = read_coefficients(path, self.encoded)
        parameters = np.concatenate([beta, *(b[term.name].ravel() for term in self.encoded.terms)])
        objective = joint_objective(self.encoded, self.problem.family, beta, b)
        return Judged(objective, parameters, np.ones(len(parameters)))

    def reml_criterion(self, varcorr: VarCorr) -> float:
        """-2 times the restricted log-likelihood of a gaussian model, with all constants."""
        point = Covariances(tuple(block.matrix for block in varcorr.blocks), _sigma2(varcorr))
        return -2 * self._likelihood.at(point).loglik

    @cached_property
    def _likelihood(self) -> GaussianProblem:
        return GaussianProblem.of(self.design, reml=True)


def joint_objective(encoded: Encoded, family: str, beta: Floats, b: dict[str, Floats]) -> float:
    """F(beta, b) = sum_r l(y_r, eta_r) + 1/2 sum_kj b_kj' Sigma_k^-1 b_kj.

    l is log(1 + exp(eta)) - y eta for bernoulli and (y - eta)^2 / (2 sigma^2) for gaussian.
    """
    eta, y = encoded.eta(beta, b), encoded.y
    if family == "bernoulli":
        loss = float(np.sum(np.logaddexp(0.0, eta) - y * eta))
    elif family == "gaussian" and encoded.sigma2 is not None:
        loss = float(np.sum((y - eta) ** 2)) / (2 * encoded.sigma2)
    else:
        raise ValueError(f"no joint objective for family '{family}' with sigma^2 {encoded.sigma2}")
    u = (np.linalg.solve(term.cholesky, b[term.name].T) for term in encoded.terms)
    return loss + 0.5 * sum(float(np.sum(values**2)) for values in u)


def _entries(varcorr: VarCorr) -> tuple[Floats, Floats]:
    sigma2 = _sigma2(varcorr)
    entries, sizes = [np.array([sigma2])], [np.array([sigma2])]
    for block in varcorr.blocks:
        sd = np.sqrt(np.diag(block.matrix))
        lower = np.tril_indices(len(sd))
        size = np.outer(sd, sd)[lower]
        entries.append(block.matrix[lower])
        sizes.append(np.where(size > 0, size, sigma2))
    return np.concatenate(entries), np.concatenate(sizes)


def _sigma2(varcorr: VarCorr) -> float:
    if varcorr.sigma2 is None:
        raise IncompleteAnswer("the answer has no residual variance")
    return varcorr.sigma2

"""Gaussian log-likelihood, REML or ML, by the exact engine: value, score and average information.

With V = Z Sigma Z' + sigma^2 W0^-1 and P = V^-1 - V^-1 X (X'V^-1 X)^-1 X'V^-1 (REML: T = P; ML: T = V^-1),

    -2 loglik = log|V| + y'Py + (N - p) log 2pi + log|X'V^-1 X|      (REML; ML: N log 2pi, no last term)
    d loglik  = sum_k tr(S_k dSigma_k) + s dsigma^2,   S_k = 1/2 sum_j (g_kj g_kj' - Z_kj' T Z_kj),  g_kj = Z_kj' P y
    AI_ij     = 1/2 f_i' P f_j,   f = Z_k E g_k for the entry E = dSigma_k/dphi,   f = W0^-1 P y for sigma^2

(Gilmour, Thompson & Cullis 1995, Biometrics 51). All of it holds for singular Sigma_k.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mixedfx.covariance.parameters import Covariances, ParameterSpace
from mixedfx.covariance.traces import level_traces
from mixedfx.design import Design
from mixedfx.linalg.dense import DenseReduced, dense_reduced
from mixedfx.linalg.elimination import Elimination, eliminate
from mixedfx.linalg.intercept_operator import row_operator
from mixedfx.linalg.lambdas import Lambdas
from mixedfx.linalg.layout import RowLayout, arrange
from mixedfx.linalg.operator import Parts, RowOperator
from mixedfx.varcorr import lower_factor

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class GaussianProblem:
    """Data of a gaussian model, sorted once for all evaluations.

    Attributes
    ----------
    y
        Response less offset and less X `least_squares`, shape (N,): the likelihood of the residuals is that of the
        response, and a large mean does not eat their digits.
    least_squares
        Weighted least squares coefficients of the response on X, shape (p,).
    """

    operator: RowOperator
    space: ParameterSpace
    y: Floats
    weights: Floats
    reml: bool
    least_squares: Floats

    @classmethod
    def of(cls, design: Design, *, reml: bool) -> GaussianProblem:
        layout = arrange(design.predictors)
        coefficients, residuals = least_squares(design)
        space = ParameterSpace.of(design.predictors.terms)
        order = layout.order
        return cls(row_operator(layout), space, residuals[order], design.weights[order], reml, coefficients)

    @property
    def layout(self) -> RowLayout:
        return self.operator.layout

    def at(self, point: Covariances) -> GaussianPoint:
        """The likelihood at one point: factorization and solution; score and information follow on request."""
        names = [term.name for term in self.space.terms]
        factors = {n: lower_factor(S) for n, S in zip(names, point.matrices, strict=True)}
        lambdas = Lambdas.of(self.layout, factors)
        elimination = eliminate(self.operator, lambdas, self.weights / point.sigma2)
        return GaussianPoint(self, point, elimination, dense_reduced(elimination))


@dataclass(frozen=True, eq=False)
class GaussianPoint:
    """The (restricted) likelihood at one `Covariances`."""

    problem: GaussianProblem
    point: Covariances
    elimination: Elimination
    dense: DenseReduced

    @property
    def vector(self) -> Floats:
        """The point as parameters."""
        return self.problem.space.vector(self.point)

    def move(self, vector: Floats) -> GaussianPoint:
        """The likelihood at other parameters."""
        return self.problem.at(self.problem.space.point(vector))

    @cached_property
    def _solution(self) -> tuple[Parts, Floats]:
        """(u and beta hat, residuals y - D Lambda u, shape (N,))."""
        y = self.problem.y[:, None]
        rhs = self.elimination.lambdas.transpose_times(
            self.problem.operator.rmatvec(self.elimination.omega[:, None] * y)
        )
        x_rest = self.dense.solve(self.elimination.reduce(rhs))
        solution = self.elimination.recover(rhs, x_rest)
        fitted = self.problem.operator.matvec(self.elimination.lambdas.times(solution))
        return solution, self.problem.y - fitted[:, 0]

    @property
    def Py(self) -> Floats:
        """P y = W (y - X beta - Z b), shape (N,)."""
        return self.elimination.omega * self._solution[1]

    @property
    def beta(self) -> Floats:
        """Fixed effects, shape (p,)."""
        moved = self._solution[0].rest[self.problem.layout.beta_start :, 0]
        return self.problem.least_squares + moved

    @cached_property
    def b(self) -> dict[str, Floats]:
        """Conditional modes, factor -> (J, q)."""
        return _by_factor(self.elimination.lambdas, self.elimination.lambdas.times(self._solution[0]))

    @property
    def loglik(self) -> float:
        """(Restricted) log-likelihood with all constants."""
        return self._loglik

    @cached_property
    def _loglik(self) -> float:
        problem = self.problem
        n, p = len(problem.y), problem.layout.p
        logdet_V = (
            n * np.log(self.point.sigma2)
            - np.log(problem.weights).sum()
            + self.elimination.logdet_e
            + self.dense.logdet_random
        )
        # y'Py as a sum of squares: the product itself would lose digits where the fit is close.
        u, residual = self._solution
        random = u.rest[: problem.layout.beta_start]
        quadratic = float(residual @ self.Py + np.vdot(u.e, u.e) + np.vdot(random, random))
        degrees = n - p if problem.reml else n
        value = logdet_V + quadratic + degrees * np.log(2 * np.pi)
        return -0.5 * float(value + (self.dense.logdet_fixed if problem.reml else 0.0))

    def beta_covariance(self) -> Floats:
        """(X'V^-1 X)^-1, shape (p, p)."""
        start = self.problem.layout.beta_start
        unit = np.zeros((self.problem.layout.n_rest, self.problem.layout.p))
        unit[start:] = np.eye(self.problem.layout.p)
        return self.dense.solve(unit)[start:]

    def gradient(self) -> Floats:
        """d loglik/d phi in the order of the parameter space."""
        g, traces = self._level_scores, self._traces()
        terms = self.problem.space.terms
        scores = tuple(0.5 * (g[t.name].T @ g[t.name] - traces[t.name]) for t in terms)
        n, sigma2 = len(self.problem.y), self.point.sigma2
        degrees = n - self.problem.layout.p if self.problem.reml else n
        # tr(T V) is known (N - p, or N for ML), and V's random part is what the factors' traces give.
        random = sum(
            float(np.sum(S * traces[t.name])) for t, S in zip(terms, self.point.matrices, strict=True)
        )
        residual = self._solution[1]
        quadratic = float((self.problem.weights * residual) @ residual) / sigma2**2
        return self.problem.space.gradient(scores, 0.5 * (quadratic - (degrees - random) / sigma2))

    def average_information(self) -> Floats:
        """AI, shape (n, n), in the order of the parameter space."""
        layout, omega = self.problem.layout, self.elimination.omega
        F = self.problem.operator.matvec(self._working_coefficients())
        F[:, -1] = self._solution[1] / self.point.sigma2
        in_b = self.problem.operator.rmatvec(omega[:, None] * F)
        reduced = self.elimination.reduce(self.elimination.lambdas.transpose_times(in_b))
        half = self.dense.half_solve(reduced)
        sums = in_b.e.reshape(layout.n_levels, layout.q, -1)
        eliminated = np.einsum("jam,jab,jbn->mn", sums, self.elimination.M, sums, optimize=True)
        return 0.5 * (F.T @ (omega[:, None] * F) - eliminated - half.T @ half)

    @cached_property
    def _level_scores(self) -> dict[str, Floats]:
        """g_kj = Z_kj' P y, factor -> (J, q)."""
        return _by_factor(self.elimination.lambdas, self.problem.operator.rmatvec(self.Py[:, None]))

    def _working_coefficients(self) -> Parts:
        """Columns a with Z a = f for every free entry of a Sigma, and a zero column for sigma^2."""
        layout, space = self.problem.layout, self.problem.space
        e = np.zeros((layout.n_levels, layout.q, space.size))
        rest = np.zeros((layout.n_rest, space.size))
        blocks = {block.name: block for block in layout.rest}
        for column, entry in enumerate(space.entries):
            name = space.terms[entry.term].name
            a = self._level_scores[name] @ space.basis(entry)
            if name == layout.eliminated.name:
                e[:, :, column] = a
            else:
                rest[blocks[name].slice, column] = a.ravel()
        return Parts(e, rest)

    def _traces(self) -> dict[str, Floats]:
        """sum_j Z_kj' T Z_kj, factor -> (q, q)."""
        elimination, operator = self.elimination, self.problem.operator
        H = elimination.lambdas.rest_sandwich(self.dense.inverse(with_fixed=self.problem.reml))
        explained = operator.level_quadratic(elimination.omega, H)
        blocks, M = elimination.blocks.e, elimination.M
        return level_traces(elimination.lambdas, blocks, M, H, explained, self._reduced)

    def _reduced(self) -> Floats:
        """D_o' T_e D_o, full."""
        G = self.problem.operator.dense_reduced(self.elimination.omega, self.elimination.M)
        return np.tril(G) + np.tril(G, -1).T


def least_squares(design: Design) -> tuple[Floats, Floats]:
    """(coefficients (p,), residuals (N,)) of response less offset on X, weighted."""
    X, root = design.predictors.X(), np.sqrt(design.weights)
    y = design.y - design.predictors.offset
    coefficients = np.linalg.lstsq(X * root[:, None], y * root, rcond=None)[0]
    return coefficients, y - X @ coefficients


def _by_factor(lambdas: Lambdas, parts: Parts) -> dict[str, Floats]:
    """Factor -> (J, q), from a one-column vector."""
    return {name: values[:, :, 0] for name, values in lambdas.by_factor(parts).items()}

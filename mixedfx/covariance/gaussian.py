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

from mixedfx.covariance.conditional import LevelInverses
from mixedfx.covariance.least_squares import least_squares
from mixedfx.covariance.parameters import Covariances, ParameterSpace
from mixedfx.covariance.traces import exact_traces
from mixedfx.design import Design
from mixedfx.linalg.cross_products import CrossProducts
from mixedfx.linalg.exact_system import ExactSystem
from mixedfx.linalg.intercept_operator import row_operator
from mixedfx.linalg.lambdas import Lambdas
from mixedfx.linalg.layout import RowLayout, arrange
from mixedfx.linalg.operator import Parts, RowOperator

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
    cross: CrossProducts
    space: ParameterSpace
    y: Floats
    weights: Floats
    reml: bool
    least_squares: Floats

    @classmethod
    def of(cls, design: Design, *, reml: bool) -> GaussianProblem:
        operator = row_operator(arrange(design.predictors))
        order = operator.layout.order
        coefficients, residuals = least_squares(design)
        space = ParameterSpace.of(design.predictors.terms)
        weights = design.weights[order]
        cross = CrossProducts.of(operator, weights)
        return cls(operator, cross, space, residuals[order], weights, reml, coefficients)

    @cached_property
    def log_weights(self) -> float:
        """sum log w."""
        return float(np.log(self.weights).sum())

    @cached_property
    def response_products(self) -> Parts:
        """D'W0 y, one column."""
        return self.operator.rmatvec((self.weights * self.y)[:, None])

    @property
    def layout(self) -> RowLayout:
        return self.operator.layout

    def at(self, point: Covariances) -> GaussianPoint:
        """The likelihood at one point: factorization and solution; score and information follow on request."""
        lambdas = self.space.lambdas(self.layout, point)
        return GaussianPoint(self, point, ExactSystem.at(self.cross, lambdas, 1.0 / point.sigma2))


@dataclass(frozen=True, eq=False)
class GaussianPoint:
    """The (restricted) likelihood at one `Covariances`."""

    problem: GaussianProblem
    point: Covariances
    system: ExactSystem

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
        lambdas, products = self.system.lambdas, self.problem.response_products
        rhs = lambdas.transpose_times(
            Parts(products.e / self.point.sigma2, products.rest / self.point.sigma2)
        )
        solution = self.system.solve(rhs)
        fitted = self.problem.operator.matvec(lambdas.times(solution))
        return solution, self.problem.y - fitted[:, 0]

    @cached_property
    def Py(self) -> Floats:
        """P y = W (y - X beta - Z b), shape (N,)."""
        return self.problem.weights * self._solution[1] / self.point.sigma2

    @property
    def scaled_residuals(self) -> Floats:
        """sqrt(w) (y - X beta - Z b) / sigma in the sorted order of the rows, shape (N,): lme4's Pearson residuals."""
        return np.sqrt(self.problem.weights / self.point.sigma2) * self._solution[1]

    @property
    def beta(self) -> Floats:
        """Fixed effects, shape (p,)."""
        moved = self._solution[0].rest[self.problem.layout.beta_start :, 0]
        return self.problem.least_squares + moved

    @cached_property
    def b(self) -> dict[str, Floats]:
        """Conditional modes, factor -> (J, q)."""
        return _by_factor(self.system.lambdas, self.system.lambdas.times(self._solution[0]))

    def condvar(self) -> dict[str, Floats]:
        """Covariances of each level's coefficients given the fixed effects, factor -> (J, q, q)."""
        return self._level_inverses.covariances()

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
            - problem.log_weights
            + self.system.logdet_e
            + self.system.rest.logdet_random
        )
        # y'Py as a sum of squares: the product itself would lose digits where the fit is close.
        u, residual = self._solution
        random = u.rest[: problem.layout.beta_start]
        quadratic = float(residual @ self.Py + np.vdot(u.e, u.e) + np.vdot(random, random))
        degrees = n - p if problem.reml else n
        value = logdet_V + quadratic + degrees * np.log(2 * np.pi)
        return -0.5 * float(value + (self.system.rest.logdet_fixed if problem.reml else 0.0))

    def beta_covariance(self) -> Floats:
        """(X'V^-1 X)^-1, shape (p, p)."""
        return self.system.rest.fixed_covariance()

    def beta_covariance_derivatives(self) -> Floats:
        """d (X'V^-1 X)^-1/d phi in the order of the parameter space, shape (n, p, p).

        V_beta X'V^-1 (dV/dphi) V^-1 X V_beta with V_beta = (X'V^-1 X)^-1, and V^-1 X V_beta = W D x, where x are the
        columns of beta in the inverse of Henderson's matrix.
        """
        layout, space = self.problem.layout, self.problem.space
        unit = np.zeros((layout.n_rest, layout.p))
        unit[layout.beta_start :] = np.eye(layout.p)
        nothing = Parts(np.zeros((layout.n_levels, layout.q, layout.p)), unit)
        lambdas = self.system.lambdas
        rows = self.problem.operator.matvec(lambdas.times(self.system.solve(nothing))) / self.point.sigma2
        weighted = self.problem.weights[:, None] * rows
        scores = lambdas.by_factor(self.problem.operator.rmatvec(weighted))
        derivatives = [
            np.einsum("jap,ab,jbq->pq", scores[name], space.basis(entry), scores[name], optimize=True)
            for entry in space.entries
            for name in [space.terms[entry.term].name]
        ]
        return np.array([*derivatives, rows.T @ weighted])

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
        return self._information

    @cached_property
    def _information(self) -> Floats:
        # F by rows, not by cross products, which square the condition of features far from their origin.
        F = self.problem.operator.matvec(self._working_coefficients())
        F[:, -1] = self._solution[1] / self.point.sigma2
        weighted = (self.problem.weights / self.point.sigma2)[:, None] * F
        in_u = self.system.lambdas.transpose_times(self.problem.operator.rmatvec(weighted))
        return 0.5 * (F.T @ weighted - self.system.inner_products(in_u))

    @cached_property
    def _scores_of_rows(self) -> Parts:
        """D' P y."""
        return self.problem.operator.rmatvec(self.Py[:, None])

    @cached_property
    def _level_scores(self) -> dict[str, Floats]:
        """g_kj = Z_kj' P y, factor -> (J, q)."""
        return _by_factor(self.system.lambdas, self._scores_of_rows)

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

    @cached_property
    def _level_inverses(self) -> LevelInverses:
        # The inverse takes the factor's place: what is solved with it comes first.
        _ = self._information
        return LevelInverses.of(self.system)

    def _traces(self) -> dict[str, Floats]:
        """sum_j Z_kj' T Z_kj, factor -> (q, q)."""
        return exact_traces(self._level_inverses, with_fixed=self.problem.reml)


def _by_factor(lambdas: Lambdas, parts: Parts) -> dict[str, Floats]:
    """Factor -> (J, q), from a one-column vector."""
    return {name: values[:, :, 0] for name, values in lambdas.by_factor(parts).items()}

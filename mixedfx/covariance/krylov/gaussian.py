"""Gaussian log-likelihood, REML or ML, by the krylov engine: value, score and average information.

The formulas are those of `mixedfx.covariance.gaussian`, in sigma's units: V = sigma^2 V0, with Lambda / sigma (lme4's
theta) for Lambda and the prior weights for W. Then H = Lambda' Z'WZ Lambda + I depends on theta alone, and

    a'V0^-1 c = a'Wc - (Z'Wa)' Lambda H^-1 Lambda' (Z'Wc)

needs nothing of the rows but Z'W[y X] and [y X]'W[y X], formed once. Log-determinant and traces of H^-1 come from
probes (`mixedfx.linalg.probes`), the same ones at every point; X enters by p exact solutions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mixedfx.covariance.entry_columns import entry_columns
from mixedfx.covariance.krylov.sampled_inverse import FINE, Accuracy, SampledInverse
from mixedfx.covariance.least_squares import least_squares
from mixedfx.covariance.parameters import Covariances, ParameterSpace
from mixedfx.design import Design
from mixedfx.linalg.curvature import Curvature
from mixedfx.linalg.deflation import CoarseDirections, coarse_directions
from mixedfx.linalg.elimination import Elimination, eliminate
from mixedfx.linalg.intercept_operator import row_operator
from mixedfx.linalg.layout import RowLayout, arrange
from mixedfx.linalg.operator import DiagonalBlocks, Parts, RowOperator
from mixedfx.linalg.probes import ProbeSigns
from mixedfx.linalg.random_parts import columns, inner
from mixedfx.linalg.reduced import ReducedSystem, reduced_system

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class KrylovProblem:
    """Data of a gaussian model, sorted and multiplied once for all evaluations.

    Attributes
    ----------
    operator
        Products with Z.
    curvature
        The prior weights.
    blocks
        Z_j' W Z_j of every level.
    products
        Z'W[y X], 1 + p columns; y less X `least_squares`.
    cross
        [y X]'W[y X], shape (1 + p, 1 + p).
    signs
        Of the probes, for the reduced system's coefficients.
    n_rows, log_weights
        N, and sum log w.
    reml
        The restricted likelihood, or the full one.
    accuracy
        Of the solutions.
    """

    operator: RowOperator
    directions: CoarseDirections
    space: ParameterSpace
    curvature: Curvature
    blocks: DiagonalBlocks
    products: Parts
    cross: Floats
    least_squares: Floats
    signs: ProbeSigns
    n_rows: int
    log_weights: float
    reml: bool
    accuracy: Accuracy

    @classmethod
    def of(
        cls, design: Design, *, reml: bool, probes: int, seed: int, accuracy: Accuracy = FINE
    ) -> KrylovProblem:
        """Sort the rows, and form the products with y and X."""
        operator = row_operator(arrange(design.predictors.random_alone()))
        layout = operator.layout
        coefficients, residuals = least_squares(design)
        weights = np.array(design.weights)[layout.order]
        curvature = Curvature.of(weights)
        right = np.column_stack([residuals, design.predictors.X()])[layout.order]
        weighted = weights[:, None] * right
        return cls(
            operator=operator,
            directions=coarse_directions(layout),
            space=ParameterSpace.of(design.predictors.terms),
            curvature=curvature,
            blocks=operator.diagonal_blocks(weights),
            products=operator.rmatvec(weighted),
            cross=right.T @ weighted,
            least_squares=coefficients,
            signs=ProbeSigns.of(layout.n_rest, probes, seed, n_rows=design.n_rows),
            n_rows=design.n_rows,
            log_weights=float(np.log(weights).sum()),
            reml=reml,
            accuracy=accuracy,
        )

    @property
    def layout(self) -> RowLayout:
        return self.operator.layout

    def near(self, other: KrylovPoint, *, probes: int, seed: int) -> KrylovPoint:
        """The likelihood at a point by other probes."""
        signs = ProbeSigns.of(self.layout.n_rest, probes, seed, n_rows=self.n_rows)
        return replace(self, signs=signs).at(other.point)

    def without_probes(self) -> KrylovProblem:
        """For points of which only the modes are wanted: a solution with 1 + p columns."""
        return replace(self, signs=ProbeSigns.none(self.layout.n_rest))

    @property
    def p(self) -> int:
        """Fixed effects."""
        return len(self.least_squares)

    def at(self, point: Covariances) -> KrylovPoint:
        """The likelihood at one point."""
        lambdas = self.space.lambdas(self.layout, point, scale=float(np.sqrt(point.sigma2)))
        return KrylovPoint(self, point, eliminate(self.operator, lambdas, self.curvature, self.blocks))


@dataclass(frozen=True, eq=False)
class KrylovPoint:
    """The (restricted) likelihood at one `Covariances`."""

    problem: KrylovProblem
    point: Covariances
    elimination: Elimination

    @property
    def vector(self) -> Floats:
        """The point as parameters."""
        return self.problem.space.vector(self.point)

    def move(self, vector: Floats) -> KrylovPoint:
        """The likelihood at other parameters."""
        return self.problem.at(self.problem.space.point(vector))

    @cached_property
    def _system(self) -> ReducedSystem:
        return reduced_system(self.elimination, self.problem.directions)

    @cached_property
    def _inverse(self) -> SampledInverse:
        """Probes of H, and its solutions for Lambda'Z'W[y X]."""
        rhs = self.elimination.lambdas.transpose_times(self.problem.products)
        return SampledInverse.of(
            self.elimination, self._system, self.problem.signs, rhs, self.problem.accuracy
        )

    @cached_property
    def _of_rows(self) -> tuple[Parts, Floats]:
        """(Z'V0^-1[y X], [y X]'V0^-1[y X])."""
        products, b = self.problem.products, self.elimination.lambdas.times(self._inverse.solved)
        taken = self.elimination.gram(b)
        parts = Parts(products.e - taken.e, products.rest - taken.rest)
        return parts, self.problem.cross - inner(products, b)

    @cached_property
    def _fixed(self) -> tuple[Floats, Floats]:
        """(beta less least squares, (X'V0^-1 X)^-1)."""
        _, right = self._of_rows
        inverse = np.linalg.inv(right[1:, 1:])
        return inverse @ right[1:, 0], inverse

    @cached_property
    def _scores(self) -> Parts:
        """Z'P0 y, one column."""
        parts, _ = self._of_rows
        beta = self._fixed[0]
        e = parts.e[:, :, :1] - parts.e[:, :, 1:] @ beta[:, None]
        return Parts(e, parts.rest[:, :1] - parts.rest[:, 1:] @ beta[:, None])

    @cached_property
    def _quadratic(self) -> float:
        """y'P0 y."""
        _, right = self._of_rows
        return float(right[0, 0] - right[0, 1:] @ self._fixed[0])

    @cached_property
    def _squares(self) -> float:
        """(P0 y)'W^-1(P0 y), the weighted squares of the residuals."""
        u = self.elimination.lambdas.transpose_times(self._scores)
        return self._quadratic - float(inner(u, u)[0, 0])

    @property
    def beta(self) -> Floats:
        """Fixed effects, shape (p,)."""
        return self.problem.least_squares + self._fixed[0]

    def beta_covariance(self) -> Floats:
        """(X'V^-1 X)^-1, shape (p, p)."""
        return self.point.sigma2 * self._fixed[1]

    @cached_property
    def level_scores(self) -> dict[str, Floats]:
        """g_kj = Z_kj' P y, factor -> (J, q)."""
        by_factor = self.elimination.lambdas.by_factor(self._scores)
        return {name: values[:, :, 0] / self.point.sigma2 for name, values in by_factor.items()}

    @property
    def b(self) -> dict[str, Floats]:
        """Conditional modes, factor -> (J, q)."""
        # Not Sigma g: that is g's error times what the rows of a level weigh against the prior, 10^4 for many rows.
        solved, beta = self.elimination.lambdas.times(self._inverse.solved), self._fixed[0]
        e = solved.e[:, :, 0] - solved.e[:, :, 1:] @ beta
        own = Parts(e[:, :, None], solved.rest[:, :1] - solved.rest[:, 1:] @ beta[:, None])
        return {name: b[:, :, 0] for name, b in self.elimination.lambdas.by_factor(own).items()}

    def modes_at(self, vector: Floats) -> dict[str, Floats]:
        """Conditional modes at other parameters, factor -> (J, q)."""
        return self.problem.without_probes().at(self.problem.space.point(vector)).b

    @property
    def logdets(self) -> Floats:
        """log|H| as each probe has it, shape (m,)."""
        return self._inverse.logdets

    @property
    def _degrees(self) -> int:
        """N - p for REML, else N."""
        problem = self.problem
        return problem.n_rows - problem.p if problem.reml else problem.n_rows

    @property
    def loglik(self) -> float:
        """(Restricted) log-likelihood with all constants."""
        return self._loglik

    @cached_property
    def _loglik(self) -> float:
        problem, sigma2 = self.problem, self.point.sigma2
        value = float(self.logdets.mean()) - problem.log_weights + self._quadratic / sigma2
        value += self._degrees * np.log(2 * np.pi * sigma2)
        if problem.reml:
            value -= np.linalg.slogdet(self._fixed[1])[1]
        return -0.5 * float(value)

    @cached_property
    def traces(self) -> dict[str, Floats]:
        """sum_j Z_kj' T Z_kj as each probe has it, factor -> (q, q, m); T = P (REML) or V^-1."""
        sampled = dict(self._inverse.traces)
        if self.problem.reml and self.problem.p:
            parts, _ = self._of_rows
            for name, G in self.elimination.lambdas.by_factor(columns(parts, slice(1, None))).items():
                explained = np.einsum("jap,pr,jbr->ab", G, self._fixed[1], G, optimize=True)
                sampled[name] = sampled[name] - explained[:, :, None]
        return {name: values / self.point.sigma2 for name, values in sampled.items()}

    def gradients(self) -> Floats:
        """d loglik/d phi as each probe has it, shape (n, m); they differ in the traces alone."""
        problem, sigma2 = self.problem, self.point.sigma2
        terms, matrices = problem.space.terms, self.point.matrices
        scores = tuple(
            0.5 * ((g.T @ g)[:, :, None] - self.traces[name])
            for name, g in ((term.name, self.level_scores[term.name]) for term in terms)
        )
        pairs = zip(terms, matrices, strict=True)
        random = sum(np.einsum("ab,abm->m", S, self.traces[term.name]) for term, S in pairs)
        of_sigma = 0.5 * (self._squares / sigma2 - (self._degrees - random)) / sigma2
        return problem.space.gradient(scores, of_sigma)

    def gradient(self) -> Floats:
        """d loglik/d phi in the order of the parameter space."""
        return self.gradients().mean(axis=1)

    def average_information(self) -> Floats:
        """AI, shape (n, n), in the order of the parameter space."""
        return self._information

    @cached_property
    def _information(self) -> Floats:
        problem, elimination = self.problem, self.elimination
        lambdas, sigma2 = elimination.lambdas, self.point.sigma2
        a = entry_columns(problem.space, problem.layout, self.level_scores)
        taken = elimination.gram(a)
        own = self._scores
        h = Parts(
            np.concatenate([taken.e, own.e / sigma2], axis=2), np.hstack([taken.rest, own.rest / sigma2])
        )
        n = a.rest.shape[1]
        weighted = np.empty((n + 1, n + 1))
        weighted[:n, :n] = inner(a, taken)
        weighted[:n, n] = weighted[n, :n] = inner(a, own)[:, 0] / sigma2
        weighted[n, n] = self._squares / sigma2**2
        rhs = lambdas.transpose_times(h)
        tol = problem.accuracy.exact if problem.signs.complete else problem.accuracy.sampled
        x = self._system.solve(elimination.reduce(rhs), tol=tol).x
        solved = elimination.recover(rhs, x)
        left = weighted - inner(rhs, solved)
        of_X = columns(problem.products, slice(1, None))
        fixed = np.hstack([inner(of_X, a), np.zeros((problem.p, 1))])
        fixed -= inner(lambdas.transpose_times(of_X), solved)
        return 0.5 * (left - fixed.T @ self._fixed[1] @ fixed) / sigma2

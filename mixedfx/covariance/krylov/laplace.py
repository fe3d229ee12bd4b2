"""Laplace-approximated log-likelihood of generalized models by the krylov engine: value, gradient, average information.

The definitions are those of `mixedfx.covariance.laplace`. With the rows' derivative of the linear predictor by each
parameter, the mode following (f = Z_k E g_k for the entry E = dSigma_k/dphi),

    d eta = [f, X, 0] - Z C_bb^-1 Z' [W f, W X, K],   K = w d l'/d alpha,

the log-determinant's part of the gradient is -1/2 sum_r h_r w l''' d eta_r (thresholds: dW/d alpha besides), in which
the leverages h_r come from the probes as the traces do.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from mixedfx.covariance.derivatives import Derivatives, mode_starts
from mixedfx.covariance.entry_columns import entry_columns
from mixedfx.covariance.krylov.mode import Mode, SortedRows, find_mode
from mixedfx.covariance.krylov.sampled_inverse import FINE, Accuracy, SampledInverse
from mixedfx.covariance.parameters import Covariances, ParameterSpace
from mixedfx.covariance.response import Response
from mixedfx.design import Design
from mixedfx.errors import ConvergenceError
from mixedfx.families import Family
from mixedfx.linalg.deflation import coarse_directions
from mixedfx.linalg.intercept_operator import row_operator
from mixedfx.linalg.lambdas import Lambdas
from mixedfx.linalg.layout import RowLayout, arrange
from mixedfx.linalg.leverages import LeverageSums, LeverageWeights
from mixedfx.linalg.operator import Parts
from mixedfx.linalg.probes import ProbeSigns
from mixedfx.linalg.random_parts import inner

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class KrylovLaplaceProblem:
    """Data of a generalized model, sorted once for all evaluations.

    Attributes
    ----------
    rows
        What eta is made of.
    response
        Sorted responses.
    signs
        Of the probes, for the reduced system's coefficients.
    accuracy
        Of the solutions and the modes.
    """

    rows: SortedRows
    space: ParameterSpace
    response: Response
    signs: ProbeSigns
    accuracy: Accuracy

    @classmethod
    def of(
        cls, design: Design, family: Family, *, probes: int, seed: int, accuracy: Accuracy = FINE
    ) -> KrylovLaplaceProblem:
        operator = row_operator(arrange(design.predictors.random_alone()))
        order, predictors = operator.layout.order, design.predictors
        rows = SortedRows(
            operator,
            coarse_directions(operator.layout),
            predictors.X()[order],
            predictors.offset[order] if predictors.has_offset else predictors.offset,
        )
        signs = ProbeSigns.of(operator.layout.n_rest, probes, seed, n_rows=design.n_rows)
        space, response = ParameterSpace.of(predictors.terms), Response.of(design, family, order)
        return cls(rows, space, response, signs, accuracy)

    @property
    def layout(self) -> RowLayout:
        return self.rows.operator.layout

    @property
    def p(self) -> int:
        """Fixed effects."""
        return self.rows.X.shape[1]

    def near(self, other: KrylovLaplacePoint, *, probes: int, seed: int) -> KrylovLaplacePoint:
        """The likelihood at a point by other probes."""
        signs = ProbeSigns.of(self.layout.n_rest, probes, seed, n_rows=self.layout.n_rows)
        return replace(other, problem=replace(self, signs=signs))

    def at(
        self, point: Covariances, beta: Floats, alpha: Floats, b: Mapping[str, Floats] | None = None
    ) -> KrylovLaplacePoint:
        """The likelihood at a point; the inner iterations start from `b` (factor -> (J, q)), or from 0."""
        lambdas = self.space.lambdas(self.layout, point)
        u = None if b is None else self._in_u(b, lambdas)
        if u is None:
            layout = self.layout
            u = Parts(np.zeros((layout.n_levels, layout.q, 1)), np.zeros((layout.n_rest, 1)))
        return KrylovLaplacePoint(self, point, self.mode(lambdas, u, beta, alpha))

    def mode(self, lambdas: Lambdas, u: Parts, beta: Floats, alpha: Floats) -> Mode:
        """The inner mode, from `u`."""
        return find_mode(self.rows, lambdas, self.response, u, beta, alpha, settled=self.accuracy.settled)

    def _in_u(self, b: Mapping[str, Floats], lambdas: Lambdas) -> Parts | None:
        """Lambda^-1 b, one column; None where a covariance is singular."""
        layout = self.layout
        rest = np.zeros((layout.n_rest, 1))
        for block in layout.rest:
            rest[block.slice, 0] = b[block.name].ravel()
        return lambdas.solved(Parts(b[layout.eliminated.name][:, :, None].copy(), rest))


@dataclass(frozen=True, eq=False)
class KrylovLaplacePoint:
    """The likelihood at one point (Sigma, beta, alpha).

    Attributes
    ----------
    mode
        The inner mode, and the Hessian there.
    failed
        No mode was found, or thresholds do not increase: the likelihood counts as 0, and `mode` is the last one found
        elsewhere.
    """

    problem: KrylovLaplaceProblem
    point: Covariances
    mode: Mode
    failed: bool = False

    @property
    def beta(self) -> Floats:
        """Fixed effects, shape (p,)."""
        return self.mode.beta

    @property
    def alpha(self) -> Floats:
        """Thresholds, shape (m,)."""
        return self.mode.alpha

    @property
    def vector(self) -> Floats:
        """Parameters: the covariances' (sigma^2 = 1 among them), then beta and alpha."""
        return np.concatenate([self.problem.space.vector(self.point), self.beta, self.alpha])

    def move(self, vector: Floats) -> KrylovLaplacePoint:
        """The likelihood at other parameters; the inner iterations start from this point's mode."""
        problem, size = self.problem, self.problem.space.size
        point = problem.space.point(vector[:size])
        beta, alpha = vector[size : size + problem.p], vector[size + problem.p :]
        if (np.diff(alpha) <= 0).any():
            return replace(self, point=point, failed=True)
        lambdas = problem.space.lambdas(problem.layout, point)
        known, here = vars(self).get("_derivatives"), self.mode.elimination.lambdas
        for start in mode_starts(known, self.mode.u, here, vector - self.vector, lambdas):
            with suppress(ConvergenceError):
                return KrylovLaplacePoint(problem, point, problem.mode(lambdas, start, beta, alpha))
        return replace(self, point=point, failed=True)

    @cached_property
    def _inverse(self) -> SampledInverse:
        layout, mode = self.problem.layout, self.mode
        nothing = Parts(np.zeros((layout.n_levels, layout.q, 0)), np.zeros((layout.n_rest, 0)))
        signs, accuracy = self.problem.signs, self.problem.accuracy
        return SampledInverse.of(mode.elimination, mode.system, signs, nothing, accuracy)

    @property
    def logdets(self) -> Floats:
        """log|C_bb| in u as each probe has it, shape (m,)."""
        return self._inverse.logdets

    @property
    def loglik(self) -> float:
        """Log-likelihood with all constants; minus infinity where the mode was not found."""
        if self.failed:
            return -np.inf
        loss = self.mode.loss + 0.5 * float(self.logdets.mean())
        return self.problem.response.constant - loss

    @cached_property
    def level_scores(self) -> dict[str, Floats]:
        """g_kj = -Z_kj'(w l'), factor -> (J, q)."""
        by_factor = self.mode.elimination.lambdas.by_factor(self.mode.slope)
        return {name: -values[:, :, 0] for name, values in by_factor.items()}

    @property
    def b(self) -> dict[str, Floats]:
        """Conditional modes, factor -> (J, q)."""
        lambdas = self.mode.elimination.lambdas
        return {k: v[:, :, 0] for k, v in lambdas.by_factor(lambdas.times(self.mode.u)).items()}

    def modes_at(self, vector: Floats) -> dict[str, Floats]:
        """Conditional modes at other parameters, to first order, factor -> (J, q)."""
        lambdas = self.mode.elimination.lambdas
        there = self._derivatives.moved(lambdas.times(self.mode.u), vector - self.vector)
        return {name: b[:, :, 0] for name, b in lambdas.by_factor(there).items()}

    @cached_property
    def _derivatives(self) -> Derivatives:
        rows, mode, accuracy = self.problem.rows, self.mode, self.problem.accuracy
        return Derivatives.of(
            rows.operator,
            rows.X,
            mode.omega,
            mode.border,
            entry_columns(self.problem.space, self.problem.layout, self.level_scores),
            gram=mode.elimination.gram,
            solve=partial(
                mode.solve, tol=accuracy.exact if self.problem.signs.complete else accuracy.sampled
            ),
        )

    @cached_property
    def _leverage_sums(self) -> LeverageSums:
        """Of the derivatives of w l'' by eta and thresholds."""
        problem, mode = self.problem, self.mode
        third = problem.response.third(mode.eta, mode.alpha)
        weights = LeverageWeights(
            third.d3, problem.rows.X, third.upper, third.lower, third.category, third.size
        )
        return self._inverse.leverage_sums(weights)

    @cached_property
    def _scores(self) -> tuple[tuple[Floats, ...], Floats]:
        """The gradient at fixed u: by Sigma, a (q, q, m) matrix of each factor, and by (beta, alpha)."""
        own, T = self.level_scores, self._inverse.traces
        matrices = tuple(
            0.5 * ((own[t.name].T @ own[t.name])[:, :, None] - T[t.name]) for t in self.problem.space.terms
        )
        return matrices, -np.concatenate([self.mode.fixed_slope, self.mode.alpha_slope])

    @cached_property
    def _gradients(self) -> Floats:
        matrices, fixed = self._scores
        space, sums, b = self.problem.space, self._leverage_sums, self._derivatives.b
        m = self.problem.signs.count
        out = np.vstack([space.gradient(matrices, np.zeros(m)), np.repeat(fixed[:, None], m, axis=1)])
        out -= 0.5 * inner(b, Parts(sums.e, sums.rest))
        out[space.size :] -= 0.5 * np.vstack([sums.beta, sums.alpha])
        return out

    def gradients(self) -> Floats:
        """dL in the order of `vector` as each probe has it, shape (n, m); 0 for sigma^2."""
        return self._gradients

    def gradient(self) -> Floats:
        """dL in the order of `vector`; 0 for sigma^2."""
        return self._gradients.mean(axis=1)

    def gradient_alone(self) -> Floats:
        """`gradient` by one solution for all parameters, where the derivatives of the mode are not wanted."""
        problem, mode, sums = self.problem, self.mode, self._leverage_sums
        space, border, lambdas = problem.space, mode.border, mode.elimination.lambdas
        pull = Parts(sums.e.mean(axis=2, keepdims=True), sums.rest.mean(axis=1, keepdims=True))
        taken = mode.solve(pull, tol=problem.accuracy.exact)
        image = mode.elimination.gram(taken)
        left = lambdas.by_factor(Parts(pull.e - image.e, pull.rest - image.rest))
        matrices, fixed = self._scores
        own = []
        for term, matrix in zip(space.terms, matrices, strict=True):
            cross = left[term.name][:, :, 0].T @ self.level_scores[term.name]
            own.append(matrix.mean(axis=2, keepdims=True) - 0.25 * (cross + cross.T)[:, :, None])
        eta = problem.rows.operator.matvec(taken)
        by_fixed = np.concatenate(
            [
                sums.beta.mean(axis=1) - problem.rows.X.T @ (mode.omega * eta[:, 0]),
                sums.alpha.mean(axis=1) - border.transpose_times(eta)[:, 0],
            ]
        )
        return np.concatenate([space.gradient(tuple(own), np.zeros(1))[:, 0], fixed - 0.5 * by_fixed])

    def average_information(self) -> Floats:
        """Of (phi, beta, alpha), as `LaplacePoint.average_information` has it."""
        return self._derivatives.information

"""Laplace-approximated log-likelihood of generalized models: value, gradient and average information.

As glmer (nAGQ = 1) and ordinal's clmm define it, at the mode of u given (Sigma, beta, alpha):

    L = -sum w l - |u|^2 / 2 - 1/2 log|Lambda' Z'WZ Lambda + I| + constant,   W = diag(w l'')

With g_kj = -Z_kj'(w l'), h_r = z_r' C_bb^-1 z_r (leverages), c = h w l''', and rho = c - W Z C_bb^-1 Z' c,

    dL = sum_k tr(S_k dSigma_k),   S_k = 1/2 sum_j (g_kj g_kj' - Z_kj' T Z_kj) - 1/4 sum_j (d_kj g_kj' + g_kj d_kj')
    dL/dbeta  = -X'(w l' + rho / 2)
    dL/dalpha = -sum w dl/dalpha - 1/2 (h' dW/dalpha - c' Z C_bb^-1 Z' dw l'/dalpha)

with d_kj = Z_kj' rho: the mode moves with the parameters, and with it the log-determinant. nAGQ = 0 has the joint mode
of (u, beta, alpha) inside, and the Hessian of all three in place of C_bb in rho (not in T and h).
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mixedfx.covariance.conditional import dense_level_covariances
from mixedfx.covariance.derivatives import Derivatives, mode_starts
from mixedfx.covariance.entry_columns import entry_columns
from mixedfx.covariance.parameters import Covariances, ParameterSpace
from mixedfx.covariance.pirls import Mode, Rows, Unknowns, find_joint_mode, find_mode
from mixedfx.covariance.response import Response
from mixedfx.covariance.traces import level_traces
from mixedfx.design import Design
from mixedfx.errors import ConvergenceError
from mixedfx.families import Family
from mixedfx.linalg.intercept_operator import row_operator
from mixedfx.linalg.layout import RowLayout, arrange
from mixedfx.linalg.memory import check_dense
from mixedfx.linalg.operator import Parts
from mixedfx.linalg.random_rows import RandomRows

Floats = NDArray[np.float64]

MATRICES = 3
"""Over the rest: the factors at two points, and an inverse."""


@dataclass(frozen=True, eq=False)
class LaplaceProblem:
    """Data of a generalized model, sorted once for all evaluations.

    Attributes
    ----------
    profiled
        Whether beta and thresholds are found by the inner iterations (nAGQ = 0) and are no parameters.
    """

    rows: Rows
    space: ParameterSpace
    response: Response
    profiled: bool

    @classmethod
    def of(cls, design: Design, family: Family, *, profiled: bool = False) -> LaplaceProblem:
        layout = arrange(design.predictors)
        check_dense(layout, layout.alpha_start**2, MATRICES)
        predictors, order = design.predictors, layout.order
        rows = Rows(
            row_operator(layout),
            RandomRows.of(predictors, layout),
            predictors.X()[order],
            np.array(predictors.offset)[order],
        )
        space = ParameterSpace.of(predictors.terms)
        return cls(rows, space, Response.of(design, family, order), profiled)

    @property
    def layout(self) -> RowLayout:
        return self.rows.operator.layout

    def at(self, point: Covariances, beta: Floats, alpha: Floats) -> LaplacePoint:
        """The likelihood at a point; fixed effects that are profiled out are looked for from those given."""
        layout, lambdas = self.layout, self.space.lambdas(self.layout, point)
        rest = np.zeros((layout.n_rest, 1))
        rest[layout.beta_start :, 0] = beta
        unknowns = Unknowns(Parts(np.zeros((layout.n_levels, layout.q, 1)), rest), alpha)
        find = find_joint_mode if self.profiled else find_mode
        return LaplacePoint(self, point, find(self.rows, lambdas, self.response, unknowns))

    def by_factor(self, b: Parts) -> dict[str, Floats]:
        """Factor -> (J, q), from a one-column vector in b."""
        layout = self.layout
        out = {layout.eliminated.name: b.e[:, :, 0]}
        out |= {k.name: b.rest[k.slice, 0].reshape(k.n_levels, k.q) for k in layout.rest}
        return out


@dataclass(frozen=True, eq=False)
class LaplacePoint:
    """The likelihood at one point (Sigma, beta, alpha).

    Attributes
    ----------
    mode
        The inner mode, and the Hessian there.
    failed
        No mode was found, or thresholds do not increase: the likelihood counts as 0, and `mode` is the last one found
        elsewhere.
    """

    problem: LaplaceProblem
    point: Covariances
    mode: Mode
    failed: bool = False

    @property
    def beta(self) -> Floats:
        """Fixed effects, shape (p,)."""
        return self.mode.at.x.rest[self.problem.layout.beta_start :, 0]

    @property
    def alpha(self) -> Floats:
        """Thresholds, shape (m,)."""
        return self.mode.at.alpha

    @property
    def vector(self) -> Floats:
        """Parameters: the covariances' (sigma^2 = 1 among them), then beta and alpha unless they are profiled out."""
        phi = self.problem.space.vector(self.point)
        return phi if self.problem.profiled else np.concatenate([phi, self.beta, self.alpha])

    def move(self, vector: Floats) -> LaplacePoint:
        """The likelihood at other parameters; the inner iterations start from this point's mode."""
        problem, size = self.problem, self.problem.space.size
        point = problem.space.point(vector[:size])
        lambdas = problem.space.lambdas(problem.layout, point)
        beta, alpha = vector[size : size + problem.layout.p], vector[size + problem.layout.p :]
        if (np.diff(alpha) <= 0).any():
            return replace(self, point=point, failed=True)
        if problem.profiled:
            with suppress(ConvergenceError):
                mode = find_joint_mode(problem.rows, lambdas, problem.response, self.mode.at)
                return LaplacePoint(problem, point, mode)
            return replace(self, point=point, failed=True)
        x, known = self.mode.at.x, vars(self).get("_derivatives")
        u = Parts(x.e, x.rest[: problem.layout.beta_start])
        for near in mode_starts(known, u, self.mode.hessian.lambdas, vector - self.vector, lambdas):
            with suppress(ConvergenceError):
                start = Unknowns(Parts(near.e, np.concatenate([near.rest, beta[:, None]])), alpha)
                mode = find_mode(problem.rows, lambdas, problem.response, start, self.mode.hessian)
                return LaplacePoint(problem, point, mode)
        return replace(self, point=point, failed=True)

    @property
    def loglik(self) -> float:
        """Log-likelihood with all constants; minus infinity where the mode was not found."""
        if self.failed:
            return -np.inf
        mode = self.mode
        loss = mode.response.loss + mode.penalty + 0.5 * mode.hessian.logdet
        return self.problem.response.constant - loss

    @cached_property
    def b(self) -> dict[str, Floats]:
        """Conditional modes, factor -> (J, q)."""
        return self.problem.by_factor(self.mode.hessian.lambdas.times(self.mode.at.x))

    @property
    def condvar(self) -> dict[str, Floats]:
        """Covariances of each level's coefficients given the fixed effects, factor -> (J, q, q)."""
        return self._from_inverse[2]

    @cached_property
    def level_scores(self) -> dict[str, Floats]:
        """g_kj = -Z_kj'(w l'), factor -> (J, q)."""
        gradient = self.problem.rows.random.transpose_times(-self.mode.response.d1)
        return self.problem.by_factor(gradient)

    def score_matrices(self) -> tuple[Floats, ...]:
        """S_k of every term: dL = tr(S_k dSigma_k)."""
        return self._scores[0]

    def gradient(self) -> Floats:
        """dL in the order of `vector`; 0 for sigma^2."""
        matrices, beta, alpha = self._scores
        phi = self.problem.space.gradient(matrices, 0.0)
        return phi if self.problem.profiled else np.concatenate([phi, beta, alpha])

    @cached_property
    def _from_inverse(self) -> tuple[Floats, dict[str, Floats], dict[str, Floats]]:
        """(leverages h, shape (N,); sum_j Z_kj' T Z_kj of every factor; `condvar`): the inverse itself is not kept."""
        hessian = self.mode.hessian
        H = hessian.rest_covariance()
        h, explained = self.problem.rows.random.leverages(hessian.omega, hessian.M, H)
        traces = level_traces(hessian.lambdas, hessian.blocks, hessian.M, H, explained, hessian.reduced)
        return h, traces, dense_level_covariances(hessian.lambdas, hessian.M, H, explained)

    @cached_property
    def _scores(self) -> tuple[tuple[Floats, ...], Floats, Floats]:
        problem, mode, hessian = self.problem, self.mode, self.mode.hessian
        lambdas, random, border = hessian.lambdas, problem.rows.random, mode.response.border
        h, traces, _ = self._from_inverse
        third = problem.response.third(mode.eta, self.alpha)
        pull, by_alpha = h * third.d3, third.by_threshold(h)
        if problem.profiled:
            rhs = lambdas.transpose_times(problem.rows.operator.rmatvec(pull[:, None]))
            _, t, followed = mode.system.solve_joint(rhs, by_alpha[:, None])
            followed = followed[:, 0]
            rho = pull - hessian.omega * followed
            if len(t):
                rho -= border.dense() @ t[:, 0]
        else:
            followed = self._explained(pull)
            rho = pull - hessian.omega * followed
        d, g = problem.by_factor(random.transpose_times(rho)), self.level_scores
        matrices = []
        for term in problem.space.terms:
            cross = d[term.name].T @ g[term.name]
            own = g[term.name].T @ g[term.name]
            matrices.append(0.5 * (own - traces[term.name]) - 0.25 * (cross + cross.T))
        beta = -problem.rows.X.T @ (mode.response.d1 + 0.5 * rho)
        alpha = -mode.response.alpha_slope - 0.5 * (
            by_alpha - border.transpose_times(followed[:, None])[:, 0]
        )
        return tuple(matrices), beta, alpha

    def average_information(self) -> Floats:
        """Average information of the working response (normal, weights W), in the order of `vector`."""
        whole, size = self._whole_information, self.problem.space.size
        if not self.problem.profiled:
            return whole
        inner = slice(size, None)
        taken = whole[:size, inner] @ np.linalg.solve(whole[inner, inner], whole[inner, :size])
        return whole[:size, :size] - taken

    def fixed_covariance(self) -> Floats:
        """Of (beta, alpha) at these covariances, from the Hessian with u profiled out; (X'V^-1 X)^-1 without alpha."""
        size = self.problem.space.size
        return np.linalg.inv(self._whole_information[size:, size:])

    @property
    def _whole_information(self) -> Floats:
        """Of (phi, beta, alpha).

        For covariances half f_i' V^-1 f_j with f = Z_k E g_k, for (beta, alpha) their block of the joint Hessian with u
        profiled out; the mean of the observed and the expected information between the two.
        """
        return self._derivatives.information

    @cached_property
    def _derivatives(self) -> Derivatives:
        problem, hessian = self.problem, self.mode.hessian
        rows = problem.rows
        return Derivatives.of(
            rows.random.operator,
            rows.X,
            hessian.omega,
            self.mode.response.border,
            entry_columns(problem.space, rows.random.layout, self.level_scores),
            gram=hessian.gram,
            solve=hessian.solve_in_b,
        )

    def _explained(self, rows: Floats) -> Floats:
        """Z C_bb^-1 Z' rows, shape (N,)."""
        random, hessian = self.problem.rows.random, self.mode.hessian
        lambdas = hessian.lambdas
        x = hessian.solve(lambdas.transpose_times(random.transpose_times(rows)))
        return random.times(lambdas.times(x), np.zeros_like(rows))

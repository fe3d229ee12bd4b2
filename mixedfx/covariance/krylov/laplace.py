"""Laplace-approximated log-likelihood of generalized models by the krylov engine: value, gradient, average information.

The definitions are those of `mixedfx.covariance.laplace`. With the rows' derivative of the linear predictor by each
parameter, the mode following (f = Z_k E g_k for the entry E = dSigma_k/dphi),

    d eta = [f, X, 0] - Z C_bb^-1 Z' [W f, W X, K],   K = w d l'/d alpha,

the log-determinant's part of the gradient is -1/2 sum_r h_r w l''' d eta_r (thresholds: dW/d alpha besides), in which
the leverages h_r come from the probes as the traces do.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mixedfx.covariance.krylov.entry_columns import entry_columns
from mixedfx.covariance.krylov.mode import Mode, SortedRows, find_mode
from mixedfx.covariance.krylov.sampled_inverse import EXACT, SAMPLED, SampledInverse
from mixedfx.covariance.krylov.traces import inverse_factor
from mixedfx.covariance.parameters import Covariances, ParameterSpace
from mixedfx.covariance.response import Response
from mixedfx.design import Design
from mixedfx.errors import ConvergenceError
from mixedfx.families import Family
from mixedfx.linalg.deflation import coarse_directions
from mixedfx.linalg.intercept_operator import row_operator
from mixedfx.linalg.lambdas import Lambdas
from mixedfx.linalg.layout import RowLayout, arrange
from mixedfx.linalg.operator import Parts
from mixedfx.linalg.probes import ProbeSigns

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
    """

    rows: SortedRows
    space: ParameterSpace
    response: Response
    signs: ProbeSigns

    @classmethod
    def of(cls, design: Design, family: Family, *, probes: int, seed: int) -> KrylovLaplaceProblem:
        operator = row_operator(arrange(design.predictors.random_alone()))
        order, predictors = operator.layout.order, design.predictors
        rows = SortedRows(
            operator,
            coarse_directions(operator.layout),
            predictors.X()[order],
            np.array(predictors.offset)[order],
        )
        signs = ProbeSigns.of(operator.layout.n_rest, probes, seed, n_rows=design.n_rows)
        return cls(rows, ParameterSpace.of(predictors.terms), Response.of(design, family, order), signs)

    @property
    def layout(self) -> RowLayout:
        return self.rows.operator.layout

    @property
    def p(self) -> int:
        """Fixed effects."""
        return self.rows.X.shape[1]

    def near(self, other: KrylovLaplacePoint) -> KrylovLaplacePoint:
        """The likelihood at another problem's point: the same data with other probes."""
        return replace(other, problem=self)

    def at(self, point: Covariances, beta: Floats, alpha: Floats) -> KrylovLaplacePoint:
        """The likelihood at a point; the inner iterations start from u = 0."""
        layout = self.layout
        u = Parts(np.zeros((layout.n_levels, layout.q, 1)), np.zeros((layout.n_rest, 1)))
        mode = find_mode(self.rows, self.space.lambdas(self.layout, point), self.response, u, beta, alpha)
        return KrylovLaplacePoint(self, point, mode)


@dataclass(frozen=True, eq=False)
class _Derivatives:
    """By the parameters, one column each.

    Attributes
    ----------
    weighted
        [W f, W X, K], shape (N, parameters).
    eta
        d eta, likewise.
    b
        The mode's.
    """

    weighted: Floats
    eta: Floats
    b: Parts


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
        try:
            start = self._followed(vector, lambdas)
            mode = find_mode(problem.rows, lambdas, problem.response, start, beta, alpha)
        except ConvergenceError:
            return replace(self, point=point, failed=True)
        return KrylovLaplacePoint(problem, point, mode)

    def _followed(self, vector: Floats, lambdas: Lambdas) -> Parts:
        """u at other parameters, to first order where the mode's derivative is known already, else as it is here."""
        inverses = [inverse_factor(factor) for factor in (lambdas.e, *lambdas.rest)]
        if "_derivatives" not in vars(self) or any(inverse is None for inverse in inverses):
            return self.mode.u
        moved = np.delete(vector - self.vector, self.problem.space.size - 1)
        here, along = self.mode.elimination.lambdas.times(self.mode.u), self._derivatives.b
        b = Parts(here.e + (along.e @ moved)[:, :, None], here.rest + (along.rest @ moved)[:, None])
        e, *rest = (inverse for inverse in inverses if inverse is not None)
        return Lambdas(lambdas.layout, e, tuple(rest)).times(b)

    @cached_property
    def _inverse(self) -> SampledInverse:
        layout, mode = self.problem.layout, self.mode
        nothing = Parts(np.zeros((layout.n_levels, layout.q, 0)), np.zeros((layout.n_rest, 0)))
        return SampledInverse.of(mode.elimination, mode.system, self.problem.signs, nothing)

    @property
    def logdets(self) -> Floats:
        """log|C_bb| in u as each probe has it, shape (m,)."""
        return self._inverse.logdets

    @property
    def loglik(self) -> float:
        """Log-likelihood with all constants; minus infinity where the mode was not found."""
        if self.failed:
            return -np.inf
        loss = self.mode.response.loss + self.mode.penalty + 0.5 * float(self.logdets.mean())
        return self.problem.response.constant - loss

    @cached_property
    def level_scores(self) -> dict[str, Floats]:
        """g_kj = -Z_kj'(w l'), factor -> (J, q)."""
        slope = self.problem.rows.operator.rmatvec(-self.mode.response.d1[:, None])
        by_factor = self.mode.elimination.lambdas.by_factor(slope)
        return {name: values[:, :, 0] for name, values in by_factor.items()}

    @property
    def b(self) -> dict[str, Floats]:
        """Conditional modes, factor -> (J, q)."""
        lambdas = self.mode.elimination.lambdas
        return {k: v[:, :, 0] for k, v in lambdas.by_factor(lambdas.times(self.mode.u)).items()}

    @cached_property
    def _derivatives(self) -> _Derivatives:
        """By every parameter but sigma^2."""
        problem, mode = self.problem, self.mode
        operator, border, lambdas = problem.rows.operator, mode.response.border, mode.elimination.lambdas
        a = entry_columns(problem.space, problem.layout, self.level_scores)
        direct = np.hstack([operator.matvec(a), problem.rows.X, np.zeros((len(mode.eta), border.size))])
        weighted = mode.response.d2[:, None] * direct
        if border.size:
            weighted[:, -border.size :] = border.dense()
        rhs = lambdas.transpose_times(operator.rmatvec(weighted))
        tol = EXACT if problem.signs.complete else SAMPLED
        x = mode.system.solve(mode.elimination.reduce(rhs), tol=tol).x
        taken = lambdas.times(mode.elimination.recover(rhs, x))
        direct -= operator.matvec(taken)
        n = a.rest.shape[1]
        taken.e[:, :, :n] -= a.e
        taken.rest[:, :n] -= a.rest
        return _Derivatives(weighted, direct, Parts(-taken.e, -taken.rest))

    def gradients(self) -> Floats:
        """dL in the order of `vector` as each probe has it, shape (n, m); 0 for sigma^2."""
        return self._gradients

    @cached_property
    def _gradients(self) -> Floats:
        problem, mode, space = self.problem, self.mode, self.problem.space
        moved = self._derivatives.eta
        third = problem.response.third(mode.eta, mode.alpha)
        Q = third.d3[:, None] * moved
        if third.size:
            Q[:, -third.size :] += _by_threshold(third.upper, third.lower, third.category, third.size)
        implied = -0.5 * self._inverse.leverage_sums(Q)
        own, T = self.level_scores, self._inverse.traces
        scores = tuple(0.5 * ((own[t.name].T @ own[t.name])[:, :, None] - T[t.name]) for t in space.terms)
        of_covariances = space.gradient(scores, np.zeros(problem.signs.count))
        n = space.size - 1
        of_covariances[:n] += implied[:n]
        fixed = np.concatenate([-problem.rows.X.T @ mode.response.d1, -mode.response.alpha_slope])
        return np.vstack([of_covariances, fixed[:, None] + implied[n:]])

    def gradient(self) -> Floats:
        """dL in the order of `vector`; 0 for sigma^2."""
        return self._gradients.mean(axis=1)

    def average_information(self) -> Floats:
        """Of (phi, beta, alpha), as `LaplacePoint.average_information` has it."""
        return self._information

    @cached_property
    def _information(self) -> Floats:
        problem, border = self.problem, self.mode.response.border
        joint = self._derivatives.weighted.T @ self._derivatives.eta
        m, p, size = border.size, problem.p, problem.space.size
        n = size - 1
        if m:
            joint[n + p :, n + p :] += border.hessian()
            joint[n : n + p, n + p :] = joint[n + p :, n : n + p].T
            joint[:n, n + p :] = joint[n + p :, :n].T
        joint = 0.5 * (joint + joint.T)
        joint[:n] *= 0.5
        joint[n:, :n] *= 0.5
        whole = np.zeros((size + p + m, size + p + m))
        kept = np.delete(np.arange(size + p + m), n)
        whole[np.ix_(kept, kept)] = joint
        return whole


def _by_threshold(upper: Floats, lower: Floats, category: NDArray[np.int64], m: int) -> Floats:
    """w d l''/d alpha of every row, shape (N, m)."""
    out, rows = np.zeros((len(upper), m + 1)), np.arange(len(upper))
    out[rows, category] = upper
    out = out[:, :m]
    inner = category > 0
    out[rows[inner], category[inner] - 1] += lower[inner]
    return out

"""Adaptive Gauss-Hermite quadrature of the likelihood: models with one scalar random term.

The levels are independent, and each level's integral over u_j is one-dimensional. With F_j(u) = sum w l + u^2 / 2 over
the level's rows, its mode u_j, s_j = F_j''(u_j)^(-1/2), and nodes x_i with weights w_i of the Gauss-Hermite rule,

    L_j = log[ s_j / sqrt(pi) sum_i w_i exp(x_i^2 - F_j(u_j + sqrt(2) s_j x_i)) ]

(Pinheiro & Bates 1995, J. Comput. Graph. Stat. 4); one node is Laplace's approximation. The gradient is that of this
very sum: mode and scale move with the parameters.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mixedfx.covariance.laplace import LaplacePoint
from mixedfx.errors import SettingError
from mixedfx.families.cumulative import Cumulative
from mixedfx.predictors import CONSTANT, RandomTerm

Floats = NDArray[np.float64]

NEARLY_ZERO = 1e-5
"""Below this standard deviation of u's coefficient the score of its variance is Laplace's, which is its limit."""


@dataclass(frozen=True, eq=False)
class _Nodes:
    """The integrand at every node: shape (k, J) for levels, (k, N) for rows.

    Attributes
    ----------
    u
        Nodes u_j + sqrt(2) s_j x_i.
    share
        Each node's share of its level's integral.
    slope
        w l' of the rows.
    """

    u: Floats
    share: Floats
    slope: Floats
    loglik: float


@dataclass(frozen=True, eq=False)
class QuadraturePoint:
    """The likelihood by `points` nodes a level, around the mode that `laplace` holds."""

    laplace: LaplacePoint
    points: int

    @property
    def vector(self) -> Floats:
        """Parameters, as those of `laplace`."""
        return self.laplace.vector

    def move(self, vector: Floats) -> QuadraturePoint:
        """The likelihood at other parameters."""
        return replace(self, laplace=self.laplace.move(vector))

    @property
    def loglik(self) -> float:
        """Log-likelihood with all constants."""
        return -np.inf if self.laplace.failed else self._nodes.loglik

    def average_information(self) -> Floats:
        """Laplace's, which is good enough to step by."""
        return self.laplace.average_information()

    @property
    def _rule(self) -> tuple[Floats, Floats]:
        """x_i sqrt(2), and log w_i + x_i^2."""
        x, w = np.polynomial.hermite.hermgauss(self.points)
        return np.sqrt(2.0) * x, np.log(w) + x**2

    @property
    def _theta(self) -> float:
        return float(self.laplace.mode.hessian.lambdas.e[0, 0])

    @cached_property
    def _nodes(self) -> _Nodes:
        laplace = self.laplace
        mode, response = laplace.mode, laplace.problem.response
        ptr, z, level = self._rows
        mode_u, s = mode.at.x.e[:, 0, 0], np.sqrt(mode.hessian.A_inverse[:, 0, 0])
        x, log_w = self._rule
        u = mode_u + s * x[:, None]
        auxiliary = laplace.alpha if response.n_thresholds else None
        integrand = np.empty_like(u)
        slope = np.empty((len(x), len(z)))
        for i, at in enumerate(u):
            eta = mode.eta + self._theta * z * (at - mode_u)[level]
            loss = response.weights * response.family.loss(response.y, eta, auxiliary)
            slope[i] = response.weights * response.family.derivatives(response.y, eta, auxiliary).d1
            integrand[i] = log_w[i] - np.add.reduceat(loss, ptr) - 0.5 * at**2
        top = integrand.max(axis=0)
        relative = np.exp(integrand - top)
        total = relative.sum(axis=0)
        value = float((np.log(total) + top + np.log(s)).sum()) - 0.5 * len(s) * np.log(np.pi)
        return _Nodes(u, relative / total, slope, value + response.constant)

    def gradient(self) -> Floats:
        """d loglik in the order of `vector`."""
        laplace, nodes, theta = self.laplace, self._nodes, self._theta
        mode, problem = laplace.mode, laplace.problem
        ptr, z, level = self._rows
        omega, u = mode.hessian.omega, mode.at.x.e[:, 0, 0]
        variance = mode.hessian.A_inverse[:, 0, 0]
        third = problem.response.third(mode.eta, laplace.alpha)

        def by_level(rows: Floats) -> Floats:
            return np.add.reduceat(rows, ptr, axis=-1)

        by_node = theta * by_level(z * nodes.slope) + nodes.u
        # How the sum changes with a level's mode and with its curvature A_j = s_j^-2, and so with the mode through A_j.
        of_mode = -(nodes.share * by_node).sum(axis=0)
        of_scale = 1.0 / np.sqrt(variance) - (nodes.share * by_node * self._rule[0][:, None]).sum(axis=0)
        of_curvature = -0.5 * variance**1.5 * of_scale
        of_mode += of_curvature * theta**3 * by_level(z**3 * third.d3)
        pull = -of_mode * variance
        curvature = by_level(z**2 * omega)
        share = nodes.share[:, level]
        in_third = (of_curvature * theta**2)[level] * z**2
        rows = -(share * nodes.slope).sum(axis=0) + in_third * third.d3 + theta * pull[level] * z * omega
        beta = problem.rows.X.T @ rows
        border = mode.response.border
        alpha = third.by_threshold(in_third)
        alpha += border.transpose_times((theta * pull[level] * z)[:, None])[:, 0]
        alpha -= self._explicit_alpha(share)
        if theta < NEARLY_ZERO:
            variance_score = laplace.score_matrices()[0][0, 0]
        else:
            of_theta = -float((share * nodes.u[:, level] * nodes.slope * z).sum())
            moved = 2 * theta * curvature + theta**2 * u * by_level(z**3 * third.d3)
            of_theta += float(of_curvature @ moved)
            of_theta += float(pull @ (by_level(z * mode.response.d1) + theta * u * curvature))
            variance_score = of_theta / (2 * theta)
        return np.concatenate([[variance_score, 0.0], beta, alpha])

    def _explicit_alpha(self, share: Floats) -> Floats:
        """The nodes' mean of sum w dl/d alpha, shape (m,)."""
        laplace = self.laplace
        mode, response = laplace.mode, laplace.problem.response
        if not isinstance(response.family, Cumulative):
            return np.zeros(0)
        _, z, level = self._rows
        total = np.zeros(response.n_thresholds)
        for at, part in zip(self._nodes.u, share, strict=True):
            eta = mode.eta + self._theta * z * (at - mode.at.x.e[:, 0, 0])[level]
            weights = response.weights * part
            total += response.family.threshold_terms(response.y, eta, weights, laplace.alpha).gradient
        return total

    @cached_property
    def _rows(self) -> tuple[NDArray[np.int64], Floats, NDArray[np.int64]]:
        """First row of each level, the rows' z, and their levels."""
        problem = self.laplace.problem
        ptr = problem.layout.ptr
        random = problem.rows.random
        z = np.ones(problem.layout.n_rows) if random.columns_e[0] == CONSTANT else random.features[:, 0]
        return ptr[:-1], z, np.repeat(np.arange(len(ptr) - 1), np.diff(ptr))


def check_quadrature(terms: tuple[RandomTerm, ...], points: int) -> None:
    """Raise `SettingError` unless the model has a single scalar random term."""
    if len(terms) == 1 and terms[0].q == 1:
        return
    sizes = ", ".join(f"'{t.name}' with {t.q} coefficient{'s' if t.q > 1 else ''}" for t in terms)
    raise SettingError(
        f"nagq={points} needs a model with a single scalar random term, but this one has: {sizes}; use nagq=1 "
        "(Laplace's approximation)"
    )

"""The normal distribution N(mode, C^-1) of all coefficients: exact for gaussian data, Laplace's otherwise.

C = D'WD + blockdiag(0, Sigma^-1) at the mode. Its inverse is taken apart as

    V_bb = C_bb^-1 + G V_fixed G',    G = d b-mode/d(beta, alpha) = -C_bb^-1 C_b,fixed,

so that a conditional variance (lme4's condVar, beta given) never exceeds the marginal one, also where C_bb^-1 is
estimated from draws. "Fixed" are beta and, for the cumulative family, the thresholds alpha.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mixedfx.coefficients.sampled_covariances import sampled_covariances
from mixedfx.linalg.blas import one_blas
from mixedfx.linalg.deflation import coarse_directions, symmetric_pseudo_inverse
from mixedfx.linalg.dense import level_blocks
from mixedfx.linalg.elimination import Elimination
from mixedfx.linalg.operator import Parts
from mixedfx.linalg.reduced import ReducedSystem, reduced_system

Floats = NDArray[np.float64]

DENSE_LIMIT = 5000
"""Conditional covariances are exact where the rest has up to this many coefficients (0.2 GB a matrix)."""
DRAWS_AT_ONCE = 16
MOST_DRAWS = 512
"""Behind conditional covariances otherwise, if fewer are not as exact as is wanted."""
FIRST_DRAWS = 4
"""Often enough where each level has few rows, as in the largest data, or very many."""
SOLVE_TOL = 1e-8
SAMPLED_TOL = 1e-4
"""Of draws that variances are estimated from: far below what chance does to them."""


@dataclass(frozen=True, eq=False)
class LaplaceNormal:
    """Covariances and draws around the mode, at which `elimination` holds C."""

    elimination: Elimination

    @cached_property
    def _system(self) -> ReducedSystem:
        return reduced_system(self.elimination, coarse_directions(self.elimination.operator.layout))

    @cached_property
    def _fixed(self) -> tuple[Floats, dict[str, Floats]]:
        """(V_fixed (p + m, p + m), G: factor -> (J, q, p + m)), by p + m solves."""
        layout = self.elimination.operator.layout
        n_fixed = layout.n_rest - layout.beta_start
        unit = np.zeros((layout.n_rest, n_fixed))
        unit[layout.beta_start :] = np.eye(n_fixed)
        solution = self._solve(Parts(np.zeros((layout.n_levels, layout.q, n_fixed)), unit))
        covariance = solution.rest[layout.beta_start :]
        covariance = 0.5 * (covariance + covariance.T)
        precision = symmetric_pseudo_inverse(covariance)
        by_factor = self.elimination.lambdas.by_factor(self.elimination.lambdas.times(solution))
        return covariance, {name: values @ precision for name, values in by_factor.items()}

    def fixef_covariance(self) -> Floats:
        """V_fixed, of beta and alpha, shape (p + m, p + m); without thresholds (X'V^-1 X)^-1."""
        return self._fixed[0]

    def level_covariances(self, factor: str, *, conditional: bool) -> Floats:
        """Covariance of each level's coefficients, shape (J, q, q).

        Parameters
        ----------
        factor
            Name of the grouping factor.
        conditional
            Given beta and alpha (lme4's condVar), or with their uncertainty included.
        """
        own = self._conditional[factor]
        if conditional:
            return own
        V_fixed, G = self._fixed
        return own + G[factor] @ V_fixed @ np.swapaxes(G[factor], 1, 2)

    def covariances(self, d: Parts, *, tol: float = SOLVE_TOL) -> Parts:
        """Covariances of all coefficients (in b) with the combination in each column of `d`, to a relative `tol`."""
        return self.elimination.lambdas.times(self._solve(self.elimination.lambdas.transpose_times(d), tol))

    def variances(self, d: Parts) -> Floats:
        """d'C^-1 d for every column of `d` (in b), shape (m,)."""
        x = self.covariances(d)
        return np.einsum("jim,jim->m", d.e, x.e) + np.einsum("im,im->m", d.rest, x.rest)

    @one_blas()
    def draws(self, n: int, rng: np.random.Generator) -> tuple[Floats, dict[str, Floats]]:
        """n draws from N(0, C^-1): (beta and alpha (p + m, n), factor -> (J, q, n)).

        A draw solves C x = D'W^(1/2) e1 + Lambda^-T e2 with white e1 (N,), e2 (Papandreou & Yuille 2010, "perturb and
        optimize"); in u the second term is e2 itself. Distances between thresholds have noise of their own.
        """
        layout, lambdas = self.elimination.operator.layout, self.elimination.lambdas
        fixed: list[Floats] = []
        random: dict[str, list[Floats]] = {}
        for first in range(0, n, DRAWS_AT_ONCE):
            solution = self._draw(min(DRAWS_AT_ONCE, n - first), rng)
            fixed.append(solution.rest[layout.beta_start :])
            for name, values in lambdas.by_factor(lambdas.times(solution)).items():
                random.setdefault(name, []).append(values)
        return np.concatenate(fixed, axis=1), {k: np.concatenate(v, axis=2) for k, v in random.items()}

    @one_blas()
    def rest_draws(self, n: int, rng: np.random.Generator) -> tuple[Floats, dict[str, Floats]]:
        """Like `draws`, but for the eliminated factor E[b | all else] at a draw of all else.

        What is left out is N(0, M_j) for each of its levels, independent of all that is here.
        """
        layout, lambdas = self.elimination.operator.layout, self.elimination.lambdas
        x = self._system.solve(self.elimination.reduce(self._noise(n, rng)), tol=SAMPLED_TOL).x
        # Without noise of their own.
        solution = self.elimination.recover(Parts(np.zeros((1, 1, 1)), x), x)
        return x[layout.beta_start :], lambdas.by_factor(lambdas.times(solution))

    def _draw(self, columns: int, rng: np.random.Generator) -> Parts:
        return self._solve(self._noise(columns, rng))

    def _noise(self, columns: int, rng: np.random.Generator) -> Parts:
        """Columns from N(0, H): H^-1 times them are draws in u."""
        elimination = self.elimination
        layout, curvature = elimination.operator.layout, elimination.curvature
        noise = elimination.operator.noise(curvature, int(rng.integers(2**62)), columns)
        in_u = elimination.lambdas.transpose_times(noise)
        white_e = rng.standard_normal((layout.n_levels, layout.q, columns))
        white_rest = elimination.lambdas.penalty(rng.standard_normal((layout.n_rest, columns)))
        values, vectors = np.linalg.eigh(curvature.gap)
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        white_rest[layout.alpha_start :] = root @ rng.standard_normal((layout.n_thresholds, columns))
        return Parts(in_u.e + white_e, in_u.rest + white_rest)

    def _solve(self, rhs: Parts, tol: float = SOLVE_TOL) -> Parts:
        """H^-1 rhs in u."""
        solution = self._system.solve(self.elimination.reduce(rhs), tol=tol)
        return self.elimination.recover(rhs, solution.x)

    @cached_property
    def _conditional(self) -> dict[str, Floats]:
        """Blocks of C_bb^-1, factor -> (J, q, q)."""
        if self.elimination.operator.layout.n_rest <= DENSE_LIMIT:
            return self._conditional_exact()
        return self._conditional_from_draws()

    def _conditional_exact(self) -> dict[str, Floats]:
        elimination = self.elimination
        layout, M = elimination.operator.layout, elimination.M
        H = elimination.lambdas.rest_sandwich(self._system.dense().inverse(with_fixed=False))
        explained = elimination.operator.level_quadratic(elimination.omega, H)
        out = {layout.eliminated.name: M + M @ explained @ M}
        out |= {block.name: level_blocks(H, block) for block in layout.rest}
        return out

    def _conditional_from_draws(self) -> dict[str, Floats]:
        rng = np.random.default_rng(0)
        noise = (self._noise(columns, rng) for columns in batches(MOST_DRAWS))
        return sampled_covariances(self._system, self.elimination, self._fixed[1], noise)


def batches(most: int) -> Iterator[int]:
    """Numbers of draws to make one after the other until they are enough: few at first, `most` in all."""
    made, size = 0, FIRST_DRAWS
    while made < most:
        yield min(size, most - made)
        made += size
        size = min(made, DRAWS_AT_ONCE)

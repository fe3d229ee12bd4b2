"""The normal distribution N(mode, C^-1) of all coefficients: exact for gaussian data, Laplace's otherwise.

C = D'WD + blockdiag(0, Sigma^-1) at the mode. Its inverse is taken apart as

    V_bb = C_bb^-1 + G V_fixed G',    G = d b-mode/d(beta, alpha) = -C_bb^-1 C_b,fixed,

so that a conditional variance (lme4's condVar, beta given) never exceeds the marginal one, also where C_bb^-1 is
estimated from draws. "Fixed" are beta and, for the cumulative family, the thresholds alpha.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mixedfx.linalg.bordered import Border, BorderedSolution, BorderedSystem, bordered_system, no_border
from mixedfx.linalg.deflation import coarse_directions
from mixedfx.linalg.dense import level_blocks
from mixedfx.linalg.elimination import Elimination
from mixedfx.linalg.operator import Parts
from mixedfx.linalg.reduced import reduced_system

Floats = NDArray[np.float64]

DENSE_LIMIT = 5000
"""Conditional variances are exact where the rest has up to this many coefficients (0.2 GB a matrix)."""
MONTE_CARLO_DRAWS = 512
"""Draws behind a conditional variance otherwise: its Monte Carlo error is sqrt(2 / 512) = 6 %, 3 % of the sd."""
DRAWS_AT_ONCE = 16
SOLVE_TOL = 1e-8


@dataclass(frozen=True, eq=False)
class LaplaceNormal:
    """Covariances and draws around the mode; `elimination` and `thresholds`, if any, hold C at the mode."""

    elimination: Elimination
    thresholds: Border | None = None

    @cached_property
    def border(self) -> Border:
        """The thresholds' border, or one of no unknowns."""
        return no_border(len(self.elimination.omega)) if self.thresholds is None else self.thresholds

    @cached_property
    def _system(self) -> BorderedSystem:
        system = reduced_system(self.elimination, coarse_directions(self.elimination.operator.layout))
        return bordered_system(self.elimination, system, self.border, tol=SOLVE_TOL)

    @cached_property
    def _fixed(self) -> tuple[Floats, dict[str, Floats]]:
        """(V_fixed (p + m, p + m), G: factor -> (J, q, p + m)), by p + m solves."""
        layout, m = self.elimination.operator.layout, self.border.size
        unit = np.zeros((layout.n_rest, layout.p + m))
        unit[layout.beta_start :, : layout.p] = np.eye(layout.p)
        s = np.hstack([np.zeros((m, layout.p)), np.eye(m)])
        rhs = Parts(np.zeros((layout.n_levels, layout.q, layout.p + m)), unit)
        solution = self._system.solve(rhs, s, tol=SOLVE_TOL)
        covariance = np.vstack([solution.x.rest[layout.beta_start :], solution.t])
        covariance = 0.5 * (covariance + covariance.T)
        precision = np.linalg.inv(covariance) if len(covariance) else covariance
        by_factor = self.elimination.lambdas.by_factor(self.elimination.lambdas.times(solution.x))
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

    def covariances(self, d: Parts) -> Parts:
        """Covariances of all coefficients (in b) with the combination in each column of `d`."""
        rhs = self.elimination.lambdas.transpose_times(d)
        s = np.zeros((self.border.size, d.rest.shape[1]))
        return self.elimination.lambdas.times(self._system.solve(rhs, s, tol=SOLVE_TOL).x)

    def variances(self, d: Parts) -> Floats:
        """d'C^-1 d for every column of `d` (in b), shape (m,)."""
        x = self.covariances(d)
        return np.einsum("jim,jim->m", d.e, x.e) + np.einsum("im,im->m", d.rest, x.rest)

    def draws(self, n: int, rng: np.random.Generator) -> tuple[Floats, dict[str, Floats]]:
        """n draws from N(0, C^-1): (beta and alpha (p + m, n), factor -> (J, q, n)).

        A draw solves C x = D'W^(1/2) e1 + Lambda^-T e2 with white e1 (N,), e2 (Papandreou & Yuille 2010, "perturb and
        optimize"); in u the second term is e2 itself. A row that thresholds enter has independent noises sqrt(-K_rm) in
        (alpha_m - eta) instead, whose variances add up to its omega.
        """
        layout, lambdas = self.elimination.operator.layout, self.elimination.lambdas
        fixed: list[Floats] = []
        random: dict[str, list[Floats]] = {}
        for first in range(0, n, DRAWS_AT_ONCE):
            solution = self._draw(min(DRAWS_AT_ONCE, n - first), rng)
            fixed.append(np.concatenate([solution.x.rest[layout.beta_start :], solution.t]))
            for name, values in lambdas.by_factor(lambdas.times(solution.x)).items():
                random.setdefault(name, []).append(values)
        return np.concatenate(fixed, axis=1), {k: np.concatenate(v, axis=2) for k, v in random.items()}

    def _draw(self, columns: int, rng: np.random.Generator) -> BorderedSolution:
        elimination = self.elimination
        layout = elimination.operator.layout
        rows, s = self._row_noise(columns, rng)
        in_u = elimination.lambdas.transpose_times(elimination.operator.rmatvec(rows))
        white_e = rng.standard_normal((layout.n_levels, layout.q, columns))
        white_rest = elimination.lambdas.penalty(rng.standard_normal((layout.n_rest, columns)))
        return self._system.solve(Parts(in_u.e + white_e, in_u.rest + white_rest), s, tol=SOLVE_TOL)

    def _row_noise(self, columns: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Noise of the rows (N, columns) and the border (m, columns) with covariance [W, K; K', A]."""
        order, border = self.elimination.operator.layout.order, self.border
        # Drawn in the caller's row order, so that draws do not depend on how rows are sorted.
        if not border.size:
            noise = rng.standard_normal((len(order), columns))[order]
            return np.sqrt(self.elimination.omega)[:, None] * noise, np.zeros((0, columns))
        rows, s = np.zeros((len(order), columns)), np.zeros((border.size, columns))
        for m in range(border.size):
            root = np.sqrt(-border.K[:, m])
            noise = root[:, None] * rng.standard_normal((len(order), columns))[order]
            rows -= noise
            s[m] = noise.sum(axis=0)
        values, vectors = np.linalg.eigh(border.A + np.diag(border.K.sum(axis=0)))
        gaps = (vectors * np.sqrt(np.maximum(values, 0.0))) @ rng.standard_normal((border.size, columns))
        return rows, s + gaps

    @cached_property
    def _conditional(self) -> dict[str, Floats]:
        """Blocks of C_bb^-1, factor -> (J, q, q)."""
        if self.elimination.operator.layout.n_rest <= DENSE_LIMIT:
            return self._conditional_exact()
        return self._conditional_from_draws()

    def _conditional_exact(self) -> dict[str, Floats]:
        elimination = self.elimination
        layout, M = elimination.operator.layout, elimination.M
        H = elimination.lambdas.rest_sandwich(self._system.system.dense().inverse(with_fixed=False))
        explained = elimination.operator.level_quadratic(elimination.omega, H)
        out = {layout.eliminated.name: M + M @ explained @ M}
        out |= {block.term.name: level_blocks(H, block) for block in layout.rest}
        return out

    def _conditional_from_draws(self) -> dict[str, Floats]:
        """Second moments of draws whose part due to the fixed is taken off: b - G fixed is a draw given them."""
        rng = np.random.default_rng(0)
        sums: dict[str, Floats] = {}
        for _ in range(0, MONTE_CARLO_DRAWS, DRAWS_AT_ONCE):
            fixed, random = self.draws(DRAWS_AT_ONCE, rng)
            for name, b in random.items():
                given = b - self._fixed[1][name] @ fixed
                sums[name] = sums.get(name, 0.0) + given @ np.swapaxes(given, 1, 2)
        return {name: total / MONTE_CARLO_DRAWS for name, total in sums.items()}

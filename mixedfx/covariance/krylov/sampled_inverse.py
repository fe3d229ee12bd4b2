"""What probes say of H = Lambda' Z'WZ Lambda + I: log-determinant, traces and leverages, one sample a probe."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mixedfx.covariance.krylov.traces import sampled_traces
from mixedfx.linalg.elimination import Elimination
from mixedfx.linalg.operator import Parts
from mixedfx.linalg.pcg import CGSolution
from mixedfx.linalg.probes import Probes
from mixedfx.linalg.reduced import ReducedSystem

Floats = NDArray[np.float64]

EXACT = 1e-9
"""Relative accuracy of solutions that the likelihood needs."""
SAMPLED = 1e-5
"""Of the probes' and of average information's."""
FEW = 48
"""Up to so many coefficients a remaining factor's part of the inverse is solved for instead of sampled."""


@dataclass(frozen=True, eq=False)
class SampledInverse:
    """Solutions of probes, of the units of small factors, and of given right-hand sides, by one run of CG.

    Attributes
    ----------
    elimination, system
        H.
    probes, sampled
        The probes and their solutions.
    inverse_sums
        sum_j (S^-1)_jj as each probe has it, remaining factor -> (q, q, m).
    solved
        H^-1 of the given right-hand sides.
    """

    elimination: Elimination
    system: ReducedSystem
    probes: Probes
    sampled: CGSolution
    inverse_sums: dict[str, Floats]
    solved: Parts

    @classmethod
    def of(cls, elimination: Elimination, system: ReducedSystem, signs: Floats, rhs: Parts) -> SampledInverse:
        """For `signs` (2, n_rest, m) and right-hand sides in u."""
        layout, probes = elimination.operator.layout, Probes.of(system, *signs)
        small = [block for block in layout.rest if block.n_levels * block.q <= FEW]
        units = [_units(layout.n_rest, block.start, block.stop) for block in small]
        n, m, k = rhs.rest.shape[1], signs.shape[2], sum(unit.shape[1] for unit in units)
        known = np.hstack([elimination.reduce(rhs), *units])
        start, residual = system.coarse.split(known)
        found = system.solve_from(
            np.hstack([start, np.zeros_like(probes.residual)]),
            np.hstack([residual, probes.residual]),
            system.energy(np.hstack([known, probes.residual])),
            tol=np.repeat([EXACT, SAMPLED], [n, k + m]),
        )
        sampled = found.take(slice(n + k, None))
        sums = probes.level_sums(sampled)
        ends = n + np.cumsum([0, *(unit.shape[1] for unit in units)])
        for block, first, last in zip(small, ends[:-1], ends[1:], strict=True):
            own = found.x[block.slice, first:last].reshape(block.n_levels, block.q, block.n_levels, block.q)
            sums[block.name] = np.repeat(np.einsum("jajb->ab", own)[:, :, None], m, axis=2)
        solved = elimination.recover(rhs, found.x[:, :n])
        return cls(elimination, system, probes, sampled, sums, solved)

    @cached_property
    def logdets(self) -> Floats:
        """log|H|, shape (m,)."""
        return self.elimination.logdet_e + self.probes.logdets(self.sampled)

    @cached_property
    def _forms(self) -> tuple[Floats, Floats]:
        """([x, y, B] of the rest in b, their weighted sums Z_e' W Z_o by eliminated level)."""
        in_u = np.hstack([*self.probes.pairs(self.sampled), self.probes.coarse])
        in_b = self.elimination.lambdas.rest_times(in_u)
        return in_b, self.elimination.operator.level_sums(self.elimination.curvature, in_b)

    @cached_property
    def traces(self) -> dict[str, Floats]:
        """sum_j Z_kj' T Z_kj, T = W - W Z C_bb^-1 Z' W, factor -> (q, q, m)."""
        return sampled_traces(self.elimination, *self._forms, self.inverse_sums, self.sampled.x.shape[1])

    def leverage_sums(self, Q: Floats) -> Floats:
        """sum_r h_r Q_rk with h_r = z_r' C_bb^-1 z_r, shape (n, m); Q (N, n)."""
        in_b, sums = self._forms
        M, operator = self.elimination.M, self.elimination.operator
        return operator.leverage_sums(M, -M @ sums, in_b, Q, self.sampled.x.shape[1])


def _units(n: int, start: int, stop: int) -> Floats:
    """Unit vectors `start`..`stop` of n, as columns."""
    out = np.zeros((n, stop - start))
    out[start:stop] = np.eye(stop - start)
    return out

"""What probes say of H = Lambda' Z'WZ Lambda + I: log-determinant, traces and leverages, one sample a probe."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mixedfx.covariance.krylov.traces import sampled_traces
from mixedfx.linalg.elimination import Elimination
from mixedfx.linalg.layout import Block, RowLayout
from mixedfx.linalg.leverages import LeverageSums, LeverageWeights
from mixedfx.linalg.operator import Parts
from mixedfx.linalg.pcg import CGSolution
from mixedfx.linalg.probes import Probes, ProbeSigns
from mixedfx.linalg.reduced import ReducedSystem

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Accuracy:
    """How exactly linear systems are solved, and modes found.

    Attributes
    ----------
    exact
        Relative error of solutions that the likelihood needs.
    sampled
        Of the probes' and of average information's.
    settled
        Squared Newton decrement at which an inner mode is found.
    """

    exact: float
    sampled: float
    settled: float


FINE = Accuracy(exact=1e-9, sampled=1e-5, settled=1e-12)
"""For estimates; differences of gradients want more of a mode than the likelihood does."""
COARSE = Accuracy(exact=1e-6, sampled=1e-3, settled=1e-6)
"""For a test of covariances on all rows: far below a tenth of a standard error."""
FEW = 48
"""Up to so many coefficients a remaining factor's traces are solved for, level by level, instead of sampled."""


@dataclass(frozen=True, eq=False)
class SampledInverse:
    """Solutions of probes, for every level of small factors, and of given right-hand sides, by one run of CG.

    Attributes
    ----------
    elimination, system
        H.
    signs, probes, sampled
        The probes and their solutions.
    exact
        sum_j Z_j' T Z_j of small remaining factors, (q, q) each.
    solved
        H^-1 of the given right-hand sides.
    """

    elimination: Elimination
    system: ReducedSystem
    signs: ProbeSigns
    probes: Probes
    sampled: CGSolution
    exact: dict[str, Floats]
    solved: Parts

    @classmethod
    def of(
        cls,
        elimination: Elimination,
        system: ReducedSystem,
        signs: ProbeSigns,
        rhs: Parts,
        accuracy: Accuracy,
    ) -> SampledInverse:
        """For signs of the reduced system's coefficients and right-hand sides in u."""
        operator, probes = elimination.operator, Probes.of(system, signs)
        small = [block for block in operator.layout.rest if block.n_levels * block.q <= FEW]
        units = np.hstack(
            [np.zeros((operator.layout.n_rest, 0)), *(_units(operator.layout, b) for b in small)]
        )
        images = np.zeros_like(units)
        if units.shape[1]:
            blocks = elimination.blocks.e
            images = operator.reduced_product(elimination.curvature, blocks, elimination.M, units)
        weighed = elimination.lambdas.rest_transpose_times(images)
        n, m, k = rhs.rest.shape[1], signs.count, units.shape[1]
        known = np.hstack([elimination.reduce(rhs), weighed])
        start, residual = system.coarse.split(known)
        found = system.solve_from(
            np.hstack([start, np.zeros_like(probes.residual)]),
            np.hstack([residual, probes.residual]),
            system.energy(np.hstack([known, probes.residual])),
            tol=np.repeat(
                [accuracy.exact, accuracy.sampled, accuracy.exact if signs.complete else accuracy.sampled],
                [n, k, m],
            ),
        )
        exact, first = {}, 0
        for block in small:
            own = slice(first, first + block.n_levels * block.q)
            left = images[block.slice, own] - weighed[:, own].T @ found.x[:, n:][:, own]
            levels = left.reshape(block.n_levels, block.q, block.n_levels, block.q)
            exact[block.name] = np.einsum("jajb->ab", levels)
            first = own.stop
        solved = elimination.recover(rhs, found.x[:, :n])
        return cls(elimination, system, signs, probes, found.take(slice(n + k, None)), exact, solved)

    @cached_property
    def logdets(self) -> Floats:
        """log|H|, shape (m,)."""
        return self.elimination.logdet_e + self.signs.settled(self.probes.logdets(self.sampled))

    @cached_property
    def _forms(self) -> tuple[Floats, Floats]:
        """([x, y, B] of the rest in b, their weighted sums Z_e' W Z_o by eliminated level)."""
        in_u = np.hstack([*self.probes.pairs(self.sampled), self.probes.coarse])
        in_b = self.elimination.lambdas.rest_times(in_u)
        elimination = self.elimination
        return in_b, elimination.operator.level_sums(elimination.curvature, elimination.blocks.e, in_b)

    @cached_property
    def traces(self) -> dict[str, Floats]:
        """sum_j Z_kj' T Z_kj, T = W - W Z C_bb^-1 Z' W, factor -> (q, q, m)."""
        sums, m = self.probes.level_sums(self.sampled), self.sampled.x.shape[1]
        large = {name: own for name, own in sums.items() if name not in self.exact}
        sampled = sampled_traces(self.elimination, *self._forms, large, m)
        sampled = {name: self.signs.settled(own) for name, own in sampled.items()}
        return sampled | {name: np.repeat(own[:, :, None], m, axis=2) for name, own in self.exact.items()}

    def leverage_sums(self, weights: LeverageWeights) -> LeverageSums:
        """Sums over h_r = z_r' C_bb^-1 z_r, m columns."""
        in_b, sums = self._forms
        M, operator = self.elimination.M, self.elimination.operator
        own = operator.leverage_sums(M, -M @ sums, in_b, weights, self.signs.count)
        return LeverageSums(*map(self.signs.settled, own))


def _units(layout: RowLayout, block: Block) -> Floats:
    """A factor's unit vectors, as columns."""
    out = np.zeros((layout.n_rest, block.n_levels * block.q))
    out[block.slice] = np.eye(block.n_levels * block.q)
    return out

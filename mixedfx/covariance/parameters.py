"""The free covariance parameters as one vector: entries of each Sigma_k, then sigma^2."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedfx.linalg.lambdas import Lambdas
from mixedfx.linalg.layout import RowLayout
from mixedfx.predictors import RandomTerm
from mixedfx.varcorr import CovarianceBlock, VarCorr, free_covariances, lower_factor

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Covariances:
    """A point of the parameter space: Sigma_k in the order of the terms, and sigma^2 (1 where there is none)."""

    matrices: tuple[Floats, ...]
    sigma2: float


@dataclass(frozen=True, eq=False)
class Entry:
    """One free entry of one Sigma: dSigma/dphi is 1 at (i, j) and (j, i)."""

    term: int
    i: int
    j: int


@dataclass(frozen=True, eq=False)
class ParameterSpace:
    """Maps between vectors phi, shape (n,), and `Covariances`.

    Entries come in the order of `VarCorr.to_frame`: a factor's variances, then its free covariances; sigma^2 last.
    """

    terms: tuple[RandomTerm, ...]
    entries: tuple[Entry, ...]

    @classmethod
    def of(cls, terms: tuple[RandomTerm, ...]) -> ParameterSpace:
        entries: list[Entry] = []
        for k, term in enumerate(terms):
            entries += [Entry(k, i, i) for i in range(term.q)]
            entries += [Entry(k, i, j) for i, j in free_covariances(term.free)]
        return cls(terms, tuple(entries))

    @property
    def size(self) -> int:
        return len(self.entries) + 1

    def vector(self, point: Covariances) -> Floats:
        return np.array([point.matrices[e.term][e.i, e.j] for e in self.entries] + [point.sigma2])

    def point(self, phi: Floats) -> Covariances:
        matrices = tuple(np.zeros((t.q, t.q)) for t in self.terms)
        for value, e in zip(phi, self.entries, strict=False):
            matrices[e.term][e.i, e.j] = matrices[e.term][e.j, e.i] = value
        return Covariances(matrices, float(phi[-1]))

    def from_varcorr(self, varcorr: VarCorr) -> Covariances:
        """The covariances of these terms, whatever their order in `varcorr`; sigma^2 is 1 where it has none."""
        matrices = tuple(block.matrix for block in varcorr.align(self.terms).blocks)
        return Covariances(matrices, 1.0 if varcorr.sigma2 is None else varcorr.sigma2)

    def lambdas(self, layout: RowLayout, point: Covariances, scale: float = 1.0) -> Lambdas:
        """The covariance factors at a point, divided by `scale`, arranged as rows are."""
        pairs = zip(self.terms, point.matrices, strict=True)
        return Lambdas.of(layout, {term.name: lower_factor(S) / scale for term, S in pairs})

    def gradient(self, score_matrices: tuple[Floats, ...], score_sigma2: float | Floats) -> Floats:
        """d loglik/d phi from the matrices S_k with d loglik = tr(S_k dSigma_k).

        S_k may be (q, q, m) and the score of sigma^2 (m,), for m likelihoods at once: then the result is (n, m).
        """
        g = [score_matrices[e.term][e.i, e.j] * (1 if e.i == e.j else 2) for e in self.entries]
        return np.array([*g, score_sigma2])

    def basis(self, entry: Entry) -> Floats:
        """dSigma_k/dphi of one entry, shape (q, q)."""
        q = self.terms[entry.term].q
        E = np.zeros((q, q))
        E[entry.i, entry.j] = E[entry.j, entry.i] = 1.0
        return E

    def varcorr(self, point: Covariances, *, has_sigma: bool) -> VarCorr:
        """As the artefact that is frozen."""
        blocks = tuple(
            CovarianceBlock(t.name, t.names, S, t.free)
            for t, S in zip(self.terms, point.matrices, strict=True)
        )
        return VarCorr(blocks, point.sigma2 if has_sigma else None)

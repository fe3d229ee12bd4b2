"""What the data say about each level near the reference point, other factors integrated out where they must be.

Two kinds of directions in b are known far less well than the level's own rows suggest, and would force the
sampler into small steps:

* *nested factors*: a batch is told from its casks only by how casks vary. Where the levels of one factor
  hardly mix those of another (at most `MIXING` of them each, on average), the inner factor is integrated out of
  the outer one's information (a step of a block Cholesky factorisation), and the inner levels' coordinates
  follow the outer ones (`Coupling`);
* *level means*: the fixed effects absorb "raise all levels", so that only the prior is left. The same holds
  for "raise the levels in proportion to x" where x is a fixed effect that is constant within levels. Shifts of
  b along these `patterns` get a precision of their own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.covariance.reference import Reference, level_products, level_sums
from mixedfx.design import Design
from mixedfx.predictors import RandomTerm

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MIXING = 1.5
"""Levels of the outer factor that a level of the inner one may meet, on average, to count as nested in it."""

LINEAR_RANGE = 0.8
"""In units of the standard deviation at which a level's data say as much as the prior (reliability 1/2). With a
quarter of it variances near 0 mix at half the speed, with four times there are divergences where levels are few."""

MAX_SHIFTS = 8
"""Patterns times coefficients, at most: the sampler factorises matrices of this order in every step."""


@dataclass(frozen=True, eq=False)
class Coupling:
    """Z_j'WZ_i for every pair of a level j of the inner factor and a level i of an outer one that share rows.

    `inner` and `outer` are the levels, shape (P,), inner ones rising; `blocks` has shape (P, q, q_outer).
    """

    name: str
    inner: Ints
    outer: Ints
    blocks: Floats


@dataclass(frozen=True, eq=False)
class LevelInformation:
    """The data's part in the distribution of one factor's levels, normal with ``precision + Sigma^-1``.

    Attributes
    ----------
    Sigma
        Covariance at the reference point, shape (q, q).
    linear_range
        Standard deviations up to about here, shape (q,), are sampled on a linear scale, larger ones on a
        logarithmic one.
    precision
        A_j, shape (J, q, q).
    score
        r_j, shape (J, q): the conditional mean is (A_j + Sigma^-1)^-1 r_j, once the pull of the outer factors
        is subtracted: Z_j'W (I - P) Z_outer b_outer, with P the projection on the fixed effects.
    fixed
        U'Z (see `Reference`), shape (p + m, J, q).
    projection
        F^-1 U'Z before any factor is integrated out, shape (p + m, J, q).
    patterns
        V, orthonormal columns, shape (J, m): the constant, and fixed effects that vary between levels only.
    shift_precision, shift_residual
        Information about c, where b = V c, from the level's data alone, and what is left of it when the fixed
        effects are unknown; shape (m, q, m, q).
    couplings
        To the factors this one is nested in.
    """

    Sigma: Floats
    linear_range: Floats
    precision: Floats
    score: Floats
    fixed: Floats
    projection: Floats
    patterns: Floats
    shift_precision: Floats
    shift_residual: Floats
    couplings: tuple[Coupling, ...]

    def reliability(self) -> Floats:
        """Share of each coefficient's precision that its level's data give, shape (J, q)."""
        information = np.einsum("jaa->ja", self.precision) * np.diag(self.Sigma)
        return information / (1 + information)


def sampling_order(terms: tuple[RandomTerm, ...]) -> list[RandomTerm]:
    """Factors with few levels first: outer before inner."""
    return sorted(terms, key=lambda term: term.grouping.n_levels)


def level_information(design: Design, reference: Reference) -> dict[str, LevelInformation]:
    """The information about every factor, keyed by name in sampling order."""
    elimination = _Elimination(design, reference)
    found = {term.name: elimination.next(term) for term in reversed(sampling_order(design.predictors.terms))}
    return {name: found[name] for name in reversed(found)}


class _Elimination:
    """Factors are integrated out one after the other, the innermost first."""

    def __init__(self, design: Design, reference: Reference) -> None:
        predictors = design.predictors
        W, U = reference.weights, reference.fixed_rows
        terms = predictors.terms
        z = {t.name: predictors.z(t) for t in terms}
        self.b = {t.name: b for t, b in zip(terms, reference.b, strict=True)}
        self.Sigma = {t.name: S for t, S in zip(terms, reference.Sigma, strict=True)}
        self.gradient = {t.name: level_sums(t, z[t.name] * reference.gradient[:, None]) for t in terms}
        self.A = {t.name: level_products(t, z[t.name], W) for t in terms}
        self.UZ = {t.name: _fixed_products(t, z[t.name], U) for t in terms}
        F = reference.fixed_hessian
        self.projection = {name: _solve(F, UZ) for name, UZ in self.UZ.items()}
        self.patterns = {t.name: _patterns(t, predictors.X()) for t in terms}
        self.S = {t.name: F for t in terms}
        self.couplings = _couplings(sampling_order(terms), z, W)

    def next(self, term: RandomTerm) -> LevelInformation:
        name = term.name
        A = self.A[name] = _nonnegative(self.A[name])
        couplings = tuple(self.couplings[name].values())
        score = self.gradient[name] + np.einsum("jab,jb->ja", A, self.b[name])
        for coupling in couplings:
            b = self.b[coupling.name]
            np.add.at(score, coupling.inner, np.einsum("rac,rc->ra", coupling.blocks, b[coupling.outer]))
            absorbed = np.einsum("pja,ja->p", self.projection[coupling.name], b)
            score -= np.einsum("pja,p->ja", self.UZ[name], absorbed)
        self._integrate_out(name)
        V = self.patterns[name]
        precision = np.einsum("jn,jab,jm->namb", V, A, V)
        mixed = np.einsum("jn,pja->pna", V, self.UZ[name])
        explained = np.einsum("pna,pmb->namb", mixed, _solve(self.S[name], mixed))
        return LevelInformation(
            self.Sigma[name],
            linear_ranges(A),
            A,
            score,
            self.UZ[name],
            self.projection[name],
            V,
            precision,
            _nonnegative_shift(precision - explained),
            couplings,
        )

    def _integrate_out(self, name: str) -> None:
        """Subtract from the outer factors' information what this factor explains as well."""
        couplings = self.couplings[name]
        C = np.linalg.solve(np.eye(len(self.Sigma[name])) + self.Sigma[name] @ self.A[name], self.Sigma[name])
        XC = np.einsum("pja,jab->pjb", self.UZ[name], C)
        for outer, coupling in couplings.items():
            B, CB = coupling.blocks, C[coupling.inner] @ coupling.blocks
            self.A[outer] = self.A[outer].copy()
            np.subtract.at(self.A[outer], coupling.outer, np.swapaxes(B, 1, 2) @ CB)
            explained = np.einsum("pja,jac->jpc", XC[:, coupling.inner], B)
            UZ = np.moveaxis(self.UZ[outer], 0, 1).copy()
            np.subtract.at(UZ, coupling.outer, explained)
            self.UZ[outer] = np.moveaxis(UZ, 1, 0)
            self.S[outer] = self.S[outer] - np.einsum("pja,qja->pq", XC, self.UZ[name])
            for outermost, further in self.couplings[outer].items():
                if outermost in couplings:
                    self.couplings[outer][outermost] = _reduced(further, coupling, couplings[outermost], CB)


def _couplings(order: list[RandomTerm], z: dict[str, Floats], W: Floats) -> dict[str, dict[str, Coupling]]:
    """Inner factor -> outer factor -> coupling.

    Of several inner factors that are crossed with each other only one couples to their outer factor:
    integrating out both one by one would subtract their common information twice.
    """
    found: dict[str, dict[str, Coupling]] = {term.name: {} for term in order}
    for i in reversed(range(len(order))):
        outer, inside = order[i], None
        for inner in reversed(order[i + 1 :]):
            if inside is not None and inner.name not in found[inside]:
                continue
            coupling = _coupling(inner, outer, z[inner.name], z[outer.name], W)
            if coupling is not None:
                found[inner.name][outer.name] = coupling
                inside = inner.name
    return found


def _coupling(
    inner: RandomTerm, outer: RandomTerm, z_inner: Floats, z_outer: Floats, W: Floats
) -> Coupling | None:
    n_outer = outer.grouping.n_levels
    codes = inner.grouping.codes.astype(np.int64) * n_outer + outer.grouping.codes
    pairs, row_pair = np.unique(codes, return_inverse=True)
    if len(pairs) > MIXING * inner.grouping.n_levels:
        return None
    blocks = np.empty((len(pairs), inner.q, outer.q))
    for a in range(inner.q):
        for c in range(outer.q):
            products = W * z_inner[:, a] * z_outer[:, c]
            blocks[:, a, c] = np.bincount(row_pair, products, minlength=len(pairs))
    return Coupling(outer.name, pairs // n_outer, pairs % n_outer, blocks)


def _reduced(middle: Coupling, to_middle: Coupling, to_outer: Coupling, explained: Floats) -> Coupling:
    """The coupling `middle` -> outer after the inner factor, which couples to both, is integrated out.

    `explained` is C_j B_j for each pair of `to_middle`, shape (P, q_inner, q_middle).
    """
    first = pd.DataFrame({"inner": to_middle.inner, "a": np.arange(len(to_middle.inner))})
    second = pd.DataFrame({"inner": to_outer.inner, "b": np.arange(len(to_outer.inner))})
    a, b = first.merge(second, on="inner")[["a", "b"]].to_numpy().T
    wide = max(int(to_outer.outer.max()), int(middle.outer.max())) + 1
    known = pd.Index(middle.inner * wide + middle.outer)
    at = known.get_indexer(to_middle.outer[a] * wide + to_outer.outer[b])
    together = at >= 0
    blocks = middle.blocks.copy()
    shared = np.swapaxes(explained[a], 1, 2) @ to_outer.blocks[b]
    np.subtract.at(blocks, at[together], shared[together])
    return replace(middle, blocks=blocks)


def _patterns(term: RandomTerm, X: Floats) -> Floats:
    """The constant, and the columns of X that are constant within levels, made orthonormal, shape (J, m)."""
    counts = np.maximum(term.grouping.counts(), 1)
    means = level_sums(term, X) / counts[:, None] if X.shape[1] else np.empty((len(counts), 0))
    within = np.abs(X - means[term.grouping.codes]).max(axis=0)
    between = means[:, within <= 1e-9 * np.abs(X).max(axis=0)]
    columns = np.column_stack([np.ones(len(counts)), between])
    directions, lengths, _ = np.linalg.svd(columns / np.linalg.norm(columns, axis=0), full_matrices=False)
    most = max(MAX_SHIFTS // term.q, 1)
    if len(lengths) > most:  # only the constant, which matters most
        return np.full((len(counts), 1), len(counts) ** -0.5)
    return directions[:, lengths > 1e-6]


def linear_ranges(A: Floats) -> Floats:
    """Standard deviations near the one at which reliabilities are about 1/2, shape (q,), from A_j, shape (J, q, q)."""
    information = np.sqrt((np.einsum("jaa->ja", A) ** 2).mean(axis=0))
    return LINEAR_RANGE / np.sqrt(np.where(information > 0, information, 1.0))


def _nonnegative(A: Floats) -> Floats:
    """The nearest positive semidefinite matrices: for factors that only nearly nest too much was subtracted."""
    values, vectors = np.linalg.eigh(A)
    return np.einsum("jab,jb,jcb->jac", vectors, np.maximum(values, 0.0), vectors)


def _nonnegative_shift(K: Floats) -> Floats:
    flat = K.reshape(1, K.shape[0] * K.shape[1], -1)
    return _nonnegative(flat).reshape(K.shape)


def _fixed_products(term: RandomTerm, z: Floats, U: Floats) -> Floats:
    """U'Z, shape (p + m, J, q), also where there are no fixed effects."""
    products = np.empty((U.shape[1], term.grouping.n_levels, term.q))
    for i, column in enumerate(U.T):
        products[i] = level_sums(term, z * column[:, None])
    return products


def _solve(matrix: Floats, right: Floats) -> Floats:
    """matrix^-1 right along the first axis of `right`; also for p = 0."""
    if not len(matrix):
        return right
    return np.linalg.solve(matrix, right.reshape(len(right), -1)).reshape(right.shape)

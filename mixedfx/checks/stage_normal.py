"""One stage's normal distribution at the frozen covariances: what V1 and V2 are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.checks.explained import Explained, changed
from mixedfx.coefficients.laplace_normal import DENSE_LIMIT, LaplaceNormal
from mixedfx.grouping import Grouping
from mixedfx.linalg.layout import RowLayout
from mixedfx.linalg.operator import Parts
from mixedfx.predictors import RandomTerm

if TYPE_CHECKING:
    from mixedfx.coefficients.result import CoefficientsResult

Floats = NDArray[np.float64]

COLUMNS_AT_ONCE = 16
LEVELS_IF_LARGE = 128
"""How many levels have their covariances computed where each costs a solve with all rows."""


@dataclass(frozen=True, eq=False)
class StageNormal:
    """One stage's normal distribution around its mode.

    Attributes
    ----------
    normal
        Covariances of all coefficients.
    fixed_names
        Names of the fixed effects.
    terms
        Factor -> its random term, rows in the order of the layout.
    """

    normal: LaplaceNormal
    fixed_names: tuple[str, ...]
    terms: Mapping[str, RandomTerm]

    @property
    def is_large(self) -> bool:
        """Whether the variance of a level costs solves with all rows, so that few levels must do."""
        return self._layout.n_rest > DENSE_LIMIT

    @property
    def n_rows(self) -> int:
        """Rows of the stage."""
        return self._layout.n_rows

    def factor_matrix(self, factor: str) -> Floats:
        """Lambda of a factor, Sigma = Lambda Lambda', shape (q, q)."""
        lambdas = self.normal.elimination.lambdas
        if factor == self._layout.eliminated.name:
            return lambdas.e
        return next(
            L for block, L in zip(self._layout.rest, lambdas.rest, strict=True) if block.name == factor
        )

    def levels(self, factor: str) -> pd.Index:
        """Labels of a factor's levels."""
        return self.terms[factor].grouping.levels

    def own_information(self, factor: str) -> Floats:
        """Z_j'W Z_j of all levels, shape (J, q, q)."""
        blocks = self.normal.elimination.blocks
        if factor == self._layout.eliminated.name:
            return blocks.e
        at = [block.name for block in self._layout.rest].index(factor)
        return blocks.rest[at]

    @cached_property
    def explained(self) -> dict[str, Explained | None]:
        """What rows tell of each factor's levels, at this Sigma; None for a factor whose Sigma is singular.

        In a large model V_jj is computed for some levels, drawn at random. A level whose rows had no other unknowns
        would have T = (Sigma + (Z_j'W Z_j)^-1)^-1, which is known of all levels and differs little from T: the
        difference is estimated from those drawn.
        """
        return {factor: self._explained(factor) for factor in self.terms}

    def rows(self, factor: str, levels: pd.Index) -> NDArray[np.int64]:
        """Rows of each of the levels, shape (n,)."""
        return self.terms[factor].grouping.counts()[self.levels(factor).get_indexer(levels)]

    def affordable(self, levels: pd.Index) -> pd.Index:
        """The levels themselves, or in a large model so many of them, drawn at random, as can be afforded."""
        if not self.is_large or len(levels) <= LEVELS_IF_LARGE:
            return levels
        return levels[np.sort(np.random.default_rng(0).choice(len(levels), LEVELS_IF_LARGE, replace=False))]

    def covariances(self, factor: str, levels: pd.Index) -> Floats:
        """Covariance of the coefficients of each of some levels, shape (n, q, q)."""
        codes = self.levels(factor).get_indexer(levels)
        if not self.is_large:
            return self.normal.level_covariances(factor, conditional=False)[codes]
        term = self.terms[factor]
        out = np.empty((len(codes), term.q, term.q))
        for a in range(term.q):
            for first in range(0, len(codes), COLUMNS_AT_ONCE):
                some = codes[first : first + COLUMNS_AT_ONCE]
                m = np.arange(len(some))
                unit = np.zeros((term.grouping.n_levels, term.q, len(some)))
                unit[some, a, m] = 1.0
                out[first : first + len(some), a] = self._covariances_with(factor, unit)[some, :, m]
        return 0.5 * (out + np.swapaxes(out, 1, 2))

    def variances(self, factor: str, levels: pd.Index) -> tuple[Floats, Floats]:
        """Variances of the coefficients of some levels, and of their deviations from the mean over these levels.

        Moving all levels of a factor up and the intercept down costs a fit little, so that much of V can be one
        common shift. The deviations are free of it.

        Returns
        -------
        (own, centred)
            Each of shape (n, q).
        """
        codes = self.levels(factor).get_indexer(levels)
        q = self.terms[factor].q
        share = np.zeros((self.terms[factor].grouping.n_levels, q, q))
        share[codes[:, None], np.arange(q), np.arange(q)] = 1 / len(codes)
        with_mean = np.diagonal(self._covariances_with(factor, share)[codes], axis1=1, axis2=2)
        own = np.diagonal(self.covariances(factor, levels), axis1=1, axis2=2)
        return own, own - 2 * with_mean + with_mean.mean(axis=0)

    def fixef_se(self) -> pd.Series:
        """Standard errors of the fixed effects."""
        variances = np.diag(self.normal.fixef_covariance())[: len(self.fixed_names)]
        return pd.Series(np.sqrt(variances), index=list(self.fixed_names))

    def _explained(self, factor: str) -> Explained | None:
        L, everyone = self.factor_matrix(factor), self.levels(factor)
        if np.abs(np.diag(L)).min() <= 1e-6 * np.abs(L).max():
            return None
        inverse = np.linalg.inv(L)
        levels = self.affordable(everyone)
        V = self.covariances(factor, levels)
        T = inverse.T @ (np.eye(len(L)) - inverse @ V @ inverse.T) @ inverse
        if len(levels) == len(everyone):
            return Explained(T, T.sum(axis=0))
        alone = changed(self.own_information(factor), L @ L.T)
        drawn = alone[everyone.get_indexer(levels)]
        share = np.sqrt(np.diagonal(T.mean(axis=0)) / np.diagonal(drawn.mean(axis=0)))
        total = alone.sum(axis=0) + len(alone) * (T - drawn).mean(axis=0)
        return Explained(alone * np.outer(share, share), total)

    @property
    def _layout(self) -> RowLayout:
        return self.normal.elimination.operator.layout

    def _covariances_with(self, factor: str, combinations: Floats) -> Floats:
        """Covariances of a factor's coefficients with combinations of them; both (J, q, m)."""
        layout, m = self._layout, combinations.shape[2]
        d = Parts(np.zeros((layout.n_levels, layout.q, m)), np.zeros((layout.n_rest, m)))
        if factor == layout.eliminated.name:
            d = Parts(combinations, d.rest)
        else:
            block = next(b for b in layout.rest if b.name == factor)
            d.rest[block.slice] = combinations.reshape(-1, m)
        return self.normal.elimination.lambdas.by_factor(self.normal.covariances(d))[factor]


def stage_two_normal(coef: CoefficientsResult) -> StageNormal:
    """Stage 2's own; of the first component where it mixes several draws of Sigma."""
    normal = coef.mixture.components[0].normal
    terms = random_terms(coef, normal.elimination.operator.layout)
    return StageNormal(normal, coef.spec.fixed_names, terms)


def random_terms(coef: CoefficientsResult, layout: RowLayout) -> dict[str, RandomTerm]:
    """Stage 2's random terms in the formula's order, their codes in the layout's order of rows."""
    columns = {block.name: block.columns for block in layout.blocks}
    out: dict[str, RandomTerm] = {}
    for name in coef.spec.factors:
        own = coef.varcorr.block(name)
        grouping = Grouping(name, layout.level_codes(name), coef.spec.group(name).levels)
        out[name] = RandomTerm(grouping, own.names, columns[name], own.free)
    return out

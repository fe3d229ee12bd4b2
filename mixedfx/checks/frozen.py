"""The normal distributions of both stages at the frozen covariances: what V1 and V2 are made of.

Stage 2's is its own. Stage 1's is rebuilt from those of stage 2's rows that stage 1 had, because its covariances must
be the same: with one Sigma and nested data Var(b2 - b1) = V1 - V2, whereas two Sigmas give no such rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.coefficients.laplace_normal import DENSE_LIMIT, LaplaceNormal
from mixedfx.grouping import Grouping
from mixedfx.linalg.bordered import Border
from mixedfx.linalg.elimination import eliminate
from mixedfx.linalg.intercept_operator import row_operator
from mixedfx.linalg.lambdas import Lambdas
from mixedfx.linalg.layout import RowLayout, arrange
from mixedfx.linalg.operator import Parts
from mixedfx.predictors import Predictors, RandomTerm

if TYPE_CHECKING:
    from mixedfx.coefficients.result import CoefficientsResult

Floats = NDArray[np.float64]

COLUMNS_AT_ONCE = 16
LEVELS_IF_LARGE = 256
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
    sigma2
        Residual variance that `normal` has, None for families without one.
    """

    normal: LaplaceNormal
    fixed_names: tuple[str, ...]
    sigma2: float | None

    @property
    def is_large(self) -> bool:
        """Whether the variance of a level costs solves with all rows, so that few levels must do."""
        return self._layout.n_rest > DENSE_LIMIT

    @property
    def n_rows(self) -> int:
        """Rows of the stage."""
        return self._layout.n_rows

    @property
    def terms(self) -> dict[str, RandomTerm]:
        """Factor -> its random term."""
        return {term.name: term for term in _terms(self._layout)}

    def factor_matrix(self, factor: str) -> Floats:
        """Lambda of a factor, Sigma = Lambda Lambda', shape (q, q)."""
        lambdas = self.normal.elimination.lambdas
        if factor == self._layout.eliminated.name:
            return lambdas.e
        return next(
            L for block, L in zip(self._layout.rest, lambdas.rest, strict=True) if block.term.name == factor
        )

    def levels(self, factor: str) -> pd.Index:
        """Labels of a factor's levels."""
        return self.terms[factor].grouping.levels

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
            block = next(b for b in layout.rest if b.term.name == factor)
            d.rest[block.slice] = combinations.reshape(-1, m)
        return self.normal.elimination.lambdas.by_factor(self.normal.covariances(d))[factor]


def stage_two_normal(coef: CoefficientsResult) -> StageNormal:
    """Stage 2's own; of the first component where it mixes several draws of Sigma."""
    component = coef.mixture.components[0]
    return StageNormal(component.normal, coef.spec.fixed_names, component.varcorr.sigma2)


def stage_one_normal(
    coef: CoefficientsResult, rows: NDArray[np.int64], fixed_names: Iterable[str]
) -> StageNormal:
    """Stage 1's at stage 2's covariances (and, for families other than gaussian, at stage 2's curvature).

    Parameters
    ----------
    rows
        Positions of stage 1's rows among those of stage 2.
    fixed_names
        Stage 1's fixed effects; those that stage 2 lacks are left out.
    """
    component = coef.mixture.components[0]
    elimination = component.normal.elimination
    layout = elimination.operator.layout
    where = np.empty(layout.n_rows, dtype=np.int64)
    where[layout.order] = np.arange(layout.n_rows)
    own_names = set(fixed_names)
    kept = tuple(name for name in coef.spec.fixed_names if name in own_names)
    predictors = _subset(layout, where[rows], coef.spec.fixed_names, kept)
    own = arrange(predictors)
    blocks = component.varcorr.align(predictors.terms).blocks
    lambdas = Lambdas.of(own, {block.factor: block.factor_matrix() for block in blocks})
    at = where[rows][own.order]
    border = _subset_border(component.normal.border, at)
    normal = LaplaceNormal(eliminate(row_operator(own), lambdas, elimination.omega[at]), border)
    return StageNormal(normal, kept, component.varcorr.sigma2)


def _subset_border(border: Border, at: NDArray[np.int64]) -> Border | None:
    """Thresholds of some rows; of the curvature between thresholds, known in sum only, they get their share."""
    if not border.size:
        return None
    between = border.A + np.diag(border.K.sum(axis=0))
    K = border.K[at]
    return Border(K, np.diag(-K.sum(axis=0)) + between * (len(at) / len(border.K)))


def _terms(layout: RowLayout) -> tuple[RandomTerm, ...]:
    return (layout.eliminated, *(block.term for block in layout.rest))


def _subset(
    layout: RowLayout, at: NDArray[np.int64], names: tuple[str, ...], kept: tuple[str, ...]
) -> Predictors:
    """Some of the sorted rows as predictors, with the levels that occur in them."""
    codes: Mapping[str, NDArray[np.integer]] = {
        layout.eliminated.name: np.searchsorted(layout.ptr, at, side="right") - 1,
        **{block.term.name: layout.codes[k][at] for k, block in enumerate(layout.rest)},
    }
    terms = []
    for term in _terms(layout):
        used, position = np.unique(codes[term.name], return_inverse=True)
        grouping = Grouping(term.name, position.astype(np.int32), term.grouping.levels[used])
        terms.append(replace(term, grouping=grouping))
    return Predictors(
        features=layout.features[at],
        fixed_names=kept,
        fixed_columns=layout.fixed_columns[np.array([names.index(name) for name in kept], dtype=int)],
        terms=tuple(terms),
        offset=np.zeros(len(at)),
        index=pd.RangeIndex(len(at)),
    )

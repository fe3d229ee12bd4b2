"""One stage's normal distribution at the frozen covariances: what V1 and V2 are made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.checks.explained import Explained
from mixedfx.coefficients.laplace_normal import LaplaceNormal
from mixedfx.grouping import Grouping
from mixedfx.linalg.layout import RowLayout
from mixedfx.linalg.operator import Parts
from mixedfx.predictors import RandomTerm

if TYPE_CHECKING:
    from mixedfx.coefficients.result import CoefficientsResult

Floats = NDArray[np.float64]

SOLVE_TOL = 1e-6
"""Relative error of covariances with a mean over levels: of these a level's variance takes a small part."""


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

    @cached_property
    def explained(self) -> dict[str, Explained | None]:
        """What rows tell of each factor's levels, at this Sigma; None for a factor whose Sigma is singular."""
        return {factor: self._explained(factor) for factor in self.terms}

    def rows(self, factor: str, levels: pd.Index) -> NDArray[np.int64]:
        """Rows of each of the levels, shape (n,)."""
        return self.terms[factor].grouping.counts()[self.levels(factor).get_indexer(levels)]

    def covariances(self, factor: str, levels: pd.Index) -> Floats:
        """Covariance of the coefficients of each of some levels, shape (n, q, q)."""
        codes = self.levels(factor).get_indexer(levels)
        return self.normal.level_covariances(factor, conditional=False)[codes]

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

    def fixed_variances(self, thresholds: Iterable[str] = ()) -> pd.Series:
        """Variances of the fixed effects, and of the thresholds, whose names are given, after them."""
        variances = np.diag(self.normal.fixef_covariance())
        names = [*self.fixed_names, *thresholds]
        return pd.Series(variances[: len(names)], index=names)

    def _explained(self, factor: str) -> Explained | None:
        L = self.factor_matrix(factor)
        if np.abs(np.diag(L)).min() <= 1e-6 * np.abs(L).max():
            return None
        inverse = np.linalg.inv(L)
        V = self.normal.level_covariances(factor, conditional=False)
        return Explained(inverse.T @ (np.eye(len(L)) - inverse @ V @ inverse.T) @ inverse)

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
        return self.normal.elimination.lambdas.by_factor(self.normal.covariances(d, tol=SOLVE_TOL))[factor]


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

"""Stage 2's objective: the joint negative log density of the data and of all coefficients at fixed Sigma."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixedfx.coefficients.backend import NUMBA, Backend
from mixedfx.design import Design
from mixedfx.families import Family
from mixedfx.families.cumulative import as_cumulative
from mixedfx.linalg.lambdas import Lambdas
from mixedfx.linalg.layout import RowLayout, arrange
from mixedfx.linalg.operator import Parts, RowOperator
from mixedfx.varcorr import VarCorr

Floats = NDArray[np.float64]


class Point(NamedTuple):
    """The unknowns in u coordinates: of the eliminated factor (J_e, q_e), and the rest vector (n_rest,)."""

    e: Floats
    rest: Floats


@dataclass(frozen=True, eq=False)
class Problem:
    """F(beta, u, alpha) = sum_r w_r l(y_r, eta_r) + |u|^2 / 2 with b = Lambda u; rows sorted as `operator.layout` says.

    Attributes
    ----------
    y
        Shape (N,), sorted: float64, or integers for families with categories.
    weights, offset
        float64, shape (N,), sorted; empty where all are 1, or 0.
    sigma2
        Residual variance, 1 for families without.
    known_alpha
        Thresholds that are known; empty where the family has none or they are estimated.
    category_weights
        Weight of each category, shape (M,), for families with thresholds, else empty.
    constant
        What of F depends neither on coefficients nor on thresholds.
    backend
        Made `operator`, and solves the eliminated levels with it.
    """

    operator: RowOperator
    lambdas: Lambdas
    family: Family
    y: NDArray
    weights: Floats
    offset: Floats
    sigma2: float
    known_alpha: Floats
    category_weights: Floats
    constant: float
    backend: Backend

    @classmethod
    def of(
        cls,
        design: Design,
        family: Family,
        varcorr: VarCorr,
        thresholds: Floats | None = None,
        backend: Backend = NUMBA,
    ) -> Problem:
        """Sort the rows and arrange the covariances as the rows are; given `thresholds` are not estimated."""
        from mixedfx.linalg.sorting import in_order

        predictors = design.predictors
        layout = arrange(predictors)
        order, sigma2 = layout.order, varcorr.sigma2 or 1.0
        y = in_order(design.y, order)
        weights = in_order(design.weights, order) if design.weighted else np.zeros(0)
        categories = np.zeros(0)
        if family.has_thresholds:
            n_categories = len(design.response_levels) if design.response_levels is not None else 2
            categories = np.array([_weight_of(y == m, weights) for m in range(n_categories)])
            if thresholds is None:
                layout = layout.with_thresholds(n_categories - 1)
        return cls(
            operator=backend.operator(layout),
            lambdas=_lambdas(layout, varcorr),
            family=family,
            y=y,
            weights=weights,
            offset=in_order(predictors.offset, order) if predictors.has_offset else np.zeros(0),
            sigma2=sigma2,
            known_alpha=np.zeros(0) if thresholds is None else thresholds,
            category_weights=categories,
            constant=family.loss_constant(y, weights, sigma2),
            backend=backend,
        )

    def at(self, varcorr: VarCorr) -> Problem:
        """The same data at other covariances."""
        sigma2 = varcorr.sigma2 or 1.0
        return replace(
            self,
            lambdas=_lambdas(self.layout, varcorr),
            sigma2=sigma2,
            constant=self.family.loss_constant(self.y, self.weights, sigma2),
        )

    @property
    def layout(self) -> RowLayout:
        return self.operator.layout

    def alpha(self, rest: Floats) -> Floats:
        """Thresholds: those of a rest vector, or those that are known."""
        return rest[self.layout.alpha_start :] if self.layout.n_thresholds else self.known_alpha

    def start(self) -> Point:
        """u = 0, and intercept or thresholds from the mean response."""
        rest = np.zeros(self.layout.n_rest)
        mean_offset = 0.0
        if len(self.offset):
            mean_offset = float(np.average(self.offset, weights=self.weights if len(self.weights) else None))
        intercept = np.flatnonzero(self.layout.fixed_columns < 0)
        if intercept.size:
            mean = float(np.average(self.y, weights=self.weights if len(self.weights) else None))
            rest[self.layout.beta_start + intercept[0]] = self.family.start_eta(mean) - mean_offset
        if self.layout.n_thresholds:
            own = as_cumulative(self.family).marginal_thresholds(self.category_weights)
            rest[self.layout.alpha_start :] = own + mean_offset
        return Point(np.zeros((self.layout.n_levels, self.layout.q)), rest)

    def b(self, point: Point) -> dict[str, Floats]:
        """Conditional modes b = Lambda u, factor -> (J, q)."""
        parts = Parts(point.e[:, :, None], point.rest[:, None])
        return {k: v[:, :, 0] for k, v in self.lambdas.by_factor(self.lambdas.times(parts)).items()}

    def beta(self, point: Point) -> Floats:
        """Fixed effects, shape (p,)."""
        return point.rest[self.layout.beta_start : self.layout.alpha_start].copy()


def _weight_of(which: NDArray[np.bool_], weights: Floats) -> float:
    return float(weights[which].sum() if len(weights) else np.count_nonzero(which))


def _lambdas(layout: RowLayout, varcorr: VarCorr) -> Lambdas:
    return Lambdas.of(layout, {block.factor: block.factor_matrix() for block in varcorr.blocks})

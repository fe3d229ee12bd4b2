"""Stage 2's objective: the joint negative log density of the data and of all coefficients at fixed Sigma."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedfx.design import Design
from mixedfx.families import Family
from mixedfx.families.cumulative import as_cumulative
from mixedfx.linalg.bordered import Border, no_border
from mixedfx.linalg.intercept_operator import row_operator
from mixedfx.linalg.lambdas import Lambdas
from mixedfx.linalg.layout import RowLayout, arrange
from mixedfx.linalg.operator import Parts, RowOperator
from mixedfx.linalg.threads import launch
from mixedfx.varcorr import VarCorr

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Point:
    """The unknowns: x = (u, beta), and the thresholds alpha, shape (M - 1,), empty for families without."""

    x: Parts
    alpha: Floats

    def moved(self, x: Parts, alpha: Floats, t: float) -> Point:
        """This point plus t times a step."""
        return Point(Parts(self.x.e + t * x.e, self.x.rest + t * x.rest), self.alpha + t * alpha)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The data's part of F: sum w l, w l' and w l'' (N,), and the thresholds' gradient and border."""

    loss: float
    slope: Floats
    curvature: Floats
    alpha_slope: Floats
    border: Border


@dataclass(frozen=True, eq=False)
class Problem:
    """F(beta, u, alpha) = sum_r w_r l(y_r, eta_r) + |u|^2 / 2 with b = Lambda u; rows sorted as `operator.layout` says.

    Attributes
    ----------
    y, weights, offset
        Shape (N,), sorted.
    auxiliary
        What the family's density needs besides eta and is not estimated: sigma^2, or thresholds that are known.
    free_thresholds
        Whether thresholds are estimated.
    n_categories
        M, for families with thresholds.
    """

    operator: RowOperator
    lambdas: Lambdas
    family: Family
    auxiliary: object
    y: Floats
    weights: Floats
    offset: Floats
    free_thresholds: bool = False
    n_categories: int = 0

    @classmethod
    def of(
        cls, design: Design, family: Family, varcorr: VarCorr, thresholds: Floats | None = None
    ) -> Problem:
        """Sort the rows and arrange the covariances as the rows are; given `thresholds` are not estimated."""
        layout = arrange(design.predictors)
        factors = {b.factor: b.factor_matrix() for b in varcorr.align(design.predictors.terms).blocks}
        order = layout.order
        levels = design.response_levels
        return cls(
            row_operator(layout),
            Lambdas.of(layout, factors),
            family,
            varcorr.sigma2 if family.has_sigma else thresholds,
            design.y[order],
            design.weights[order],
            design.predictors.offset[order],
            family.has_thresholds and thresholds is None,
            0 if levels is None else len(levels),
        )

    @property
    def layout(self) -> RowLayout:
        return self.operator.layout

    def penalty(self, x: Parts) -> float:
        """|u|^2 / 2."""
        random = x.rest[: self.layout.beta_start]
        return 0.5 * float(np.vdot(x.e, x.e) + np.vdot(random, random))

    def evaluate(self, eta: Floats, alpha: Floats) -> Evaluation:
        """Loss and derivatives at a linear predictor and thresholds."""
        if self.family.compiled_kind is not None:
            from mixedfx.families import compiled

            kind, number, n = self.family.compiled_kind, self._number, len(eta)
            loss, slope, curvature = launch(compiled.evaluate, n, kind, self.y, eta, self.weights, number)
        else:
            d = self.family.derivatives(self.y, eta, self.auxiliary_at(alpha))
            loss = self.loss_along(eta, eta, 0.0, alpha)
            slope, curvature = self.weights * d.d1, self.weights * d.d2
        if not self.free_thresholds:
            return Evaluation(loss, slope, curvature, np.zeros(0), no_border(len(self.y)))
        terms = as_cumulative(self.family).threshold_terms(self.y, eta, self.weights, alpha)
        border = Border(terms.K, terms.hessian())
        return Evaluation(loss, slope, curvature, terms.gradient, border)

    def loss_along(self, eta: Floats, direction: Floats, t: float, alpha: Floats) -> float:
        """sum_r w_r l(y_r, eta_r + t direction_r); infinite where thresholds do not increase."""
        if (np.diff(alpha) <= 0).any():
            return np.inf
        if self.family.compiled_kind is not None:
            from mixedfx.families import compiled

            kind, number, n = self.family.compiled_kind, self._number, len(eta)
            return launch(compiled.loss_along, n, kind, self.y, eta, direction, t, self.weights, number)
        loss = self.family.loss(self.y, eta + t * direction, self.auxiliary_at(alpha))
        return float(self.weights @ loss)

    def auxiliary_at(self, alpha: Floats) -> object:
        """The family's auxiliary parameter with thresholds as they are at the moment."""
        return alpha if self.free_thresholds else self.auxiliary

    def eta(self, x: Parts) -> Floats:
        """Linear predictor at (u, beta), shape (N,)."""
        return self.offset + self.operator.matvec(self.lambdas.times(x))[:, 0]

    def start(self) -> Point:
        """u = 0, and intercept or thresholds from the mean response."""
        rest = np.zeros((self.layout.n_rest, 1))
        mean_offset = float(np.average(self.offset, weights=self.weights))
        intercept = np.flatnonzero(self.layout.fixed_columns < 0)
        if intercept.size:
            constant = self.family.start_eta(self.y, self.weights) - mean_offset
            rest[self.layout.beta_start + intercept[0]] = constant
        return Point(Parts(np.zeros((self.layout.n_levels, self.layout.q, 1)), rest), self.start_alpha())

    def start_alpha(self) -> Floats:
        """Thresholds of a model without predictors; empty where none are estimated."""
        if not self.free_thresholds:
            return np.zeros(0)
        mean_offset = float(np.average(self.offset, weights=self.weights))
        family = as_cumulative(self.family)
        return family.start_thresholds(self.y, self.weights, self.n_categories) + mean_offset

    def b(self, x: Parts) -> dict[str, Floats]:
        """Conditional modes b = Lambda u, factor -> (J, q)."""
        return {k: v[:, :, 0] for k, v in self.lambdas.by_factor(self.lambdas.times(x)).items()}

    def beta(self, x: Parts) -> Floats:
        """Fixed effects, shape (p,)."""
        return x.rest[self.layout.beta_start :, 0]

    @property
    def _number(self) -> float:
        """The auxiliary parameter where it is a number; compiled code wants one in any case."""
        return self.auxiliary if isinstance(self.auxiliary, float) else 1.0

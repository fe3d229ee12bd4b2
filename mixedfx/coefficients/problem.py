"""Stage 2's objective: the joint negative log density of the data and of all coefficients at fixed Sigma."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedfx.design import Design
from mixedfx.families import Family
from mixedfx.linalg.intercept_operator import row_operator
from mixedfx.linalg.lambdas import Lambdas
from mixedfx.linalg.layout import RowLayout, arrange
from mixedfx.linalg.operator import Parts, RowOperator
from mixedfx.varcorr import VarCorr

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Problem:
    """F(beta, u) = sum_r w_r l(y_r, eta_r) + |u|^2 / 2 with b = Lambda u; rows sorted as `operator.layout` says.

    Attributes
    ----------
    y, weights, offset
        Shape (N,), sorted.
    auxiliary
        What the family's density needs besides eta: sigma^2 for the gaussian family.
    """

    operator: RowOperator
    lambdas: Lambdas
    family: Family
    auxiliary: object
    y: Floats
    weights: Floats
    offset: Floats

    @classmethod
    def of(cls, design: Design, family: Family, varcorr: VarCorr) -> Problem:
        """Sort the rows and arrange the covariances as the rows are."""
        layout = arrange(design.predictors)
        factors = {b.factor: b.factor_matrix() for b in varcorr.align(design.predictors.terms).blocks}
        order = layout.order
        return cls(
            row_operator(layout),
            Lambdas.of(layout, factors),
            family,
            varcorr.sigma2 if family.has_sigma else None,
            design.y[order],
            design.weights[order],
            design.predictors.offset[order],
        )

    @property
    def layout(self) -> RowLayout:
        return self.operator.layout

    def penalty(self, x: Parts) -> float:
        """|u|^2 / 2."""
        random = x.rest[: self.layout.beta_start]
        return 0.5 * float(np.vdot(x.e, x.e) + np.vdot(random, random))

    def evaluate(self, eta: Floats) -> tuple[float, Floats, Floats]:
        """(sum_r w_r l, w l' (N,), w l'' (N,)) at a linear predictor."""
        if self.family.compiled_kind is not None:
            from mixedfx.families import compiled

            return compiled.evaluate(self.family.compiled_kind, self.y, eta, self.weights, self._number)
        d = self.family.derivatives(self.y, eta, self.auxiliary)
        return self.loss_along(eta, eta, 0.0), self.weights * d.d1, self.weights * d.d2

    def loss_along(self, eta: Floats, direction: Floats, t: float) -> float:
        """sum_r w_r l(y_r, eta_r + t direction_r)."""
        if self.family.compiled_kind is not None:
            from mixedfx.families import compiled

            return compiled.loss_along(
                self.family.compiled_kind, self.y, eta, direction, t, self.weights, self._number
            )
        return float(self.weights @ self.family.loss(self.y, eta + t * direction, self.auxiliary))

    @property
    def _number(self) -> float:
        """The auxiliary parameter where it is a number; compiled code wants one in any case."""
        return self.auxiliary if isinstance(self.auxiliary, float) else 1.0

    def eta(self, x: Parts) -> Floats:
        """Linear predictor at (u, beta), shape (N,)."""
        return self.offset + self.operator.matvec(self.lambdas.times(x))[:, 0]

    def start(self) -> Parts:
        """u = 0, and beta with the mean response as its intercept where there is one."""
        rest = np.zeros((self.layout.n_rest, 1))
        intercept = np.flatnonzero(self.layout.fixed_columns < 0)
        if intercept.size:
            mean_offset = float(np.average(self.offset, weights=self.weights))
            rest[self.layout.beta_start + intercept[0]] = (
                self.family.start_eta(self.y, self.weights) - mean_offset
            )
        return Parts(np.zeros((self.layout.n_levels, self.layout.q, 1)), rest)

    def b(self, x: Parts) -> dict[str, Floats]:
        """Conditional modes b = Lambda u, factor -> (J, q)."""
        return {k: v[:, :, 0] for k, v in self.lambdas.by_factor(self.lambdas.times(x)).items()}

    def beta(self, x: Parts) -> Floats:
        """Fixed effects, shape (p,)."""
        return x.rest[self.layout.beta_start :, 0]

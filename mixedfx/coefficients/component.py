"""Stage 2's answer for one VarCorr: the joint mode and the normal distribution around it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedfx.coefficients.laplace_normal import LaplaceNormal
from mixedfx.coefficients.newton_cg import Mode
from mixedfx.coefficients.problem import Problem
from mixedfx.linalg.elimination import eliminate
from mixedfx.varcorr import VarCorr

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Component:
    """One mode and its normal distribution.

    Attributes
    ----------
    varcorr
        The covariances it was estimated at.
    beta
        Fixed effects, shape (p,).
    b
        Conditional modes, factor -> (J, q).
    alpha
        Thresholds, shape (M - 1,); empty for families without.
    normal
        Covariances and draws around the mode.
    """

    varcorr: VarCorr
    beta: Floats
    b: Mapping[str, Floats]
    alpha: Floats
    normal: LaplaceNormal

    @classmethod
    def of(cls, problem: Problem, varcorr: VarCorr, mode: Mode) -> Component:
        """At the mode that a solver found."""
        point, curvature = mode.projection.point, mode.projection.reduction.curvature
        normal = LaplaceNormal(eliminate(problem.operator, problem.lambdas, curvature))
        alpha = problem.alpha(point.rest).copy()
        return cls(varcorr, problem.beta(point), problem.b(point), alpha, normal)


@dataclass(frozen=True, eq=False)
class Mixture:
    """Equal parts of several components: with draws of Sigma, uncertainty about Sigma reaches the coefficients.

    Means are means of the modes, and variances are the mean variance plus the variance between the modes. One
    component, the usual case, is no mixture at all.
    """

    components: tuple[Component, ...]

    def beta(self) -> Floats:
        """Shape (p,)."""
        return np.mean([c.beta for c in self.components], axis=0)

    def alpha(self) -> Floats:
        """Thresholds, shape (M - 1,)."""
        return np.mean([c.alpha for c in self.components], axis=0)

    def b(self, factor: str) -> Floats:
        """Shape (J, q)."""
        return np.mean([c.b[factor] for c in self.components], axis=0)

    def fixef_covariance(self) -> Floats:
        """Of fixed effects and thresholds, shape (p + M - 1, p + M - 1)."""
        within = np.mean([c.normal.fixef_covariance() for c in self.components], axis=0)
        fixed = np.array([np.concatenate([c.beta, c.alpha]) for c in self.components])
        spread = fixed - fixed.mean(axis=0)
        return within + spread.T @ spread / len(self.components)

    def level_variances(self, factor: str, *, conditional: bool) -> Floats:
        """Shape (J, q)."""
        covariances = [c.normal.level_covariances(factor, conditional=conditional) for c in self.components]
        within = np.mean([np.diagonal(v, axis1=1, axis2=2) for v in covariances], axis=0)
        return within + np.var([c.b[factor] for c in self.components], axis=0)

    def draws(self, n: int, rng: np.random.Generator) -> tuple[Floats, dict[str, Floats]]:
        """(beta and alpha (p + M - 1, n), factor -> (J, q, n)), the components taking turns."""
        fixed: list[Floats] = []
        random: dict[str, list[Floats]] = {}
        for k, component in enumerate(self.components):
            share = len(range(k, n, len(self.components)))
            if share:
                around_fixed, around_b = component.normal.draws(share, rng)
                fixed.append(np.concatenate([component.beta, component.alpha])[:, None] + around_fixed)
                for name, values in around_b.items():
                    random.setdefault(name, []).append(component.b[name][:, :, None] + values)
        return np.concatenate(fixed, axis=1), {k: np.concatenate(v, axis=2) for k, v in random.items()}

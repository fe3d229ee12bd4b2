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

    def draws(
        self, n: int, rng: np.random.Generator, *, batch: slice | None = None
    ) -> tuple[Floats, dict[str, Floats]]:
        """Draws of all coefficients, the components taking turns.

        Parameters
        ----------
        n
            How many there are to be in all; where that is fewer than components, these are spread over them.
        rng
            Gives the noise.
        batch
            Which of them to make, all by default.

        Returns
        -------
        (beta and alpha (p + M - 1, m), factor -> (J, q, m))
            m the size of the batch.
        """
        count = len(self.components)
        turns = np.arange(n) % count if n >= count else np.arange(n) * count // n
        turns = turns[slice(None) if batch is None else batch]
        parts = {k: self._around(k, int((turns == k).sum()), rng) for k in np.unique(turns)}
        place = np.argsort(np.concatenate([np.flatnonzero(turns == k) for k in parts]))
        fixed = np.concatenate([own for own, _ in parts.values()], axis=1)[:, place]
        names = self.components[0].b
        random = {
            name: np.concatenate([own[name] for _, own in parts.values()], axis=2)[:, :, place]
            for name in names
        }
        return fixed, random

    def _around(self, k: int, n: int, rng: np.random.Generator) -> tuple[Floats, dict[str, Floats]]:
        """n draws of one component."""
        component = self.components[k]
        fixed, random = component.normal.draws(n, rng)
        mode = np.concatenate([component.beta, component.alpha])
        return mode[:, None] + fixed, {name: component.b[name][:, :, None] + b for name, b in random.items()}

"""`compare_stages`: does stage 2 agree with stage 1, and do the frozen covariances hold on all rows?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import pandas as pd

from mixedfx.checks.convergence import check_convergence
from mixedfx.checks.finding import Finding, table, worst
from mixedfx.checks.fixed_effects import check_fixed_effects, fixed_effects_table
from mixedfx.checks.thresholds import Thresholds
from mixedfx.checks.verdict import verdict

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from xarray import DataTree

    from mixedfx.coefficients.result import CoefficientsResult
    from mixedfx.covariance.result import CovarianceResult


@dataclass(frozen=True, eq=False)
class Comparison:
    """The stages side by side.

    Attributes
    ----------
    covariance, coefficients, refined
        What was compared.
    findings
        What each check found.
    fixed_effects
        Fixed effects of both stages; see `mixedfx.checks.fixed_effects.fixed_effects_table`.
    """

    covariance: CovarianceResult
    coefficients: CoefficientsResult
    refined: CovarianceResult | None
    findings: tuple[Finding, ...]
    fixed_effects: pd.DataFrame

    @property
    def summary(self) -> pd.DataFrame:
        """One row a check."""
        return table(self.findings)

    @property
    def status(self) -> Literal["ok", "warn", "fail"]:
        """The most severe status of the checks."""
        return worst(self.findings)

    @property
    def verdict(self) -> str:
        """What agrees, what does not, why, and what to do."""
        return verdict(self.findings)

    @property
    def data(self) -> DataTree:
        """Both stages as groups of one tree, with aligned coordinates."""
        from mixedfx.checks.tree import comparison_tree

        return comparison_tree(self)

    def plot_covariances(self) -> Figure:
        """Covariances of stage 1."""
        from mixedfx.checks.plots.covariances import plot_covariances

        return plot_covariances(self)

    def plot_stages(self) -> Figure:
        """Conditional modes of stage 2 against stage 1."""
        from mixedfx.checks.plots.stages import plot_stages

        return plot_stages(self)

    def plot_convergence(self) -> Figure:
        """Convergence of stage 2's solver."""
        from mixedfx.checks.plots.convergence import plot_convergence

        return plot_convergence(self)


def compare_stages(
    cov: CovarianceResult,
    coef: CoefficientsResult,
    *,
    data: object = None,
    holdout: object = None,
    refined: CovarianceResult | None = None,
    thresholds: Thresholds | None = None,
) -> Comparison:
    """Compare the two stages of a fit with each other and with the full data."""
    chosen = thresholds or Thresholds()
    fixed = fixed_effects_table(cov.fixef, cov.fixef_se, coef.fixef, coef.fixef_se)
    findings = [*check_convergence(cov, coef), *check_fixed_effects(fixed, chosen)]
    return Comparison(cov, coef, refined, tuple(findings), fixed)

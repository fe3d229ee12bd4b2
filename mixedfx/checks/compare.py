"""`compare_stages`: does stage 2 agree with stage 1, and do the frozen covariances hold on all rows?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import pandas as pd

from mixedfx.checks.convergence import check_convergence
from mixedfx.checks.covariance_checks import check_covariances
from mixedfx.checks.covariance_table import covariance_table
from mixedfx.checks.finding import Finding, table, worst
from mixedfx.checks.fixed_effects import (
    LEAST_ERROR,
    LEAST_ERROR_LAPLACE,
    check_fixed_effects,
    fixed_effects_table,
)
from mixedfx.checks.full_data import FullData, full_data_estimate
from mixedfx.checks.holdout import HeldOut, check_holdout, score_holdout
from mixedfx.checks.level_checks import check_levels
from mixedfx.checks.levels import CoefficientLevels, compare_levels
from mixedfx.checks.loo import check_leave_one_out, leave_one_out
from mixedfx.checks.predictive import Predictive, check_predictive, predictive_checks
from mixedfx.checks.report import report
from mixedfx.checks.stage_normal import StageNormal, stage_two_normal
from mixedfx.checks.stage_one import StageOne, at_stage_two_sigma, largest_fit, stage_one_fits
from mixedfx.checks.standing_out import standing_out
from mixedfx.checks.thresholds import Thresholds
from mixedfx.checks.verdict import verdict
from mixedfx.coefficients.result import CoefficientsResult
from mixedfx.covariance.result import CovarianceResult
from mixedfx.errors import SettingError

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from xarray import DataTree


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
        Fixed effects, and thresholds of ordered categories after them, of both stages side by side; see
        `mixedfx.checks.fixed_effects.fixed_effects_table`.
    levels
        Each random coefficient on the levels that both stages have.
    covariances
        Sigma of stage 1, as frozen and on all rows; see `mixedfx.checks.covariance_table.covariance_table`.
    full_data
        What all rows say of Sigma, or why that is not known.
    held_out
        Scores of held-out rows, None where none were given.
    predictive
        Posterior predictive checks of stage 2, or why there are none.
    thresholds
        The limits that were used.
    """

    covariance: CovarianceResult
    coefficients: CoefficientsResult
    refined: CovarianceResult | None
    findings: tuple[Finding, ...]
    fixed_effects: pd.DataFrame
    levels: tuple[CoefficientLevels, ...]
    covariances: pd.DataFrame
    full_data: FullData | str
    held_out: HeldOut | None
    predictive: tuple[Predictive, ...] | str
    thresholds: Thresholds

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

    def __str__(self) -> str:
        return str(report(self))

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return report(self)._repr_html_()

    @cached_property
    def standing_out(self) -> pd.DataFrame:
        """The levels furthest from their factor's mean, in sentences: see `mixedfx.checks.standing_out`."""
        return standing_out(self.coefficients, stage_two_normal(self.coefficients))

    @property
    def data(self) -> DataTree:
        """Both stages as groups of one tree, with aligned coordinates."""
        from mixedfx.checks.tree import comparison_tree

        return comparison_tree(self)

    def plot_covariances(self) -> Figure:
        """Covariances of stage 1, frozen and on all rows.

        A panel an entry of Sigma, with 90 % intervals; a posterior is drawn as a density. The vertical line is the
        frozen value, which stage 2 used. Where it lies outside the interval of all rows, the checks say whether that
        is far enough to matter.
        """
        from mixedfx.checks.plots.covariances import plot_covariances

        return plot_covariances(self)

    def plot_fixed_effects(self) -> Figure:
        """Fixed effects of stage 2 less those of stage 1.

        In standard errors of stage 1; thresholds of ordered categories are among them. The grey bars hold 90 % of the
        differences that the further rows of stage 2 make by chance.
        """
        from mixedfx.checks.plots.fixed_effects import plot_fixed_effects

        return plot_fixed_effects(self)

    def plot_stages(self) -> Figure:
        """Conditional modes of stage 2 against stage 1.

        The full line is y = x, where shrinkage is the same; the dashed one has the slope of stage 2 on stage 1. Levels
        that moved away from 0 had been shrunk for want of rows. Darker points are levels that stage 2 knows more of: V
        is their posterior variance, Σ the frozen one. Beyond 2,000 levels a density takes the place of points.
        """
        from mixedfx.checks.plots.stages import plot_stages

        return plot_stages(self)

    def plot_shrinkage(self) -> Figure:
        """Shrinkage of levels against their number of rows.

        1 − V / Σ, with V a level's posterior variance: at 0 it is shrunk all the way to the mean, at 1 not at all.
        """
        from mixedfx.checks.plots.shrinkage import plot_shrinkage

        return plot_shrinkage(self)

    def plot_pit(self) -> Figure:
        """Ranks of stage 2's draws in stage 1's distribution (PIT).

        The line is the share of stage 2's draws below stage 1's quantiles, less that quantile's probability. The grey
        band holds, all along, 95 % of such lines where the stages agree and each level has one draw (Säilynoja, Bürkner
        & Vehtari 2022, Statistics and Computing 32); this line, the mean over all draws, leaves it by chance still more
        seldom. A fall through the middle means that stage 1's intervals are too narrow, a rise
        that they are too wide, a hump or hollow that stage 2 moved to one side.
        """
        from mixedfx.checks.plots.pit import plot_pit

        return plot_pit(self)

    def plot_ranef(self) -> Figure:
        """Conditional modes of stage 2 in their order, with 90 % intervals.

        Beyond 30 levels the order runs from the left to the right, and beyond 100 the intervals are those of 100 levels
        at even distances. The dashed lines hold 90 % of the levels by the frozen Sigma, before any data.
        """
        from mixedfx.checks.plots.ranef import plot_ranef

        return plot_ranef(self)

    def plot_correlations(self) -> Figure:
        """Correlated coefficients: ellipses that hold 90 % of the levels.

        By the Sigma of stage 1 and of all rows; a panel a pair of coefficients. Grey are the conditional modes of stage
        2, which are shrunk and therefore lie closer together than Sigma says; thin lines are draws of stage 1's
        posterior.
        """
        from mixedfx.checks.plots.correlations import plot_correlations

        return plot_correlations(self)

    def plot_activity(self) -> Figure:
        """Rows of the levels, in stage 1's sample and in all data.

        The share of levels with at least so many rows. The curve of stage 1 is of the levels that its sample holds.
        """
        from mixedfx.checks.plots.activity import plot_activity

        return plot_activity(self)

    def plot_predictive(self) -> Figure:
        """Data beside data that the fit would give.

        Marks are the data; grey is 90 % of what data from the fit would show. Of classes and counts their shares; of
        probabilities the mean response among rows with like predictions; of a gaussian response the quantiles of its
        standardised residuals, less the normal ones.
        """
        from mixedfx.checks.plots.predictive import plot_predictive

        return plot_predictive(self)

    def plot_traces(self) -> Figure:
        """Traces and ranks of stage 1's chains.

        Left: the draws of each chain in their order. Right: how the ranks of each chain's draws among all are spread;
        chains that agree keep near the horizontal line (Vehtari et al. 2021, Bayesian Analysis 16). Of more than twelve
        entries those with the largest R-hat are shown.
        """
        from mixedfx.checks.plots.traces import plot_traces

        return plot_traces(self)

    def plot_convergence(self) -> Figure:
        """Convergence of both stages.

        Newton and conjugate-gradient iterations of stage 2, and R-hat and effective sizes of stage 1 where it has
        chains.
        """
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
    """Compare the two stages of a fit with each other and with the full data.

    Parameters
    ----------
    cov
        Stage 1.
    coef
        Stage 2, estimated at the covariances of `cov` from all rows.
    data
        The rows that stage 2 was fitted to. With them the covariances are estimated on all rows, in steps from the
        frozen ones to the maximum of the likelihood (other families than the gaussian: Laplace's); without them, for
        gaussian models, one step towards that estimate is taken from stage 2's conditional modes. They are also what
        the predictive checks, PSIS-LOO and the effects without shrinkage, which held-out rows are scored with, need.
    holdout
        Rows that neither stage saw, to be predicted.
    refined
        Covariances refined on all rows, to be used instead of an estimate of the comparison's own. Levels are then
        compared with stage 1's modes at these covariances, estimated again from its own rows, where `data` are given.
    thresholds
        Where a difference becomes a warning or a failure; see `mixedfx.checks.thresholds.Thresholds`.

    Returns
    -------
    Comparison
        ``status`` "ok", "warn" or "fail"; ``verdict`` in words; ``summary``, one row a check; ``data``, both stages as
        a DataTree; and plots.

    Raises
    ------
    SettingError
        The stages are of different families.
    VarCorrError
        The stages are of different models: factors or coefficients of one are not in the other.
    DataError
        `data` or `holdout` cannot be encoded with stage 2's formula.

    Notes
    -----
    What is compared with what, and why (Var(b2 - b1) = V1 - V2, slope of stage 2 on stage 1, coverage of draws), stands
    in `mixedfx.checks.agreement`, `levels`, `fixed_effects`, `full_data`, `holdout`, `predictive` and `loo`.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> ratings = mfx.datasets.load_insteval()
    >>> fit = mfx.fit("y ~ 1 + (1 | s) + (1 | d)", ratings, method="reml")
    >>> fit.compare(data=ratings).status
    'ok'
    """
    _check_types(cov, coef, refined, thresholds)
    chosen, second = thresholds or Thresholds(), stage_two_normal(coef)
    _check_same_model(cov, coef, second)
    fits = stage_one_fits(cov, coef)
    beside = fits if refined is None else {f: at_stage_two_sigma(s, coef, data) for f, s in fits.items()}
    levels = [c for factor, first in beside.items() for c in compare_levels(factor, first, coef, second)]
    fixed = _fixed_effects(cov, coef, fits, second)
    full = full_data_estimate(cov, coef, second, data, refined, chosen)
    covariances = covariance_table(cov, coef, None if isinstance(full, str) else full, fits, second)
    largest = largest_fit(fits)
    held_out = None
    if holdout is not None:
        varcorr = None if isinstance(full, str) else full.varcorr
        held_out = score_holdout(coef, holdout, largest, data, varcorr)
    predictive = predictive_checks(coef, data)
    same = refined is None and len(coef.mixture.components) == 1
    findings = (
        *check_convergence(cov, coef, covariances, chosen),
        *check_fixed_effects(fixed, chosen),
        *check_levels(levels, chosen),
        *check_covariances(covariances, full, chosen, same=same),
        *check_holdout(held_out, chosen),
        *check_predictive(predictive, chosen),
        *check_leave_one_out(leave_one_out(largest, coef, data)),
    )
    return Comparison(
        cov, coef, refined, findings, fixed, tuple(levels), covariances, full, held_out, predictive, chosen
    )


def _check_types(cov: object, coef: object, refined: object, thresholds: object) -> None:
    if isinstance(cov, CoefficientsResult) and isinstance(coef, CovarianceResult):
        raise SettingError("the stages are the wrong way round: compare_stages(covariances, coefficients)")
    for name, value, kind, source in (
        ("cov", cov, CovarianceResult, "learn_covariance"),
        ("coef", coef, CoefficientsResult, "estimate_coefficients"),
        ("refined", refined, CovarianceResult | None, "refine_covariance"),
        ("thresholds", thresholds, Thresholds | None, "mixedfx.checks.thresholds.Thresholds"),
    ):
        if not isinstance(value, kind):
            raise SettingError(f"{name} must be what {source} returns, not a {type(value).__name__}")


def _check_same_model(cov: CovarianceResult, coef: CoefficientsResult, second: StageNormal) -> None:
    if cov.family != coef.family:
        raise SettingError(
            f"stage 1 is of family '{cov.family}' and stage 2 of '{coef.family}'; pass stages of one fit"
        )
    cov.varcorr.align(second.terms.values())


def _fixed_effects(
    cov: CovarianceResult, coef: CoefficientsResult, fits: Mapping[str, StageOne], second: StageNormal
) -> pd.DataFrame:
    """Fixed effects, and thresholds after them; V1 of stage 1's largest fit."""
    largest = largest_fit(fits)
    thresholds = () if coef.thresholds is None else tuple(coef.thresholds.index)
    gained = None
    if largest.normal is not None:
        gained = largest.normal.fixed_variances(thresholds) - second.fixed_variances(thresholds)
    least = LEAST_ERROR if cov.family == "gaussian" else LEAST_ERROR_LAPLACE
    return fixed_effects_table(
        _joined(cov.fixef, cov.thresholds),
        _joined(cov.fixef_se, cov.thresholds_se),
        _joined(coef.fixef, coef.thresholds),
        _joined(coef.fixef_se, coef.thresholds_se),
        gained,
        least,
    )


def _joined(fixef: pd.Series, thresholds: pd.Series | None) -> pd.Series:
    return fixef if thresholds is None else pd.concat([fixef, thresholds])

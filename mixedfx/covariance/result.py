"""What stage 1 returns, whichever method learned the covariances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.errors import SettingError
from mixedfx.varcorr import VarCorr, lower_factor

if TYPE_CHECKING:
    from pathlib import Path

    from xarray import DataTree

    from mixedfx.summary import Summary


@dataclass(frozen=True, eq=False)
class CovarianceResult:
    """Covariances of the random effects, with the fixed effects and conditional modes that came with them.

    Attributes
    ----------
    formula, family, method
        What was fitted, and how: "reml", "ml", "nuts", ...
    varcorr
        Absolute covariances; ``varcorr.freezable`` is False, with the reason in ``varcorr.why``, where they should
        not be handed to stage 2.
    fixef, fixef_se
        Series over the fixed effects, without thresholds.
    fixef_covariance
        DataFrame (p, p): covariance matrix of the fixed effects; None where the method has none.
    fixef_covariance_spread
        Gaussian fits by likelihood: matrices (m, p, p) that say how far `fixef_covariance` is from certain, on which
        the degrees of freedom rest (see `mixedfx.covariance.satterthwaite`). None where they were not computed.
    thresholds, thresholds_se
        Series "1|2", "2|3", ... for the cumulative family, else None.
    ranef
        Factor -> DataFrame (J, q): conditional modes (likelihood) or posterior means (MCMC).
    condvar
        Factor -> array (J, q, q): covariance of each level's coefficients given fixed effects, thresholds and
        covariances, in the order of `ranef`: lme4's ``attr(ranef(fit), "postVar")``. None for MCMC, and for results
        saved before there was one.
    standard_errors
        The frame of `varcorr` with a column ``se``: of each ``vcov``.
    varcorr_covariance
        Shape (n, n): sampling covariance of the entries of `standard_errors`, whose ``se`` are the roots of its
        diagonal; NaN where it is not known (singular blocks, estimates of different fits). None for results saved
        before there was one.
    loglik
        Log-likelihood with all constants (restricted for "reml"); NaN where the method has none.
    converged, boundary
        Whether the optimum or posterior was reached; names of covariance parameters at a boundary.
    stats
        Evaluations, seconds, gradients, diagnostics: depends on the method; of likelihoods see
        `mixedfx.covariance.optimum_stats`.
    n_rows, n_levels
        Rows and levels (factor -> J) the estimate rests on.
    posterior
        DataTree of the draws (MCMC), else None.
    fits
        Factor -> the fit its block was read from, for the subsample strategy "per-factor"; else empty. Of replicates,
        the fits of the one with most rows.
    replicates
        The results whose mean this is, for a subsample with replicates; else empty. ``standard_errors`` then has a
        column ``se_replicates`` from the spread between them, see `mixedfx.covariance.averaged`.
    rows
        int64: positions of the rows used among the complete rows of the data given; None for all of them, or where
        it is not known (a result of several fits has them in its `fits`).
    """

    formula: str
    family: str
    method: str
    varcorr: VarCorr
    fixef: pd.Series
    fixef_se: pd.Series
    ranef: Mapping[str, pd.DataFrame]
    standard_errors: pd.DataFrame
    loglik: float
    converged: bool
    boundary: tuple[str, ...]
    stats: Mapping[str, Any]
    n_rows: int
    n_levels: Mapping[str, int]
    thresholds: pd.Series | None = None
    thresholds_se: pd.Series | None = None
    varcorr_covariance: NDArray[np.float64] | None = None
    posterior: DataTree | None = None
    fits: Mapping[str, CovarianceResult] = field(default_factory=dict)
    replicates: tuple[CovarianceResult, ...] = ()
    rows: NDArray[np.int64] | None = None
    fixef_covariance: pd.DataFrame | None = None
    fixef_covariance_spread: NDArray[np.float64] | None = None
    condvar: Mapping[str, NDArray[np.float64]] | None = None

    @property
    def fixef_df(self) -> pd.Series | None:
        """Satterthwaite's degrees of freedom of each fixed effect, as lmerTest's; None where not computed."""
        if self.fixef_covariance is None or self.fixef_covariance_spread is None:
            return None
        from mixedfx.covariance.satterthwaite import degrees_of_freedom

        each, covariance = np.eye(len(self.fixef)), self.fixef_covariance.to_numpy()
        df = degrees_of_freedom(each, covariance, self.fixef_covariance_spread)
        return pd.Series(df, index=self.fixef.index, name="df")

    @property
    def sigma(self) -> float | None:
        """Residual standard deviation, None for families without one."""
        return self.varcorr.sigma

    @property
    def deviance(self) -> float:
        """-2 loglik."""
        return -2 * self.loglik

    @property
    def reml_criterion(self) -> float | None:
        """-2 restricted log-likelihood for REML fits, else None."""
        return self.deviance if self.method == "reml" else None

    @property
    def n_parameters(self) -> int:
        """Covariance parameters, sigma^2, fixed effects and thresholds."""
        thresholds = 0 if self.thresholds is None else len(self.thresholds)
        return len(self.varcorr.to_frame()) + len(self.fixef) + thresholds

    @property
    def aic(self) -> float:
        """Akaike's information criterion, from `loglik` as it is: for REML fits the restricted one, as R's."""
        return 2 * self.n_parameters - 2 * self.loglik

    @property
    def bic(self) -> float:
        """Schwarz's criterion, with the number of rows, as R's."""
        return float(np.log(self.n_rows)) * self.n_parameters - 2 * self.loglik

    @property
    def theta(self) -> NDArray[np.float64]:
        """lme4's theta: free lower triangles, column by column, of the covariance factors relative to sigma."""
        sigma = self.sigma or 1.0
        parts = []
        for block in self.varcorr.blocks:
            factor = lower_factor(block.matrix) / sigma
            rows, columns = np.nonzero(np.tril(block.free).T)
            parts.append(factor.T[rows, columns])
        return np.concatenate(parts) if parts else np.zeros(0)

    def __repr__(self) -> str:
        state = "converged" if self.converged else "not converged"
        sizes = ", ".join(f"{name} {n:,}" for name, n in self.n_levels.items())
        return (
            f"<CovarianceResult: {self.formula}; {self.family}, {self.method}; {self.n_rows:,} rows; levels: {sizes}; "
            f"{state}>"
        )

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()

    def ranef_sd(self, factor: str) -> pd.DataFrame:
        """Standard deviations of a factor's coefficients: see `mixedfx.covariance.deviations.ranef_sd`."""
        from mixedfx.covariance.deviations import ranef_sd

        return ranef_sd(self, factor)

    def fixef_table(self) -> pd.DataFrame:
        """Estimates, standard errors, and tests: see `mixedfx.covariance.fixef_tests.fixef_table`."""
        from mixedfx.covariance.fixef_tests import fixef_table

        return fixef_table(self)

    def intervals(self, level: float = 0.95) -> pd.DataFrame:
        """Wald intervals of all parameters: see `mixedfx.covariance.intervals.wald_intervals`."""
        from mixedfx.covariance.intervals import wald_intervals

        return wald_intervals(self, level)

    def icc(self, *, data: object = None, mean: float | None = None) -> pd.Series:
        """Share of each factor in the variance: see `mixedfx.covariance.icc.intraclass_correlation`."""
        from mixedfx.covariance.icc import intraclass_correlation

        return intraclass_correlation(self, data=data, mean=mean)

    def posterior_table(self, quantiles: Sequence[float] = (0.05, 0.5, 0.95)) -> pd.DataFrame:
        """Every entry's posterior on both scales: see `mixedfx.covariance.posterior_table.posterior_table`."""
        from mixedfx.covariance.posterior_table import posterior_table

        return posterior_table(self, quantiles)

    def predictive(self, data: object, **options: Any) -> DataTree:
        """Log likelihood and predictive draws: see `mixedfx.covariance.predictive.predictive_groups`."""
        from mixedfx.covariance.predictive import predictive_groups

        return predictive_groups(self, data, **options)

    def summary(self) -> Summary:
        """Covariances, fixed effects and convergence, to print or show in a notebook."""
        from mixedfx.covariance.summary import summarise

        return summarise(self)

    def save(self, folder: str | Path) -> None:
        """Write everything into a folder of plain files; `mixedfx.load_covariance` reads it."""
        from mixedfx.covariance.saved import save_covariance

        save_covariance(self, folder)


def check_fit(fit: object, what: str) -> None:
    """Raise `SettingError` unless `fit` is a result of stage 1; `what` asks for it."""
    if not isinstance(fit, CovarianceResult):
        raise SettingError(f"{what} needs a result of learn_covariance, not {_kind(fit)}")


def _kind(value: object) -> str:
    name = type(value).__name__
    return f"{value!r}" if isinstance(value, str | int | float) else f"a {name}"

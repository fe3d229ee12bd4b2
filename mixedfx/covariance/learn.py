"""Stage 1's entry: learn the covariances of the random effects, by likelihood or MCMC, from all rows or a sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from mixedfx.covariance.likelihood import fit_gaussian
from mixedfx.covariance.per_factor import combine
from mixedfx.covariance.result import CovarianceResult
from mixedfx.design import Design, build_design
from mixedfx.errors import SettingError
from mixedfx.families import Family, get_family
from mixedfx.subsample import Subsample
from mixedfx.varcorr import VarCorr

if TYPE_CHECKING:
    from mixedfx.progress import Report

LIKELIHOODS = ("reml", "ml")
METHODS = {"gaussian": ("reml", "ml", "nuts"), "bernoulli": ("nuts",)}
"""Which methods learn the covariances of which family."""


def learn_covariance(
    formula: str,
    data: object,
    *,
    family: str = "gaussian",
    method: str | None = None,
    subsample: Subsample | None = None,
    weights: object = None,
    nagq: int = 1,
    priors: Mapping[str, Any] | None = None,
    draws: int = 1000,
    warmup: int = 1000,
    chains: int = 4,
    start: VarCorr | None = None,
    force: bool = False,
    na: Literal["drop", "raise"] = "drop",
    seed: int = 0,
    progress: bool | Report | None = None,
) -> CovarianceResult:
    """Learn Sigma of every grouping factor, and the residual variance.

    Parameters
    ----------
    formula
        In lme4's notation: ``"y ~ 1 + x + (1 + x | user) + (1 | item)"``.
    data
        A pandas or polars DataFrame, an Arrow table, or a path to Parquet or CSV.
    family
        "gaussian" or "bernoulli".
    method
        "reml" or "ml" (gaussian), or "nuts": MCMC of the full model with NumPyro. By default "reml" for gaussian.
    subsample
        Which rows to learn from; all by default. With several draws (strategy "per-factor") each factor's covariance
        is read from its own fit, kept in ``fits``.
    weights
        An array or a column's name: precision for gaussian (variance sigma^2 / w, as lme4), frequency otherwise.
    nagq
        Only 1 is available.
    priors, draws, warmup, chains, seed
        Of MCMC: see `mixedfx.covariance.nuts.sample_nuts`.
    start
        Covariances to start from.
    force
        Mark the result of MCMC freezable even where its diagnostics say otherwise.
    na
        "drop" rows with missing values, with a warning, or "raise" an error.
    progress
        See `mixedfx.progress`.

    Raises
    ------
    MixedfxError
        The formula, the data or a setting cannot be used; the message says why and what to do.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> fit = mfx.learn_covariance("y ~ 1 + (1 | s) + (1 | d)", mfx.datasets.load_insteval())
    >>> round(fit.reml_criterion, 4)
    237783.8804
    """
    chosen = get_family(family)
    method = _check_method(method, chosen)
    if nagq != 1:
        raise SettingError(f"nagq is {nagq!r}, but only 1 is available")
    settings = _Settings(chosen, method, priors, draws, warmup, chains, start, force, seed, progress)
    design = build_design(formula, data, family=chosen, weights=weights, na=na)
    if subsample is None:
        return settings.fit(design)
    if not isinstance(subsample, Subsample):
        raise SettingError(
            f"subsample must be a Subsample, such as Subsample(n_rows=20_000), or None, not {subsample!r}"
        )
    plan = subsample.plan([term.grouping for term in design.predictors.terms])
    fits: dict[int, CovarianceResult] = {}
    for draw in plan:
        if id(draw.rows) not in fits:
            fits[id(draw.rows)] = replace(settings.fit(design.take(draw.rows)), rows=draw.rows)
    if len(plan) == 1:
        return fits[id(plan[0].rows)]
    return combine({draw.factor or "": fits[id(draw.rows)] for draw in plan})


@dataclass(frozen=True)
class _Settings:
    family: Family
    method: str
    priors: Mapping[str, Any] | None
    draws: int
    warmup: int
    chains: int
    start: VarCorr | None
    force: bool
    seed: int
    progress: bool | Report | None

    def fit(self, design: Design) -> CovarianceResult:
        if self.method in LIKELIHOODS:
            return fit_gaussian(design, reml=self.method == "reml", start=self.start)
        from mixedfx.covariance.nuts import sample_nuts

        start = self.start
        if start is None and self.family.name == "gaussian":
            start = fit_gaussian(design, reml=True).varcorr
        return sample_nuts(
            design,
            self.family,
            priors=self.priors,
            draws=self.draws,
            warmup=self.warmup,
            chains=self.chains,
            start=start,
            force=self.force,
            seed=self.seed,
            progress=self.progress,
        )


def _check_method(method: str | None, family: Family) -> str:
    available = METHODS.get(family.name, ())
    if not available:
        raise SettingError(
            f"the covariances of family '{family.name}' cannot be learned in this version; give "
            "estimate_coefficients() a VarCorr from another program, such as as.data.frame(VarCorr(fit)) of lme4"
        )
    if method is None and "reml" in available:
        return "reml"
    if method is None or method not in available:
        given = "needs a method" if method is None else f"has no method {method!r}"
        raise SettingError(f"family '{family.name}' {given}; available: {', '.join(map(repr, available))}")
    return method

"""Stage 1's entry: learn the covariances of the random effects, by likelihood or as a posterior, from all rows or a
sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mixedfx.arguments import check_flag, check_whole_number
from mixedfx.covariance.averaged import average
from mixedfx.covariance.generalized import fit_laplace
from mixedfx.covariance.likelihood import fit_gaussian
from mixedfx.covariance.per_factor import combine
from mixedfx.covariance.result import CovarianceResult
from mixedfx.design import Design, build_design
from mixedfx.errors import SettingError
from mixedfx.families import Family, get_family
from mixedfx.linalg.blas import one_blas
from mixedfx.posterior_diagnostics import FEWEST_DRAWS
from mixedfx.progress import check_progress
from mixedfx.sampled_design import sampled_designs
from mixedfx.subsample import Draw, Subsample
from mixedfx.varcorr import VarCorr

if TYPE_CHECKING:
    from mixedfx.progress import Report

LIKELIHOODS = ("reml", "ml")
BAYESIAN = ("nuts", "marginal", "vi")
"""Methods that draw from a posterior, and so have priors, draws, warmup and chains."""
MOST_POINTS = 100
"""Of adaptive quadrature, as in lme4."""


def learn_covariance(
    formula: str,
    data: object,
    *,
    family: str = "gaussian",
    method: str | None = None,
    subsample: Subsample | Literal["auto"] | None = None,
    weights: object = None,
    nagq: int = 1,
    satterthwaite: bool | None = None,
    priors: Mapping[str, Any] | None = None,
    draws: int = 1000,
    warmup: int = 1000,
    chains: int = 4,
    start: VarCorr | CovarianceResult | None = None,
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
        "gaussian", "bernoulli", "binomial", "poisson" or "cumulative".
    method
        "reml" (gaussian, its default), "ml" (by Laplace's approximation for the other families, whose default it is),
        "nuts": MCMC of the full model with NumPyro; "marginal": importance sampling of the covariances alone, the
        random effects integrated out; or "vi": a normal distribution fitted to that posterior.
    subsample
        Which rows to learn from; all by default, and "auto" for `Subsample(seed=seed)`. With several draws (strategy
        "per-factor") each factor's covariance is read from its own fit, kept in ``fits``. With replicates the
        covariances are means, and ``standard_errors`` has the spread beside the models' own errors: see
        `mixedfx.covariance.averaged`. Of Parquet files only a part is read: see `mixedfx.sampled_design`.
    weights
        An array or a column's name: precision for gaussian (variance sigma^2 / w, as lme4), trials for binomial,
        frequency otherwise.
    nagq
        For families other than gaussian, as in glmer: 1 is Laplace's approximation, 0 finds fixed effects and
        thresholds at their joint mode with the random effects (faster, less exact), more than 1 is adaptive
        Gauss-Hermite quadrature with so many points, for models with a single scalar random term.
    satterthwaite
        Degrees of freedom of tests of the fixed effects (gaussian, by likelihood), as lmerTest's: True computes them,
        which takes longer than the fit itself; None does so up to 10,000 rows with at most 500 coefficients of factors
        other than the largest; False does not.
    priors, draws, warmup, chains, seed
        Of the Bayesian methods (and the seed of the subsample "auto"): see `mixedfx.covariance.nuts.sample_nuts`,
        `mixedfx.covariance.marginal.sample_marginal` and `mixedfx.covariance.variational.sample_variational`; the
        priors, `mixedfx.describe_priors`.
    start
        Covariances to start from: `VarCorr`, or a result that has them.
    force
        Mark the result of a Bayesian method freezable even where its diagnostics say otherwise.
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
    _check_nagq(nagq, chosen, method)
    _check_satterthwaite(satterthwaite, chosen, method)
    _check_sampling(priors, draws, warmup, chains, seed)
    check_flag("force", force)
    if isinstance(subsample, str) and subsample == "auto":
        subsample = Subsample(seed=seed)
    if subsample is not None and not isinstance(subsample, Subsample):
        raise SettingError(
            f'subsample must be a Subsample, such as Subsample(n_rows=20_000), "auto" or None, not {subsample!r}'
        )
    begin = _start(start)
    check_progress(progress)
    settings = _Settings(
        chosen, method, nagq, satterthwaite, priors, draws, warmup, chains, begin, force, seed, progress
    )
    if subsample is None:
        with one_blas():  # for the design as well: threads once woken would turn beside a small fit
            return settings.fit(build_design(formula, data, family=chosen, weights=weights, na=na))
    sampled = sampled_designs(formula, data, subsample, family=chosen, weights=weights, na=na)
    fits: dict[int, CovarianceResult] = {}
    for draw in sampled.draws:
        if id(draw.rows) not in fits:
            fits[id(draw.rows)] = _describe(settings.fit(sampled.design(draw)), draw, subsample.strategy)
    replicates: dict[int, dict[str, CovarianceResult]] = {}
    for draw in sampled.draws:
        replicates.setdefault(draw.replicate, {})[draw.factor or ""] = fits[id(draw.rows)]
    # One draw without a factor is all there is to a replicate.
    results = [own[""] if "" in own else combine(own) for own in replicates.values()]
    return average(results) if len(results) > 1 else results[0]


def _describe(fit: CovarianceResult, draw: Draw, strategy: str) -> CovarianceResult:
    """The fit with the rows it rests on, and how they were drawn."""
    without_factor = {"rows": "rows", "two-way": "levels of every factor", "core": "a core"}
    drawn = {
        "drawn": without_factor.get(strategy, "all rows")
        if draw.sampled is None
        else f"levels of {draw.sampled}",
        "components": draw.components,
        "largest_component": draw.largest_component,
    }
    return replace(fit, rows=draw.rows, stats={**fit.stats, "subsample": drawn})


@dataclass(frozen=True)
class _Settings:
    family: Family
    method: str
    nagq: int
    satterthwaite: bool | None
    priors: Mapping[str, Any] | None
    draws: int
    warmup: int
    chains: int
    start: VarCorr | None
    force: bool
    seed: int
    progress: bool | Report | None

    def fit(self, design: Design) -> CovarianceResult:
        if self.method in LIKELIHOODS and self.family.name != "gaussian":
            return fit_laplace(design, self.family, nagq=self.nagq, start=self.start)
        if self.method in LIKELIHOODS:
            return fit_gaussian(
                design, reml=self.method == "reml", start=self.start, satterthwaite=self.satterthwaite
            )
        start, sample = self.start, _sampler(self.method)
        if self.method == "nuts" and start is None and self.family.has_sigma:
            start = fit_gaussian(design, reml=True, satterthwaite=False).varcorr
        return sample(
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


def _start(start: object) -> VarCorr | None:
    varcorr = start.varcorr if isinstance(start, CovarianceResult) else start
    if varcorr is not None and not isinstance(varcorr, VarCorr):
        raise SettingError(
            f"start must be a VarCorr or a result of learn_covariance, not {type(start).__name__}; "
            "VarCorr.from_frame() reads a table with columns grp, var1, var2, vcov"
        )
    return varcorr


def _check_sampling(priors: object, draws: object, warmup: object, chains: object, seed: object) -> None:
    if priors is not None and not isinstance(priors, Mapping):
        raise SettingError(f"priors is {priors!r}, but must be a mapping such as {{'sigma': 1.0}}")
    for name, value, least in (
        ("draws", draws, FEWEST_DRAWS),
        ("warmup", warmup, 1),
        ("chains", chains, 1),
        ("seed", seed, 0),
    ):
        check_whole_number(name, value, least)


def _sampler(method: str) -> Callable[..., CovarianceResult]:
    """Of a Bayesian method; loaded now, because the libraries behind it are large."""
    if method == "nuts":
        from mixedfx.covariance.nuts import sample_nuts

        return sample_nuts
    if method == "marginal":
        from mixedfx.covariance.marginal import sample_marginal

        return sample_marginal
    from mixedfx.covariance.variational import sample_variational

    return sample_variational


def _check_method(method: object, family: Family) -> str:
    available = (*(LIKELIHOODS if family.has_sigma else LIKELIHOODS[1:]), *BAYESIAN)
    if method is None:
        return available[0]
    if not isinstance(method, str) or method not in available:
        hint = ""
        if isinstance(method, str) and method == "reml":
            hint = (
                "; restricted likelihood is defined for gaussian models, use 'ml' (Laplace's approximation)"
            )
        raise SettingError(
            f"family '{family.name}' has no method {method!r}; available: {', '.join(map(repr, available))}{hint}"
        )
    return method


def _check_nagq(nagq: object, family: Family, method: str) -> None:
    if isinstance(nagq, bool) or not isinstance(nagq, int | np.integer) or not 0 <= nagq <= MOST_POINTS:
        raise SettingError(f"nagq is {nagq!r}, but must be a whole number from 0 to {MOST_POINTS}")
    if nagq != 1 and (method not in LIKELIHOODS or family.name == "gaussian"):
        raise SettingError(
            f"nagq={nagq} is there for the likelihood of families other than gaussian, not for family "
            f"'{family.name}' with method '{method}'; leave it out"
        )


def _check_satterthwaite(satterthwaite: object, family: Family, method: str) -> None:
    if satterthwaite is not None and not isinstance(satterthwaite, bool):
        raise SettingError(f"satterthwaite is {satterthwaite!r}, but must be True, False or None")
    if satterthwaite and (method not in LIKELIHOODS or family.name != "gaussian"):
        raise SettingError(
            f"satterthwaite=True is there for gaussian models by likelihood, not for family '{family.name}' with "
            f"method '{method}'; leave it out"
        )

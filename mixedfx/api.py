"""`fit`: both stages and their comparison in one call. It only composes the public steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from mixedfx.arguments import check_flag
from mixedfx.checks.compare import Comparison, compare_stages
from mixedfx.coefficients.estimate import estimate_coefficients
from mixedfx.coefficients.result import CoefficientsResult
from mixedfx.covariance.learn import learn_covariance
from mixedfx.covariance.refine import refine_covariance
from mixedfx.covariance.result import CovarianceResult
from mixedfx.errors import NotFreezableError
from mixedfx.subsample import Subsample
from mixedfx.summary import Section, Summary

if TYPE_CHECKING:
    from mixedfx.progress import Report


@dataclass(frozen=True, eq=False)
class Fit:
    """Both stages of a fit.

    Attributes
    ----------
    covariance
        Stage 1: the covariances, from the subsample.
    coefficients
        Stage 2: everybody's coefficients at these covariances, or at the refined ones, from all rows.
    refined
        Covariances refined on the full data; None unless asked for.
    """

    covariance: CovarianceResult
    coefficients: CoefficientsResult
    refined: CovarianceResult | None = None

    def __repr__(self) -> str:
        refined = "" if self.refined is None else f"\n  refined: {self.refined!r}"
        return f"<Fit\n  covariance: {self.covariance!r}\n  coefficients: {self.coefficients!r}{refined}>"

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()

    def compare(self, **options: Any) -> Comparison:
        """Compare the stages: see `mixedfx.compare_stages` for the options."""
        return compare_stages(self.covariance, self.coefficients, refined=self.refined, **options)

    def summary(self) -> Summary:
        """Both stages' summaries, one after the other."""
        first, second = self.covariance.summary(), self.coefficients.summary()
        between = () if self.refined is None else _refinement(self.refined.summary())
        return Summary(
            "Two-stage fit: covariances from a subsample, coefficients from all rows",
            (
                Section("Stage 1", (first.title,)),
                *first.sections,
                *between,
                Section("Stage 2", (second.title,)),
                *second.sections,
            ),
        )


def _refinement(summary: Summary) -> tuple[Section, ...]:
    return (Section("Refined on all rows", (summary.title,)), *summary.sections)


def fit(
    formula: str,
    data: object,
    *,
    family: str = "gaussian",
    method: str = "nuts",
    subsample: Subsample | Literal["auto"] | None = "auto",
    refine: bool = False,
    weights: object = None,
    na: Literal["drop", "raise"] = "drop",
    seed: int = 0,
    progress: bool | Report | None = None,
    **method_options: Any,
) -> Fit:
    """Learn the covariances on a subsample, freeze them, and estimate everybody's coefficients.

    Parameters
    ----------
    formula, data, family, weights, na, progress
        See `mixedfx.learn_covariance` and `mixedfx.estimate_coefficients`.
    method
        How stage 1 learns: "nuts", "marginal", "vi", "reml", "ml".
    subsample
        Which rows stage 1 uses: a `Subsample`, "auto" for its default (levels of each factor with all their rows,
        about 20,000 rows; everything where there are no more), None for all rows.
    refine
        Whether to go on from stage 1's covariances to the maximum of the likelihood of all rows
        (`mixedfx.refine_covariance`); the coefficients are then those at the refined covariances.
    seed
        Of the subsample ("auto") and of MCMC.
    **method_options
        Further arguments of `learn_covariance`: draws, warmup, chains, priors, satterthwaite, start, force.

    Raises
    ------
    NotFreezableError
        Stage 1's diagnostics say that the covariances were not established; ``force=True`` goes on all the same. The
        error's ``result`` is stage 1's result: hours of sampling are not lost.
    MixedfxError
        The formula, the data or a setting cannot be used.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> fit = mfx.fit("y ~ 1 + (1 | s) + (1 | d)", mfx.datasets.load_insteval(), method="reml")
    >>> fit.coefficients.converged
    True
    """
    check_flag("refine", refine)
    covariance = learn_covariance(
        formula,
        data,
        family=family,
        method=method,
        subsample=subsample,
        weights=weights,
        na=na,
        seed=seed,
        progress=progress,
        **method_options,
    )
    if not covariance.varcorr.freezable:
        raise NotFreezableError(
            f"the covariances were not frozen: {covariance.varcorr.why}. force=True goes on all the same; what was "
            "learned is in this error's .result, which estimate_coefficients takes after "
            "replace(error.result.varcorr, freezable=True)",
            covariance,
        )
    settings: Any = {"family": family, "weights": weights, "na": na, "progress": progress}
    refined = refine_covariance(formula, data, covariance, seed=seed, **settings) if refine else None
    coefficients = estimate_coefficients(formula, data, refined or covariance, **settings)
    return Fit(covariance, coefficients, refined)

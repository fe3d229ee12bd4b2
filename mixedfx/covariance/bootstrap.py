"""Parametric bootstrap of a fit: data simulated from it, and fitted again; as lme4's ``bootMer``."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.arguments import as_folder, check_choice, check_whole_number
from mixedfx.covariance.fit_again import design_again, estimates_at, optimum_again
from mixedfx.covariance.intervals import check_level
from mixedfx.covariance.quantities import chosen, names, quantities, rows_of
from mixedfx.covariance.replicates import Replicate, ReplicateFolder
from mixedfx.covariance.result import CovarianceResult, check_fit
from mixedfx.design import Design
from mixedfx.errors import MixedfxError, SettingError
from mixedfx.families import get_family
from mixedfx.progress import Report, reporter
from mixedfx.summary import Section, Summary
from mixedfx.varcorr import lower_factor

Floats = NDArray[np.float64]

KINDS = ("percentile", "basic")


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """Estimates from simulated data.

    Attributes
    ----------
    formula, family, method
        Of the fit.
    seed
        With a replicate's number it determines its data.
    estimates
        The fit's: ``grp``, ``var1``, ``var2``, ``parameter``, ``estimate``.
    replicates
        One row a replicate that was fitted (index: its number), one column a row of `estimates`, named as lme4 does:
        "Days", "sd_(Intercept)|Subject", "cor_Days.(Intercept)|Subject", "sigma". Correlations are NaN where a
        variance is 0.
    failures
        Replicate -> why it could not be fitted.
    """

    formula: str
    family: str
    method: str
    seed: int
    estimates: pd.DataFrame
    replicates: pd.DataFrame
    failures: pd.Series

    def intervals(
        self,
        level: float = 0.95,
        *,
        kind: str = "percentile",
        parameters: str | Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """Bootstrap intervals in the frame of `mixedfx.confint`.

        Parameters
        ----------
        level
            Probability that an interval holds its parameter.
        kind
            "percentile": quantiles of the replicates. "basic": these reflected at the estimate, 2 estimate - quantile
            (limits of a variance can be negative then).
        parameters
            See `mixedfx.confint`.

        Raises
        ------
        SettingError
            `level`, `kind` or `parameters` is not allowed.
        """
        tail = (1 - check_level(level)) / 2
        check_choice("kind", kind, KINDS)
        table = self.estimates.copy()
        limits = np.full((len(table), 2), np.nan)
        for row, draws in enumerate(self.replicates.to_numpy().T):
            defined = draws[np.isfinite(draws)]
            if len(defined):
                limits[row] = np.quantile(defined, [tail, 1 - tail])
        if kind == "basic":
            limits = 2 * table[["estimate"]].to_numpy() - limits[:, ::-1]
        table[["lower", "upper"]] = limits
        return rows_of(table, chosen(table, parameters))

    def summary(self) -> Summary:
        """Estimates with the replicates' bias and standard deviation, to print or show in a notebook."""
        draws = self.replicates
        table = pd.DataFrame(
            {
                "estimate": self.estimates["estimate"].to_numpy(),
                "bias": draws.mean().to_numpy() - self.estimates["estimate"].to_numpy(),
                "sd": draws.std().to_numpy(),
            },
            index=draws.columns,
        )
        lines = [
            f"{len(draws)} replicates of {self.formula} ({self.family}, {self.method}), seed {self.seed}"
        ]
        if len(self.failures):
            lines.append(f"{len(self.failures)} more could not be fitted:")
            lines += [f"  {count} x {why}" for why, count in self.failures.value_counts().items()]
        return Summary(
            "Parametric bootstrap", (Section("", tuple(lines)), Section("Parameters", table=table))
        )

    def __repr__(self) -> str:
        return (
            f"<Bootstrap: {self.formula}; {self.family}, {self.method}; {len(self.replicates)} replicates, "
            f"{len(self.failures)} failures>"
        )


def bootstrap(
    fit: CovarianceResult,
    data: object,
    *,
    n: int = 200,
    seed: int = 0,
    weights: object = None,
    folder: str | Path | None = None,
    progress: bool | Report | None = None,
) -> Bootstrap:
    """Simulate data from a fit and fit them again, `n` times.

    Random effects are drawn anew from the fit's covariances, and responses given them, as lme4's ``bootMer`` does by
    default; every replicate is fitted as the fit was (REML or ML, nagq), from its estimates.

    Parameters
    ----------
    fit
        A result of `learn_covariance` by REML or ML.
    data, weights
        What it was fitted to. Frequencies (weights of the bernoulli, Poisson and cumulative families) must be whole
        numbers: a row of weight 3 stands for three observations, each of which is simulated.
    n
        Number of replicates.
    seed
        Replicate k rests on the seed and k alone: the same whatever `n` is.
    folder
        Keeps every replicate as soon as it is finished. Called again with the same fit, data and seed, those that are
        there are not computed again: a killed run goes on, and a larger `n` adds to what there is.
    progress
        See `mixedfx.progress`.

    Raises
    ------
    SettingError
        The fit has no likelihood, a setting is not allowed, or the folder holds replicates of something else.
    DataError
        The data are not the fit's.

    References
    ----------
    Davison & Hinkley 1997, Bootstrap Methods and their Application, sections 2.1 and 5.2.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> import pandas as pd
    >>> y = [1.1, 0.9, 1.3, 2.2, 2.0, 2.5, 1.4, 1.6, 1.8, 2.9, 3.1, 2.7]
    >>> data = pd.DataFrame({"y": y, "g": [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]})
    >>> fit = mfx.learn_covariance("y ~ 1 + (1 | g)", data)
    >>> boot = mfx.bootstrap(fit, data, n=20, seed=1)
    >>> boot.replicates.shape, boot.replicates.columns.tolist()[-2:]
    ((20, 5), ['sigma^2', 'sigma'])
    """
    check_fit(fit, "bootstrap")
    check_whole_number("n", n, 1)
    check_whole_number("seed", seed, 0)
    design = _one_row_an_observation(design_again(fit, data, weights, "a bootstrap"))
    table = quantities(fit.varcorr, fit.fixef, fit.thresholds)
    kept = (
        None
        if folder is None
        else ReplicateFolder.open(as_folder(folder), _identity(fit, design, table, seed))
    )
    known = {} if kept is None else kept.read()
    with reporter(progress) as report:
        for number in range(n):
            if number not in known:
                known[number] = _replicate(fit, design, number, seed)
                if kept is not None:
                    kept.append(known[number])
            failed = sum(bool(known[k].failure) for k in range(number + 1))
            report("bootstrap", number + 1, n, f"{failed} failed" if failed else "")
    done = [known[number] for number in range(n)]
    fitted = [replicate for replicate in done if not replicate.failure]
    failures = {replicate.number: replicate.failure for replicate in done if replicate.failure}
    values = np.array([replicate.estimates for replicate in fitted]).reshape(len(fitted), len(table))
    index = pd.Index([replicate.number for replicate in fitted], dtype="int64", name="replicate")
    return Bootstrap(
        formula=fit.formula,
        family=fit.family,
        method=fit.method,
        seed=int(seed),
        estimates=table,
        replicates=pd.DataFrame(values, index=index, columns=names(table)),
        failures=pd.Series(failures, dtype=object, name="failure").rename_axis("replicate"),
    )


def _one_row_an_observation(design: Design) -> Design:
    """Frequencies as repeated rows; weights that are precisions or trials stay."""
    if not design.weighted or design.spec.family in ("gaussian", "binomial"):
        return design
    counts = np.rint(design.weights)
    if (counts != design.weights).any():
        raise SettingError(
            f"weights of family '{design.spec.family}' are frequencies, and data can only be simulated for whole "
            "numbers of observations; fit without weights, or with whole ones"
        )
    repeated = design.take(np.repeat(np.arange(design.n_rows), counts.astype(np.int64)))
    return replace(repeated, weights=np.ones(repeated.n_rows))


def _replicate(fit: CovarianceResult, design: Design, number: int, seed: int) -> Replicate:
    rng = np.random.default_rng(np.random.SeedSequence(int(seed), spawn_key=(number,)))
    try:
        simulated = replace(design, y=simulated_response(fit, design, rng))
        get_family(fit.family).check_response(simulated.y, design.spec.response_name)
        optimum = optimum_again(fit, simulated, reml=fit.method == "reml")
    except MixedfxError as error:
        return Replicate(number, (), f"{type(error).__name__}: {error}")
    if not optimum.converged:
        return Replicate(number, (), "the likelihood was not maximised")
    return Replicate(number, tuple(estimates_at(optimum, simulated)["estimate"].tolist()))


def simulated_response(fit: CovarianceResult, design: Design, rng: np.random.Generator) -> NDArray[Any]:
    """Responses to a design's rows, with new random effects, from a fit's estimates; shape (N,)."""
    terms, predictors = design.predictors.terms, design.predictors
    b = {
        term.name: rng.standard_normal((term.grouping.n_levels, term.q)) @ lower_factor(block.matrix).T
        for term, block in zip(terms, fit.varcorr.align(terms).blocks, strict=True)
    }
    eta = predictors.eta(fit.fixef.to_numpy(dtype=float), b)
    auxiliary: object = fit.varcorr.sigma2
    if fit.thresholds is not None:
        auxiliary = fit.thresholds.to_numpy(dtype=float)
    y = get_family(fit.family).sample(eta, rng, auxiliary, design.weights)
    return y.astype(design.y.dtype)


def _identity(fit: CovarianceResult, design: Design, table: pd.DataFrame, seed: int) -> dict[str, Any]:
    """What replicates are of: estimates of the same fit to the same rows, from one seed."""
    content = hashlib.sha256()
    predictors = design.predictors
    parts = (design.y, design.weights, predictors.X(), predictors.features, predictors.offset)
    for part in (*parts, *(term.grouping.codes for term in predictors.terms)):
        content.update(np.ascontiguousarray(part).tobytes())
    return {
        "formula": fit.formula,
        "family": fit.family,
        "method": fit.method,
        "nagq": fit.stats.get("nagq"),
        "seed": int(seed),
        "data": content.hexdigest(),
        "estimates": dict(zip(names(table), table["estimate"], strict=True)),
    }

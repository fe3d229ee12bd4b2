"""`describe_priors`: the priors that a Bayesian stage 1 would use, as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd

from mixedfx.covariance.correlation_blocks import correlation_blocks
from mixedfx.covariance.priors import Priors, choose_priors
from mixedfx.design import Design, build_design
from mixedfx.families import get_family

COLUMNS = ["name", "coefficient", "distribution", "scale", "meaning"]


def describe_priors(
    formula: str,
    data: object,
    *,
    family: str = "gaussian",
    priors: Mapping[str, Any] | None = None,
    weights: object = None,
    na: Literal["drop", "raise"] = "drop",
) -> pd.DataFrame:
    """The priors of a model, without fitting it.

    Parameters
    ----------
    formula, data, family, weights, na
        See `mixedfx.learn_covariance`.
    priors
        What would be given to `learn_covariance`: see `mixedfx.covariance.priors.choose_priors`.

    Returns
    -------
    DataFrame
        One row a parameter: ``name`` (under which `priors` sets it: "Sigma_user sd" is ``priors["Sigma_user"]["sd"]``),
        ``coefficient`` (what a mapping inside that may name), ``distribution``, ``scale`` (NaN where it has none;
        of correlations LKJ's concentration) and ``meaning``.

    Raises
    ------
    MixedfxError
        The formula, the data or a prior cannot be used.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> table = mfx.describe_priors("y ~ 1 + (1 | s)", mfx.datasets.load_insteval(), priors={"sigma": 2})
    >>> table[["name", "distribution"]].to_numpy().tolist()
    [['beta', 'normal(3.206, 3.333)'], ['Sigma_s sd', 'half_t(3, 3.333)'], ['sigma', 'half_t(3, 2)']]
    """
    chosen = get_family(family)
    design = build_design(formula, data, family=chosen, weights=weights, na=na)
    return priors_table(design, choose_priors(design, chosen, priors))


def priors_table(design: Design, priors: Priors) -> pd.DataFrame:
    """`Priors` as the table of `describe_priors`."""
    rows: list[tuple[str, object, str, float, str]] = []
    for name, prior in zip(priors.fixed_names, priors.fixed, strict=True):
        at = "fixed effect"
        if name == "(Intercept)":
            at = "linear predictor where all other columns are at their means"
        rows.append(("beta", name, str(prior), prior.scale, at))
    for name, prior in zip(priors.threshold_names, priors.thresholds, strict=True):
        meaning = "threshold where all columns are at their means; thresholds rise"
        rows.append(("thresholds", name, str(prior), prior.scale, meaning))
    for term in design.predictors.terms:
        for name, prior in zip(term.names, priors.sd[term.name], strict=True):
            meaning = f"standard deviation of the coefficient over the levels of {term.name}"
            rows.append((f"Sigma_{term.name} sd", name, str(prior), prior.scale, meaning))
        if any(len(block) > 1 for block in correlation_blocks(term)):
            concentration = priors.correlation[term.name]
            meaning = f"correlations of the coefficients of {term.name}; 1 is uniform, more is nearer to 0"
            rows.append(
                (
                    f"Sigma_{term.name} correlation",
                    np.nan,
                    f"lkj({concentration:.4g})",
                    concentration,
                    meaning,
                )
            )
    if priors.sigma is not None:
        rows.append(("sigma", np.nan, str(priors.sigma), priors.sigma.scale, "residual standard deviation"))
    return pd.DataFrame(rows, columns=COLUMNS)

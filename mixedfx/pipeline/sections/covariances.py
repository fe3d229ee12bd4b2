"""The covariances of all methods side by side, with intervals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from mixedfx.covariance.averaged import SPREAD
from mixedfx.covariance.learn import BAYESIAN
from mixedfx.covariance.result import CovarianceResult
from mixedfx.pipeline.report import Section, facts_of, show, side_by_side, table_of
from mixedfx.pipeline.steps import CheckOutcome

REACH = float(norm.ppf(0.95))
"""Of a 90 % interval on either side, in standard errors."""


def covariances(
    covariance: CovarianceResult, outcome: CheckOutcome | None = None, edited: bool = False
) -> Section:
    """Stage 1's covariances beside those on all rows, with where each block was read from for per-factor fits."""
    frame = covariance.standard_errors
    method = covariance.method.upper()
    rows = _entries(frame, f"stage 1 ({method})")
    if covariance.method in BAYESIAN:
        rows = rows.rename(columns={"standard error": "posterior sd"})
    facts: dict[str, Any] = {"method": method}
    text = ""
    if outcome is not None and outcome.full_data:
        text = f"On all rows: {outcome.full_data}."
        rows = rows.join(_on_all_rows(frame, outcome.covariances))
    if covariance.replicates:
        facts["means of"] = (
            f"{len(covariance.replicates)} replicates with {covariance.n_rows:,} rows together"
        )
    elif covariance.fits:
        sizes = [f"{factor} {fit.n_rows:,} rows" for factor, fit in covariance.fits.items()]
        facts["learned from"] = ", ".join(
            sizes if covariance.sigma is None else [*sizes, "Residual all of these"]
        )
    else:
        facts["rows used"] = covariance.n_rows
    if not covariance.varcorr.freezable:
        facts["not frozen"] = covariance.varcorr.why
    if edited:
        text = "This table was edited by hand after stage 1; stage 2 used it as it is here.\n" + text
    of = "quantiles of the posterior, elsewhere " if "q05" in frame else ""
    note = f"Intervals hold 90 %: {of}the estimate and {REACH:.3f} standard errors on either side."
    return Section("covariances", "Covariances", text, facts_of(facts), (side_by_side(rows, note),))


def refinement(refined: CovarianceResult) -> Section:
    """The covariances refined on all rows, and what the probes add to their errors."""
    rows = _entries(refined.standard_errors)
    rows["Monte Carlo error"] = np.asarray(refined.stats["monte_carlo_se"], dtype=float)
    facts = {
        "method": refined.method.upper(),
        "rows used": refined.n_rows,
        "random probes": refined.stats["probes"],
    }
    text = "Stage 2 is at these covariances: the maximum of the likelihood of all rows, from stage 1's."
    return Section("refined", "Covariances, refined on all rows", text, facts_of(facts), (table_of(rows),))


def _entries(frame: pd.DataFrame, method: str = "variance or covariance") -> pd.DataFrame:
    """lme4's frame with standard errors and intervals, in words."""
    estimate, se = frame["vcov"].astype(float), frame["se"].astype(float)
    half = REACH * se
    lower, upper = estimate - half, estimate + half
    if "q05" in frame:
        lower, upper = frame["q05"].fillna(lower), frame["q95"].fillna(upper)
    rows = pd.DataFrame(
        {
            "group": frame["grp"],
            "coefficient": frame["var1"].fillna("").astype(str),
            "with": frame["var2"].fillna("").astype(str),
            method: estimate,
            "standard error": se,
            **({"from the spread of replicates": frame[SPREAD].astype(float)} if SPREAD in frame else {}),
            "90 % interval": _intervals(lower, upper, frame["var2"].isna()),
            "sd or correlation": frame["sdcor"].astype(float),
        }
    )
    return rows if any(rows["with"]) else rows.drop(columns="with")


def _on_all_rows(frame: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """The comparison's estimates on all rows, in the order of lme4's frame."""
    found = {_key(row): (row["full"], row["se_full"]) for row in table.to_dict("records")}
    values = np.array(
        [found.get(_key(row), (np.nan, np.nan)) for row in frame.to_dict("records")], dtype=float
    )
    estimate, half = values[:, 0], REACH * values[:, 1]
    intervals = _intervals(estimate - half, estimate + half, frame["var2"].isna())
    columns = {"all rows": estimate, "its standard error": values[:, 1], "its 90 % interval": intervals}
    return pd.DataFrame(columns, index=frame.index)


def _key(row: Mapping[Any, Any]) -> tuple[object, frozenset[object]]:
    return row["grp"], frozenset(name for name in (row["var1"], row["var2"]) if isinstance(name, str))


def _intervals(lower: Any, upper: Any, variance: Any) -> list[str]:
    """Ends in words, those of variances not below 0; nothing where one is not known."""
    return [
        f"{show(max(float(low), 0.0) if positive else float(low))} to {show(float(high))}"
        if low == low
        else ""
        for low, high, positive in zip(lower, upper, variance, strict=True)
    ]

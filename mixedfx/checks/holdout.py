"""Rows that neither stage saw: does stage 2 predict them better than its fixed effects, stage 1, and no shrinkage?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from mixedfx.checks import rivals
from mixedfx.checks.finding import Finding, Status, skipped
from mixedfx.checks.remedies import HOLDOUT, REFINE, SAME_DATA
from mixedfx.checks.scored_rows import Prediction, ScoredRows, scorable_sample
from mixedfx.checks.thresholds import Thresholds, grade
from mixedfx.errors import DataError
from mixedfx.families import get_family
from mixedfx.varcorr import VarCorr

if TYPE_CHECKING:
    from mixedfx.checks.stage_one import StageOne
    from mixedfx.coefficients.result import CoefficientsResult

Floats = NDArray[np.float64]

PART = "held-out rows"
STATISTIC = "log score - that of fixed effects alone"
RIVALS = {
    "stage1": ("log score - that of stage 1", "stage 1", SAME_DATA),
    "unshrunk": ("log score - that without shrinkage", "effects that are not shrunk", REFINE),
}
REFINED = "log score - that with the covariances of all rows"
"""Statistic, name in words, and what to do where stage 2 loses."""


SAME = 1e-6
"""Log score a row that is none."""
SHOWN = 5e-4
"""Less is shown as 0.000: no reason to call one prediction better than another."""


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Scores of held-out rows under stage 2 and under what it should beat.

    Attributes
    ----------
    scores
        Indexed by "log score" (mean log predictive density of a row; larger is better) and "RMSE" or, for two outcomes,
        "Brier score" (smaller is better) and "AUC" (larger is better). Columns: stage2, stage1, fixed_only, unshrunk,
        refined (stage 2 at the covariances of all rows); NaN where one could not be had; difference (stage2 -
        fixed_only), error (of the difference; log score only).
    n_rows
        Rows scored.
    unknown
        Factor -> share of these rows whose level stage 2 did not have.
    left_out
        Rows that cannot be scored: they hold a category of a fixed effect, or of the response, that stage 2 did not
        have.
    gains
        "fixed_only", "stage1", "unshrunk", "refined" -> mean of the rows' log scores less this one's, and its standard
        error.
    """

    scores: pd.DataFrame
    n_rows: int
    unknown: Mapping[str, float]
    left_out: int = 0
    gains: Mapping[str, tuple[float, float]] = field(default_factory=dict)


def score_holdout(
    coef: CoefficientsResult,
    holdout: object,
    first: StageOne | None = None,
    data: object = None,
    refined: VarCorr | None = None,
) -> HeldOut:
    """Score predictions of held-out rows; rows with missing values are left out.

    All predictions are distributions, with the uncertainty of their coefficients (see `mixedfx.checks.rivals`). Rows
    that hold a category which the rows of the fit lacked (of a fixed effect or of the response; levels of grouping
    factors may be new) are left out and counted.

    Parameters
    ----------
    coef
        Stage 2.
    holdout
        The rows.
    first
        The fit of stage 1 to compare with.
    data
        The rows that stage 2 was fitted to, for the effects without shrinkage and those at other covariances.
    refined
        The covariances of all rows.

    Raises
    ------
    DataError
        Fewer than two rows are complete and have known categories, or the rows cannot be encoded.
    """
    spec, family = coef.spec, get_family(coef.family)
    frame, left_out = scorable_sample(coef, holdout)
    if len(frame) < 2:
        others = f" and {left_out} with categories that the fit did not have" if left_out else ""
        raise DataError(f"holdout has {len(frame)} complete rows{others}; scoring them needs at least 2")
    predictors = spec.encode(frame)
    y, weights = spec.encode_response(frame)
    rows = ScoredRows(family, y, weights)
    predictions = {
        "stage2": rivals.stage_two(coef, predictors),
        "stage1": None if first is None else rivals.stage_one(coef, first, predictors),
        "fixed_only": rivals.fixed_only(coef, predictors),
        "unshrunk": rivals.unshrunk(coef, data, predictors),
        "refined": rivals.refined(coef, data, refined, predictors),
    }
    logs = {name: None if p is None else rows.log_scores(p) for name, p in predictions.items()}
    own = logs["stage2"]
    assert own is not None
    gains = {
        name: (float((own - other).mean()), float((own - other).std(ddof=1) / np.sqrt(len(y))))
        for name, other in logs.items()
        if other is not None and name != "stage2"
    }
    table = {"log score": {name: np.nan if v is None else float(v.mean()) for name, v in logs.items()}}
    if not family.has_thresholds:
        table |= _point_scores(rows, predictions)
    scores = pd.DataFrame.from_dict(table, orient="index", columns=list(predictions))
    scores["difference"] = scores["stage2"] - scores["fixed_only"]
    scores["error"] = np.nan
    scores.loc["log score", "error"] = gains["fixed_only"][1]
    unknown = {term.name: float(np.mean(term.grouping.codes < 0)) for term in predictors.terms}
    return HeldOut(scores, len(y), unknown, left_out, gains)


def _point_scores(
    rows: ScoredRows, predictions: Mapping[str, Prediction | None]
) -> dict[str, dict[str, float]]:
    """Scores of the predictive means."""
    means = {name: None if p is None else rows.means(p) for name, p in predictions.items()}
    squares = {n: np.nan if m is None else rows.mean_squared_error(m) for n, m in means.items()}
    if rows.family.name != "bernoulli":
        return {"RMSE": {name: float(np.sqrt(square)) for name, square in squares.items()}}
    return {
        "Brier score": squares,
        "AUC": {name: np.nan if m is None else rows.auc(m) for name, m in means.items()},
    }


def check_holdout(held_out: HeldOut | None, thresholds: Thresholds) -> list[Finding]:
    """Stage 2 must beat its fixed effects, and not lose against stage 1 or effects without shrinkage."""
    if held_out is None:
        return [skipped(PART, PART, STATISTIC, "none were given (holdout=)")]
    findings = [_against_fixed(held_out, thresholds), *_against_rivals(held_out, thresholds)]
    return [*findings, _against_refined(held_out, thresholds)] if "refined" in held_out.gains else findings


def _against_fixed(held_out: HeldOut, thresholds: Thresholds) -> Finding:
    gain, error = held_out.gains["fixed_only"]
    status: Status = "ok"
    says = (
        f"stage 2 predicts {held_out.n_rows:,} held-out rows better than its fixed effects alone, by {gain:.3f} in log "
        f"score a row{_other_score(held_out)}"
    )
    remedy = ""
    if gain <= 0:
        # One-sided: that it is worse, and not just no better.
        status = "fail" if norm.cdf(gain / max(error, 1e-12)) < thresholds.fail_rate else "warn"
        says = (
            f"stage 2 predicts {held_out.n_rows:,} held-out rows no better than its fixed effects alone ({gain:.3f} in "
            "log score a row)"
        )
        remedy = HOLDOUT
    strangers = {factor: share for factor, share in held_out.unknown.items() if share > 0}
    if strangers:
        shares = ", ".join(f"{factor} {share:.0%}" for factor, share in strangers.items())
        says += f"; rows with levels that stage 2 did not have: {shares}"
    if held_out.left_out:
        says += f"; {held_out.left_out:,} rows with categories that stage 2 did not have were left out"
    return Finding(PART, PART, STATISTIC, status, says, gain, error, threshold=0.0, remedy=remedy)


def _against_rivals(held_out: HeldOut, thresholds: Thresholds) -> list[Finding]:
    findings = []
    for name, (statistic, rival, remedy) in RIVALS.items():
        if name not in held_out.gains:
            continue
        gain, error = held_out.gains[name]
        worse = bool(norm.cdf(gain / max(error, 1e-12)) < thresholds.warn_rate / len(RIVALS)) and gain < -SAME
        how = "worse than" if worse else "better than" if gain > max(error, SHOWN) else "as well as"
        says = f"stage 2 predicts held-out rows {how} {rival} ({gain:+z.3f} in log score a row)"
        status: Status = "warn" if worse else "ok"
        findings.append(
            Finding(
                PART,
                PART,
                statistic,
                status,
                says,
                gain,
                error,
                threshold=0.0,
                remedy=remedy if worse else "",
            )
        )
    return findings


def _against_refined(held_out: HeldOut, thresholds: Thresholds) -> Finding:
    """What refining would be worth."""
    gain, error = held_out.gains["refined"]
    p_value = float(norm.cdf(gain / max(error, 1e-12)))
    status = grade(-gain, thresholds.log_score, p_value, thresholds)
    change = f"{'improve' if gain < 0 else 'fall'} by {abs(gain):.2g} (standard error {error:.1g}) a row"
    if abs(gain) < SAME:
        change = "not change"
    says = f"with the covariances of all rows the held-out log score would {change}"
    remedy = "" if status == "ok" else REFINE
    limit = thresholds.log_score[0]
    return Finding(
        PART, PART, REFINED, status, says, gain, error, expected=0.0, threshold=limit, remedy=remedy
    )


def _other_score(held_out: HeldOut) -> str:
    for name, row in held_out.scores.iloc[1:].iterrows():
        return f" ({name} {row['stage2']:.3f} against {row['fixed_only']:.3f})"
    return ""

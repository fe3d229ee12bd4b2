"""Rows that neither stage saw: does stage 2 predict them better than the fixed effects alone?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import logsumexp
from scipy.stats import norm

from mixedfx.checks.finding import Finding, Status, skipped
from mixedfx.checks.remedies import HOLDOUT
from mixedfx.checks.thresholds import Thresholds
from mixedfx.coefficients.predict import linear_predictor, linear_predictor_variance
from mixedfx.errors import DataError
from mixedfx.families import Family, get_family
from mixedfx.formula.missing import missing_rows
from mixedfx.frames import read_columns

if TYPE_CHECKING:
    from mixedfx.coefficients.result import CoefficientsResult
    from mixedfx.predictors import Predictors

Floats = NDArray[np.float64]

PART = "held-out rows"
STATISTIC = "log score - that of fixed effects alone"
ROWS = 20_000
"""Of more held-out rows a random sample of this size is scored."""
NODES = 31
"""Gauss-Hermite nodes for the mean of a density over a normal linear predictor."""


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Scores of held-out rows under stage 2 and under its fixed effects alone.

    Attributes
    ----------
    scores
        Indexed by "log score" (mean log predictive density of a row; larger is better) and "RMSE" or, for two outcomes,
        "Brier score" (smaller is better); columns stage2, fixed_only, difference, error (of the difference; NaN for the
        RMSE).
    n_rows
        Rows scored.
    unknown
        Factor -> share of these rows whose level stage 2 did not have.
    """

    scores: pd.DataFrame
    n_rows: int
    unknown: Mapping[str, float]


def score_holdout(coef: CoefficientsResult, holdout: object) -> HeldOut:
    """Score predictions of held-out rows; rows with missing values are left out.

    Both predictions are distributions: stage 2's with the uncertainty of its coefficients, that of the fixed effects
    with the whole of z'Sigma z, as for levels never seen. Otherwise the latter would lose for being too sure.

    Raises
    ------
    DataError
        No row is complete, or the rows cannot be encoded.
    """
    spec, family = coef.spec, get_family(coef.family)
    frame = _complete_sample(coef, holdout)
    predictors = spec.encode(frame)
    y, weights = spec.encode_response(frame)
    nothing = {term.name: np.zeros((term.grouping.n_levels, term.q)) for term in predictors.terms}
    mixture = coef.mixture
    predictions = {
        "stage2": (linear_predictor(mixture, predictors), linear_predictor_variance(mixture, predictors)),
        "fixed_only": (predictors.eta(mixture.beta(), nothing), _random_variance(coef, predictors)),
    }
    auxiliary = coef.varcorr.sigma2 if coef.thresholds is None else coef.thresholds.to_numpy()
    rows = _Rows(family, auxiliary, y, weights)
    logs = {name: rows.log_scores(*prediction) for name, prediction in predictions.items()}
    gain = logs["stage2"] - logs["fixed_only"]
    table = {"log score": {name: float(values.mean()) for name, values in logs.items()}}
    table["log score"]["error"] = float(gain.std(ddof=1) / np.sqrt(len(y)))
    if not family.has_thresholds:
        squares = {name: rows.mean_squared_error(*prediction) for name, prediction in predictions.items()}
        if family.name == "bernoulli":
            table["Brier score"] = squares
        else:
            table["RMSE"] = {name: float(np.sqrt(square)) for name, square in squares.items()}
    scores = pd.DataFrame.from_dict(table, orient="index", columns=["stage2", "fixed_only", "error"])
    scores.insert(2, "difference", scores["stage2"] - scores["fixed_only"])
    unknown = {term.name: float(np.mean(term.grouping.codes < 0)) for term in predictors.terms}
    return HeldOut(scores, len(y), unknown)


def check_holdout(held_out: HeldOut | None, thresholds: Thresholds) -> list[Finding]:
    """Stage 2 must beat its fixed effects."""
    if held_out is None:
        return [skipped(PART, PART, STATISTIC, "none were given (holdout=)")]
    gain, error = held_out.scores.loc["log score", ["difference", "error"]]
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
    return [Finding(PART, PART, STATISTIC, status, says, gain, error, threshold=0.0, remedy=remedy)]


def _other_score(held_out: HeldOut) -> str:
    for name, row in held_out.scores.iloc[1:].iterrows():
        return f" ({name} {row['stage2']:.3f} against {row['fixed_only']:.3f})"
    return ""


@dataclass(frozen=True, eq=False)
class _Rows:
    """Observed rows, and their scores where the linear predictor is N(mean, variance)."""

    family: Family
    auxiliary: object
    y: Floats
    weights: Floats

    def log_scores(self, mean: Floats, variance: Floats) -> Floats:
        """Log predictive density of each row."""
        if self.family.name == "gaussian":
            assert isinstance(self.auxiliary, float)
            return norm.logpdf(self.y, mean, np.sqrt(variance + self.auxiliary / self.weights))
        logs = [
            -self.weights * self.family.loss(self.y, eta, self.auxiliary) for eta in _nodes(mean, variance)
        ]
        constant = self.family.log_constant(self.y, self.weights) / len(self.y)
        return logsumexp(logs, axis=0, b=_node_weights()[:, None]) + constant

    def mean_squared_error(self, mean: Floats, variance: Floats) -> float:
        """Of the predictive mean."""
        means = np.array([self.family.mean(eta, self.auxiliary) for eta in _nodes(mean, variance)])
        return float(np.average((self.y - _node_weights() @ means) ** 2, weights=self.weights))


def _nodes(mean: Floats, variance: Floats) -> Iterator[Floats]:
    nodes, _ = np.polynomial.hermite_e.hermegauss(NODES)
    return (mean + np.sqrt(variance) * node for node in nodes)


def _node_weights() -> Floats:
    _, weights = np.polynomial.hermite_e.hermegauss(NODES)
    return weights / weights.sum()


def _random_variance(coef: CoefficientsResult, predictors: Predictors) -> Floats:
    """z'Sigma z over all factors, shape (N,)."""
    total = np.zeros(predictors.n_rows)
    for term, block in zip(predictors.terms, coef.varcorr.align(predictors.terms).blocks, strict=True):
        z = predictors.z(term)
        total += np.einsum("ri,ij,rj->r", z, block.matrix, z)
    return total


def _complete_sample(coef: CoefficientsResult, holdout: object) -> pd.DataFrame:
    spec = coef.spec
    weights = () if spec.weights_column is None else (spec.weights_column,)
    frame = read_columns(holdout, (*spec.parsed.response_columns, *spec.columns, *weights))
    frame = frame.loc[~missing_rows(frame)[0]]
    if len(frame) < 2:
        raise DataError(f"holdout has {len(frame)} complete rows; scoring them needs at least 2")
    if len(frame) <= ROWS:
        return frame
    return frame.iloc[np.sort(np.random.default_rng(0).choice(len(frame), ROWS, replace=False))]

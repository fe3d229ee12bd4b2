"""Posterior predictive checks of stage 2, fit for the family.

Each draw of all coefficients gives the rows' linear predictors eta and, from them, a new response. A discrepancy
T(y, eta) of the data is compared with T(y_new, eta) at the same draws: where the model is right, data and new data are
alike given eta (Gelman, Meng & Stern 1996, Statistica Sinica 6). Taking the *draw's* eta matters: modes were fitted to
these very rows, and rows with high fitted values have responses that lie still higher.

- "categories" (bernoulli, cumulative, poisson): share of each category or count;
- "calibration" (bernoulli, binomial, cumulative): mean response among rows with like means given eta; of ordered
  categories, whether a response is above the middle one;
- "residuals" (gaussian): quantiles of (y - eta) sqrt(w) / sigma.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from mixedfx.checks.finding import Finding, skipped
from mixedfx.checks.rivals import is_large, stage_two
from mixedfx.checks.scored_rows import scorable_sample
from mixedfx.checks.thresholds import Thresholds, grade
from mixedfx.families import Family, get_family
from mixedfx.families.cumulative import as_cumulative
from mixedfx.predictors import Predictors

if TYPE_CHECKING:
    from mixedfx.coefficients.result import CoefficientsResult
    from mixedfx.linalg.layout import RowLayout

Floats = NDArray[np.float64]

PART = "predictive checks"
DRAWS = 32
DRAWS_AT_ONCE = 16
INTERVAL = 0.9
BINS = 10
MOST_COUNTS = 15
"""Counts above are put together."""
PROBABILITIES = np.arange(1, 100) / 100
IN_WORDS = {
    "categories": "share of a category",
    "calibration": "mean response among rows with like predictions",
    "residuals": "share of the residuals below a quantile",
}


@dataclass(frozen=True, eq=False)
class Predictive:
    """One discrepancy of the data, and of data that the fit would give.

    Attributes
    ----------
    kind
        "categories", "calibration" or "residuals".
    table
        Columns at (category; mean prediction; normal quantile), observed, expected, lower, upper: the mean over draws
        for the data, and mean and 90 % interval for new data.
    distance
        Largest difference of a probability between data and new data.
    p_value
        How seldom new data are as far off, with the number of probabilities in mind.
    where
        Where the difference is largest, in words.
    n_rows
        Rows looked at.
    of
        What the probabilities are of, in words: "share of yes", "share above perhaps".
    """

    kind: str
    table: pd.DataFrame
    distance: float
    p_value: float
    where: str
    n_rows: int
    of: str


def predictive_checks(coef: CoefficientsResult, data: object) -> tuple[Predictive, ...] | str:
    """All checks of the family on rows of the fit, or why there are none."""
    spec, family = coef.spec, get_family(coef.family)
    if data is None:
        return "the full data were not given (data=)"
    if spec.weighted and spec.weights_column is None:
        return "the weights were an array, which the fit does not keep"
    frame, _ = scorable_sample(coef, data)
    if len(frame) < 2:
        return "the data given have no complete rows with known categories"
    predictors = spec.encode(frame)
    y, weights = spec.encode_response(frame)
    y = np.asarray(y, dtype=np.float64)
    kinds = _statistics(coef, family, y)
    pairs: dict[str, list[tuple[_Values, _Values]]] = {kind: [] for kind in kinds}
    rng = np.random.default_rng(0)
    for eta, auxiliary in _linear_predictors(coef, predictors, rng):
        new = family.sample(eta, rng, auxiliary, weights)
        for kind, statistic in kinds.items():
            pairs[kind].append(
                (statistic.of(y, eta, auxiliary, weights), statistic.of(new, eta, auxiliary, weights))
            )
    return tuple(_summarised(kind, kinds[kind], found, len(y)) for kind, found in pairs.items())


def check_predictive(found: tuple[Predictive, ...] | str, thresholds: Thresholds) -> list[Finding]:
    """Whether data that the fit would give look like the data; warns only, because no stage is at fault."""
    if isinstance(found, str):
        return [skipped(PART, PART, "difference of a probability", found)]
    return [_judged(each, thresholds) for each in found]


def _judged(found: Predictive, thresholds: Thresholds) -> Finding:
    limits = (thresholds.predictive[0], np.inf)
    status = grade(found.distance, limits, found.p_value, thresholds)
    what = IN_WORDS[found.kind]
    says = f"the {what} differs by at most {found.distance:.2g} from data that the fit would give"
    remedy = ""
    if status != "ok":
        says = f"the {what} differs by {found.distance:.2g} from data that the fit would give ({found.where})"
        remedy = "look at the predictive plot: another family, a transform or further terms may fit better"
    return Finding(
        PART,
        found.kind,
        "largest difference of a share",
        status,
        says,
        found.distance,
        expected=0.0,
        threshold=thresholds.predictive[0],
        remedy=remedy,
    )


@dataclass(frozen=True, eq=False)
class _Values:
    """Of one draw: what is shown (k,), and probabilities that are compared (m,)."""

    shown: Floats
    probabilities: Floats


class _Categories:
    """Shares of the categories."""

    of_what = "share of the rows"

    def __init__(self, labels: list[str]) -> None:
        self.labels = labels

    def of(self, y: Floats, eta: Floats, auxiliary: object, weights: Floats) -> _Values:  # noqa: ARG002
        top = len(self.labels) - 1
        counts = np.bincount(np.minimum(y, top).astype(np.int64), weights, top + 1)
        shares = counts / counts.sum()
        return _Values(shares, shares)

    def axis(self, expected: Floats) -> list[object]:  # noqa: ARG002
        return list(self.labels)


class _Calibration:
    """Mean responses of rows in bins of like means; of ordered categories, of being above `cut`."""

    def __init__(self, family: Family, cut: int | None, of_what: str) -> None:
        self.family, self.cut, self.of_what = family, cut, of_what
        self.predicted: list[Floats] = []

    def of(self, y: Floats, eta: Floats, auxiliary: object, weights: Floats) -> _Values:
        if self.cut is None:
            mean, response = self.family.mean(eta, auxiliary), y
        else:
            mean = as_cumulative(self.family).probabilities(eta, auxiliary)[:, self.cut + 1 :].sum(axis=1)
            response = (y > self.cut).astype(float)
        bins = np.minimum(np.argsort(np.argsort(mean, kind="stable")) * BINS // len(mean), BINS - 1)
        total = np.bincount(bins, weights, BINS)
        total = np.where(total > 0, total, np.nan)
        self.predicted.append(np.bincount(bins, weights * mean, BINS) / total)
        shares = np.bincount(bins, weights * response, BINS) / total
        return _Values(shares, shares)

    def axis(self, expected: Floats) -> list[object]:  # noqa: ARG002
        return list(np.mean(self.predicted, axis=0))


class _Residuals:
    """Quantiles of standardised residuals, and shares below the normal quantiles."""

    of_what = "quantile of the residuals"

    def of(self, y: Floats, eta: Floats, auxiliary: object, weights: Floats) -> _Values:
        assert isinstance(auxiliary, float)
        standardised = np.sort((y - eta) * np.sqrt(weights / auxiliary))
        at = norm.ppf(PROBABILITIES)
        shares = np.searchsorted(standardised, at, side="right") / len(y)
        return _Values(np.quantile(standardised, PROBABILITIES), shares)

    def axis(self, expected: Floats) -> list[object]:  # noqa: ARG002
        return list(norm.ppf(PROBABILITIES))


_Statistic = _Categories | _Calibration | _Residuals


def _statistics(coef: CoefficientsResult, family: Family, y: Floats) -> dict[str, _Statistic]:
    if family.name == "gaussian":
        return {"residuals": _Residuals()}
    if family.name == "binomial":
        return {"calibration": _Calibration(family, None, "mean proportion")}
    if family.name == "poisson":
        top = int(min(max(np.quantile(y, 0.99), 1), MOST_COUNTS))
        return {"categories": _Categories([*map(str, range(top)), f"{top} or more"])}
    levels = coef.spec.response_levels
    labels = ["0", "1"] if levels is None else [str(level) for level in levels]
    if family.has_thresholds:
        above = np.array([np.mean(y > cut) for cut in range(len(labels) - 1)])
        middle = int(np.abs(above - 0.5).argmin())
        above_it = _Calibration(family, middle, f"share above {labels[middle]}")
        return {"categories": _Categories(labels), "calibration": above_it}
    return {
        "categories": _Categories(labels),
        "calibration": _Calibration(family, None, f"share of {labels[1]}"),
    }


def _linear_predictors(
    coef: CoefficientsResult, predictors: Predictors, rng: np.random.Generator
) -> Iterator[tuple[Floats, object]]:
    """eta (N,) of each draw of all coefficients, and what the density needs besides.

    Of a large fit each row's eta is drawn for itself: the statistics are sums over rows, and a draw of all coefficients
    takes a solution with all rows.
    """
    if len(coef.mixture.components) == 1 and is_large(_layout(coef)):
        rows = stage_two(coef, predictors)
        for _ in range(DRAWS):
            yield rows.mean + np.sqrt(rows.variance) * rng.standard_normal(len(rows.mean)), rows.auxiliary
        return
    p = len(coef.fixef)
    X = predictors.X()
    for first in range(0, DRAWS, DRAWS_AT_ONCE):
        fixed, random = coef.mixture.draws(DRAWS, rng, batch=slice(first, first + DRAWS_AT_ONCE))
        for m in range(fixed.shape[1]):
            b = {name: values[:, :, m] for name, values in random.items()}
            eta = predictors.offset + X @ fixed[:p, m]
            for term in predictors.terms:
                known = term.grouping.codes >= 0
                own = np.einsum("rq,rq->r", predictors.z(term), b[term.name][term.grouping.codes])
                eta += np.where(known, own, 0.0)
            # A draw of thresholds that lie close may cross.
            yield eta, coef.varcorr.sigma2 if coef.thresholds is None else np.sort(fixed[p:, m])


def _layout(coef: CoefficientsResult) -> RowLayout:
    return coef.mixture.components[0].normal.elimination.operator.layout


def _summarised(
    kind: str, statistic: _Statistic, pairs: list[tuple[_Values, _Values]], n_rows: int
) -> Predictive:
    data, new = ([pair[i] for pair in pairs] for i in (0, 1))
    observed = np.mean([v.shown for v in data], axis=0)
    expected = np.mean([v.shown for v in new], axis=0)
    lower, upper = np.quantile([v.shown for v in new], [0.5 - INTERVAL / 2, 0.5 + INTERVAL / 2], axis=0)
    axis = statistic.axis(expected)
    table = pd.DataFrame(
        {"at": axis, "observed": observed, "expected": expected, "lower": lower, "upper": upper}
    )
    shares = np.array([v.probabilities for v in new])
    off = np.mean([v.probabilities for v in data], axis=0) - shares.mean(axis=0)
    z = np.abs(off) / np.maximum(shares.std(axis=0, ddof=1), 0.5 / n_rows)
    at = int(np.nanargmax(np.abs(off)))
    place = axis[at]
    where = f"at {place:.2g}" if isinstance(place, float) else f"{place}"
    p_value = float(min(2 * norm.sf(np.nanmax(z)) * np.isfinite(z).sum(), 1.0))
    return Predictive(kind, table, float(abs(off[at])), p_value, where, n_rows, statistic.of_what)

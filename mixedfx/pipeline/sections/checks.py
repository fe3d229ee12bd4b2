"""What the comparison of the stages found: its checks, held-out rows, and the levels that stand out."""

from __future__ import annotations

import math

import pandas as pd

from mixedfx.pipeline.report import Section, Table, show, table_of
from mixedfx.pipeline.steps import CheckOutcome

RIVALS = {
    "stage2": "stage 2",
    "stage1": "stage 1",
    "fixed_only": "fixed effects alone",
    "unshrunk": "without shrinkage",
    "refined": "covariances of all rows",
    "difference": "stage 2 - fixed effects",
    "error": "standard error",
}
ABOUT_LIMITS = (
    "A value outside the range in the last column is a warning where chance does not explain it, or a failure where it "
    "is far outside."
)


def levels(outcome: CheckOutcome) -> Section:
    """The levels that stand out, in sentences."""
    text = (
        "For each coefficient the levels that are furthest from the average and surely so: their 90 % interval stays "
        "furthest from it. Estimates are shrunk, so that the largest of many are not exaggerated."
    )
    if outcome.levels.empty:
        return Section("levels", "Levels that stand out", "No level is surely different from the average.")
    frame = outcome.levels
    shown = pd.DataFrame(
        {
            "in words": frame["says"],  # first, so that a phone shows it
            "factor": frame["factor"],
            "level": frame["level"].astype(str),
            "coefficient": frame["coefficient"],
            "estimate": frame["mode"].map("{:.3f}".format),
            "rows": frame["rows"].map(show),
        }
    )
    return Section("levels", "Levels that stand out", text, tables=(table_of(shown),))


def checks(outcome: CheckOutcome) -> Section:
    """What each check found; the frame with every column is in the run's folder."""
    # Each row is about something else, so the numbers of a column need no common precision.
    shown = {name: outcome.summary[name].map(show) for name in ("status", "says", "value", "error")}
    limits = map(_limit, outcome.summary["expected"], outcome.summary["threshold"])
    names = {"says": "finding", "error": "standard error"}
    frame = pd.DataFrame({names.get(name, name): text for name, text in shown.items()})
    table = table_of(frame.assign(**{"in order": list(limits)}), note=ABOUT_LIMITS)
    tables = [table] if outcome.scores is None else [table, held_out_scores(outcome.scores)]
    return Section("checks", "Checks", tables=tuple(tables))


def held_out_scores(scores: pd.DataFrame) -> Table:
    """Scores of held-out rows under stage 2 and its rivals."""
    shown = scores.rename(columns=RIVALS).dropna(axis=1, how="all")
    columns = {
        name: shown[name] if name == "score" else shown[name].map("{:.4f}".format).replace("nan", "")
        for name in shown
    }
    note = (
        "Large log scores and AUC, small Brier scores and RMSE are good; the log score is the mean of a row."
    )
    return table_of(pd.DataFrame(columns), "Held-out rows", note)


def _limit(expected: float, threshold: float) -> str:
    """Where a value is in order: "1 ± 0.1", "at least 400"."""
    if math.isnan(threshold):
        return show(expected)
    return f"at least {show(threshold)}" if math.isnan(expected) else f"{show(expected)} ± {show(threshold)}"

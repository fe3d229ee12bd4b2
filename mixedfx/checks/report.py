"""The printed comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from mixedfx.summary import Section, Summary

if TYPE_CHECKING:
    from mixedfx.checks.compare import Comparison

FIXED = ["stage1", "se1", "stage2", "se2", "in_se", "z"]
COVARIANCES = ["grp", "var1", "var2", "stage1", "se1", "frozen", "full", "se_full", "z"]


def report(comparison: Comparison) -> Summary:
    """Verdict, checks, fixed effects and covariances, to print or show in a notebook."""
    sections = [
        Section("", tuple(comparison.verdict.splitlines())),
        Section("Checks", table=_checks(comparison.summary), show_index=False),
        Section("Fixed effects (in_se: difference / se1)", table=comparison.fixed_effects.loc[:, FIXED]),
        Section("Covariances", table=_covariances(comparison.covariances), show_index=False),
    ]
    if comparison.held_out is not None:
        sections.append(Section("Held-out rows", table=comparison.held_out.scores))
    return Summary(f"Comparison of the stages: {comparison.status}", tuple(sections))


def _checks(summary: pd.DataFrame) -> pd.DataFrame:
    """What fits a terminal; `Comparison.summary` has the rest."""
    table = summary.reset_index().loc[:, ["status", "checked", "statistic", "value", "expected"]]
    for name in ("value", "expected"):
        table[name] = ["" if pd.isna(value) else f"{value:.3g}" for value in table[name]]
    return table


def _covariances(table: pd.DataFrame) -> pd.DataFrame:
    """The frozen values only where they are not stage 1's."""
    shown = table.loc[:, COVARIANCES]
    if shown["var2"].isna().all():
        shown = shown.drop(columns="var2")
    same = table["frozen"].tolist() == table["stage1"].tolist()
    return shown.drop(columns="frozen") if same else shown

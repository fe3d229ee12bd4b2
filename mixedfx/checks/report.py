"""The printed comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mixedfx.summary import Section, Summary

if TYPE_CHECKING:
    from mixedfx.checks.compare import Comparison

CHECKED = ["statistic", "value", "error", "expected", "status"]
COVARIANCES = ["grp", "var1", "var2", "stage1", "se1", "frozen", "full", "se_full", "z"]


def report(comparison: Comparison) -> Summary:
    """Verdict, checks, fixed effects and covariances, to print or show in a notebook."""
    sections = [
        Section("", tuple(comparison.verdict.splitlines())),
        Section("Checks", table=comparison.summary.loc[:, CHECKED]),
        Section("Fixed effects", table=comparison.fixed_effects),
        Section("Covariances", table=comparison.covariances.loc[:, COVARIANCES], show_index=False),
    ]
    if comparison.held_out is not None:
        sections.append(Section("Held-out rows", table=comparison.held_out.scores))
    return Summary(f"Comparison of the stages: {comparison.status}", tuple(sections))

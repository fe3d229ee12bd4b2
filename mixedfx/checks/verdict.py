"""The verdict: what agrees, what does not, why, and what to do."""

from __future__ import annotations

from collections.abc import Sequence

from mixedfx.checks.finding import Finding, worst

OPENINGS = {
    "ok": "The stages agree: the coefficients of stage 2 can be used.",
    "warn": "The coefficients of stage 2 can be used with care.",
    "fail": "Do not use the coefficients of stage 2 as they are.",
}


def verdict(findings: Sequence[Finding]) -> str:
    """A paragraph each: the decision, what is wrong with remedies, what agrees, what was not checked."""
    paragraphs = [OPENINGS[worst(findings)]]
    for status in ("fail", "warn"):
        paragraphs += [_problem(f) for f in findings if f.status == status]
    agreed = [f.says for f in findings if f.status == "ok"]
    if agreed:
        paragraphs.append(f"In order: {'; '.join(agreed)}.")
    missing = [f"{f.checked} ({f.says})" for f in findings if f.status == "skipped"]
    if missing:
        paragraphs.append(f"Not checked: {'; '.join(missing)}.")
    return "\n".join(paragraphs)


def _problem(finding: Finding) -> str:
    text = f"{finding.says[0].upper()}{finding.says[1:]}."
    return f"{text} What to do: {finding.remedy}." if finding.remedy else text

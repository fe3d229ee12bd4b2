"""The verdict: what agrees, what does not, why, and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from mixedfx.checks.finding import BAD, Finding, worst

OPENINGS = {
    "ok": "The stages agree: the coefficients of stage 2 can be used.",
    "warn": "The coefficients of stage 2 can be used with care.",
    "fail": "Do not use the coefficients of stage 2 as they are.",
}


def verdict(findings: Sequence[Finding]) -> str:
    """Lines of text: the decision, each problem, what to do, what agrees part by part, and what was not checked."""
    lines = [OPENINGS[worst(findings)]]
    problems = [f for status in BAD for f in findings if f.status == status]
    lines += [f"- {_sentence(f.says)}" for f in problems]
    remedies = _distinct(f.remedy for f in problems if f.remedy)
    if remedies:
        lines.append(f"What to do: {'; '.join(remedies)}.")
    agreed = [f for f in findings if f.status == "ok"]
    for part in _distinct(f.part for f in agreed):
        clauses = [
            _clause([f for f in agreed if (f.part, f.statistic) == (part, s)])
            for s in _statistics(agreed, part)
        ]
        lines.append(f"{part[0].upper()}{part[1:]}: {'; '.join(clauses)}.")
    left_out = [f for f in findings if f.status == "skipped"]
    for why in _distinct(f.says for f in left_out):
        what = ", ".join(f.checked for f in left_out if f.says == why)
        lines.append(f"Not checked: {what}, because {why}.")
    return "\n".join(lines)


def _statistics(findings: Iterable[Finding], part: str) -> list[str]:
    return _distinct(f.statistic for f in findings if f.part == part)


def _clause(alike: Sequence[Finding]) -> str:
    """What is said of one statistic: the value that came nearest to its limit stands for all."""
    distinct = _distinct(f.says for f in alike)
    if len(distinct) == 1 or np.isnan(alike[0].threshold):
        return ", ".join(distinct)
    nearest = max(alike, key=_share_of_limit)
    return f"{nearest.says} (of {len(alike)}, the furthest off)"


def _share_of_limit(finding: Finding) -> float:
    """How much of the allowed distance a value takes."""
    return abs(finding.value - finding.expected) / finding.threshold


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _distinct(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))

"""The sections in the order in which a reader asks, each with its plots, and the page that they make."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from mixedfx.pipeline.report import Section, render, show
from mixedfx.pipeline.results import RunResults
from mixedfx.pipeline.sections.checks import checks, levels
from mixedfx.pipeline.sections.convergence import convergence
from mixedfx.pipeline.sections.covariances import covariances, refinement
from mixedfx.pipeline.sections.data import fitted
from mixedfx.pipeline.sections.fixed_effects import fixed_effects
from mixedfx.pipeline.sections.provenance import provenance
from mixedfx.pipeline.steps import CheckOutcome

PLOTS = {
    "covariances": ("covariances", "correlations"),
    "fixed-effects": ("fixed_effects",),
    "levels": ("ranef", "activity"),
    "convergence": ("traces", "convergence"),
}
"""Section -> its plots."""


def page(results: RunResults) -> str:
    """The report of a run, as far as it got, as one HTML page."""
    job, data = results.job, results.manifest.data
    subtitle = f"{job.family} family, {show(data.get('rows'))} rows of {data.get('source', 'data not read')}"
    sections = [_with_plots(section, results.check) for section in _sections(results)]
    return render(job.formula, subtitle, results.status, sections)


def _sections(results: RunResults) -> Iterator[Section]:
    yield verdict(results)
    yield fitted(results)
    if results.covariance is not None:
        edited = bool(results.manifest.steps["covariance"].edited)
        yield covariances(results.covariance, results.check, edited=edited)
        if results.refined is not None:
            yield refinement(results.refined)
        yield fixed_effects(results.covariance, results.coefficients)
    if results.check is not None:
        yield levels(results.check)
        yield checks(results.check)
    if results.covariance is not None:
        yield convergence(results.covariance, results.coefficients)
    yield provenance(results)


def _with_plots(section: Section, outcome: CheckOutcome | None) -> Section:
    """The plots that belong to a section; those of no other section are checks."""
    if outcome is None:
        return section
    elsewhere = {name for names in PLOTS.values() for name in names}
    own = PLOTS.get(section.name)
    plots = [p for p in outcome.plots if (p.name in own if own is not None else p.name not in elsewhere)]
    return replace(section, plots=tuple(plots)) if own is not None or section.name == "checks" else section


def verdict(results: RunResults) -> Section:
    """The verdict in words, or why there is none."""
    if results.check is not None:
        return Section("verdict", "Verdict", results.check.verdict)
    error = results.manifest.error
    reason = error.partition(": ")[2] if error else f"The job was run up to {_last_step(results)}."
    return Section("verdict", "Verdict", reason)


def _last_step(results: RunResults) -> str:
    return list(results.manifest.steps)[-1] if results.manifest.steps else "reading the data"

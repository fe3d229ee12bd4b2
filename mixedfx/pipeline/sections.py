"""What the report says, section by section, from the results of a run."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mixedfx.covariance.averaged import SPREAD
from mixedfx.covariance.learn import BAYESIAN
from mixedfx.covariance.result import CovarianceResult
from mixedfx.pipeline.report import Section, Table, facts_of, render, show, table_of
from mixedfx.pipeline.results import RunResults
from mixedfx.pipeline.steps import CheckOutcome

if TYPE_CHECKING:
    from mixedfx.coefficients.result import CoefficientsResult

DRAWN = {"two-way": "levels of every factor", "core": "the most active levels"}
Z90 = 1.6448536269514722
"""95 % quantile of the standard normal distribution."""
PLOTS = {
    "covariances": ("covariances", "correlations"),
    "fixed-effects": ("fixed_effects",),
    "levels": ("ranef", "activity"),
    "convergence": ("traces", "convergence"),
}
"""Section -> its plots."""
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
DIAGNOSTICS = {
    "r_hat": "R-hat",
    "ess_bulk": "effective size",
    "ess_tail": "in the tails",
    "mcse": "Monte Carlo error",
}


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


def fitted(results: RunResults) -> Section:
    """What was fitted to what data: rows, levels, subsample."""
    job, about = results.job, results.manifest.data
    facts = {
        "formula": job.formula,
        "family": job.family,
        "weights": job.weights or "",
        "data": about.get("source", ""),
        "rows fitted": about.get("rows", 0),
        "rows held out": about.get("held_out") or "",
    }
    tables = [_factors(results.coefficients)] if results.coefficients is not None else []
    if results.draws:
        tables.append(_subsample(results))
    text = "\n".join(results.manifest.warnings)
    return Section("data", "What was fitted to what data", text, facts_of(facts), tuple(tables))


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
    note = f"Intervals hold 90 %: {of}the estimate and 1.645 standard errors on either side."
    return Section("covariances", "Covariances", text, facts_of(facts), (_side_by_side(rows, note),))


def _entries(frame: pd.DataFrame, method: str = "variance or covariance") -> pd.DataFrame:
    """lme4's frame with standard errors and intervals, in words."""
    estimate, se = frame["vcov"].astype(float), frame["se"].astype(float)
    half = Z90 * se
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
    estimate, half = values[:, 0], Z90 * values[:, 1]
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


def _side_by_side(rows: pd.DataFrame, note: str = "") -> Table:
    """The heading of a method stands over its estimate; what follows it is its own."""
    table = table_of(rows, note=note)
    return replace(table, columns=tuple(name.removeprefix("its ") for name in table.columns))


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


def fixed_effects(covariance: CovarianceResult, coefficients: CoefficientsResult | None) -> Section:
    """Fixed effects (and thresholds) of both stages side by side."""
    first, second = (covariance.fixef, covariance.fixef_se), (None, None)
    if coefficients is not None:
        second = coefficients.fixef, coefficients.fixef_se
    tables = [_stages("fixed effect", *first, *second)]
    if covariance.thresholds is not None:
        first = covariance.thresholds, covariance.thresholds_se
        if coefficients is not None:
            second = coefficients.thresholds, coefficients.thresholds_se
        tables.append(replace(_stages("threshold", *first, *second), title="Thresholds"))
    text = "Stage 2 is at the frozen covariances." if coefficients is not None else ""
    if coefficients is not None and (covariance.fits or covariance.n_rows < coefficients.n_rows):
        text = "Stage 1 saw the subsample, stage 2 all rows at the frozen covariances."
    return Section("fixed-effects", "Fixed effects", text, tables=tuple(tables))


def _stages(
    label: str, one: pd.Series, se1: pd.Series | None, two: pd.Series | None, se2: pd.Series | None
) -> Table:
    """Estimates and standard errors of both stages, and how far apart they are."""
    frame = pd.DataFrame({"stage 1": one, "standard error": se1})
    if two is not None:
        frame = pd.concat([frame, pd.DataFrame({"stage 2": two, "its standard error": se2})], axis=1)
        frame["difference / se 1"] = (frame["stage 2"] - frame["stage 1"]) / frame["standard error"]
    return _side_by_side(frame.dropna(axis=1, how="all").rename_axis(label).reset_index())


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


def _limit(expected: float, threshold: float) -> str:
    """Where a value is in order: "1 ± 0.1", "at least 400"."""
    if math.isnan(threshold):
        return show(expected)
    return f"at least {show(threshold)}" if math.isnan(expected) else f"{show(expected)} ± {show(threshold)}"


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
            "factor": frame["factor"],
            "level": frame["level"].astype(str),
            "coefficient": frame["coefficient"],
            "estimate": frame["mode"].map("{:.3f}".format),
            "rows": frame["rows"].map(show),
            "in words": frame["says"],
        }
    )
    return Section("levels", "Levels that stand out", text, tables=(table_of(shown),))


def convergence(covariance: CovarianceResult, coefficients: CoefficientsResult | None) -> Section:
    """Whether each stage got where it was to go, and its statistics."""
    fits = {f"for {factor}": fit for factor, fit in covariance.fits.items()} or {"value": covariance}
    first = {
        name: {
            "converged": fit.converged,
            "at a boundary": ", ".join(fit.boundary) or "nothing",
            "rows": fit.n_rows,
            **fit.stats,
        }
        for name, fit in fits.items()
    }
    tables = [_statistics(first, f"Stage 1, {covariance.method.upper()}"), *_diagnostics(covariance)]
    if coefficients is not None:
        second = {"converged": coefficients.converged, "reason": coefficients.reason, **coefficients.stats}
        tables.append(_statistics({"value": second}, "Stage 2"))
    return Section("convergence", "Convergence", tables=tuple(tables))


def _statistics(columns: Mapping[str, Mapping[str, Any]], title: str) -> Table:
    """Statistics by name, one column a fit; nested ones are left to the artefacts."""
    shown = {name: dict(facts_of(statistics)) for name, statistics in columns.items()}
    frame = pd.DataFrame(shown).fillna("")
    return table_of(frame.rename_axis("statistic").reset_index(), title)


def provenance(results: RunResults) -> Section:
    """Seeds, hashes, versions, times and memory: what is needed to make the same run again."""
    manifest = results.manifest
    facts = {
        "started": manifest.started,
        "finished": manifest.finished or "",
        "machine": f"{manifest.machine['system']}, {manifest.machine['cores']} cores",
        "seed": results.job.seed,
        "data hash": manifest.data.get("hash", ""),
        "versions": ", ".join(f"{name} {version}" for name, version in manifest.versions.items()),
        "artefacts": str(results.folder),
    }
    rows = [
        {
            "step": record.step,
            "status": "used again" if record.reused else record.status,
            "seconds": f"{record.seconds:,.1f}",
            "peak memory (MiB)": round(record.peak_memory_mb),
            "inputs' hash": record.inputs[:12],
        }
        for record in manifest.steps.values()
    ]
    steps = table_of(
        pd.DataFrame(rows), "Steps", "Memory is the largest of the process up to the step's end."
    )
    return Section("provenance", "Provenance", facts=facts_of(facts), tables=(steps,))


def _diagnostics(covariance: CovarianceResult) -> list[Table]:
    """MCMC diagnostics of every covariance entry, of the fit that it was read from."""
    records = covariance.standard_errors.to_dict("records")
    entries = [row for row in records if not math.isnan(row.get("r_hat", math.nan))]
    rows = [
        {
            "covariance entry": ", ".join(
                str(row[name]) for name in ("grp", "var1", "var2") if row[name] == row[name]
            ),
            **{label: row[name] for name, label in DIAGNOSTICS.items()},
        }
        for row in entries
    ]
    return [table_of(pd.DataFrame(rows), "Chains")] if rows else []


def _factors(coefficients: CoefficientsResult) -> Table:
    rows = [
        {
            "grouping factor": factor,
            "levels": len(modes),
            "coefficients a level": modes.shape[1],
            "names": ", ".join(modes.columns),
        }
        for factor, modes in coefficients.ranef.items()
    ]
    return table_of(pd.DataFrame(rows), "Grouping factors")


def _subsample(results: RunResults) -> Table:
    strategy = "" if results.job.subsample is None else results.job.subsample.strategy
    replicated = any(draw.replicate for draw in results.draws)
    rows = [
        {
            **({"replicate": draw.replicate + 1} if replicated else {}),
            "to learn": draw.factor or "all covariances",
            "drawn": f"levels of {draw.sampled}" if draw.sampled else DRAWN.get(strategy, "rows"),
            "rows": draw.n_rows,
            **{f"levels of {factor}": n for factor, n in draw.n_levels.items()},
            "components": draw.components,
            "rows in the largest": f"{draw.largest_component:.1%}",
        }
        for draw in results.draws
    ]
    note = "Components are sets of levels that no row links to each other."
    return table_of(pd.DataFrame(rows), "Subsample of stage 1", note)


def _last_step(results: RunResults) -> str:
    return list(results.manifest.steps)[-1] if results.manifest.steps else "reading the data"

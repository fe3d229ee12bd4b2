"""The report in short, as Markdown: for a pull request or a chat."""

from __future__ import annotations

from collections.abc import Iterator

from mixedfx.checks.finding import BAD
from mixedfx.pipeline.report import STATUS_WORDS, Table
from mixedfx.pipeline.results import RunResults
from mixedfx.pipeline.sections.checks import held_out_scores
from mixedfx.pipeline.sections.covariances import covariances
from mixedfx.pipeline.sections.fixed_effects import fixed_effects
from mixedfx.pipeline.sections.page import verdict

MOST_ROWS = 20
"""Of a table; report.html has the rest."""
MOST_LEVELS = 8


def short_report(results: RunResults) -> str:
    """Verdict, model, covariances, fixed effects, checks and where the rest is."""
    return "\n\n".join(_parts(results)) + "\n"


def _parts(results: RunResults) -> Iterator[str]:
    job, data = results.job, results.manifest.data
    yield f"# {STATUS_WORDS.get(results.status, results.status)}: `{_code(job.formula)}`"
    yield "\n".join(_text(line) for line in verdict(results).text.splitlines()[:1])
    problems = [] if results.check is None else results.check.summary.to_dict("records")
    lines = [f"- **{row['status']}**: {_text(row['says'])}" for row in problems if row["status"] in BAD]
    if lines:
        yield "\n".join(lines)
    held = f", {data['held_out']:,} held out" if data.get("held_out") else ""
    yield f"{job.family} family; {data.get('rows', 0):,} rows fitted{held}; {_text(data.get('source', ''))}"
    if results.coefficients is not None:
        sizes = ", ".join(
            f"{len(modes):,} {_text(name)}" for name, modes in results.coefficients.ranef.items()
        )
        yield f"Levels with coefficients: {sizes}"
    if results.covariance is not None:
        for section in (
            covariances(
                results.covariance,
                results.check,
                edited=bool(results.manifest.steps["covariance"].edited),
            ),
            fixed_effects(results.covariance, results.coefficients),
        ):
            yield f"## {section.title}"
            yield from (markdown(table) for table in section.tables)
    if results.check is not None:
        yield "## Checks"
        yield from _checks(results)
    yield "## More"
    yield f"Full report: [report.html]({results.report.name}); numbers, plots and provenance are in the same folder."


def _checks(results: RunResults) -> Iterator[str]:
    outcome = results.check
    assert outcome is not None
    statuses = outcome.summary["status"].tolist()
    good = statuses.count("ok")
    yield f"{good} of {good + sum(map(statuses.count, BAD))} checks in order."
    if outcome.scores is not None:
        yield markdown(held_out_scores(outcome.scores))
    if not outcome.levels.empty:
        # They stand from the surest on, those above the average first.
        kind = ["factor", "coefficient", outcome.levels["mode"] > 0]
        said = outcome.levels.groupby(kind, sort=False)["says"].head(1).head(MOST_LEVELS)
        yield "\n".join(["Levels that stand out:", "", *(f"- {_text(text)}" for text in said)])


def markdown(table: Table) -> str:
    """A table, numbers flush right, its first rows."""
    rows = table.rows[:MOST_ROWS]
    rule = ["---:" if numeric else "---" for numeric in table.numeric]
    lines = [table.columns, rule, *rows]
    text = "\n".join("| " + " | ".join(_text(cell) for cell in line) + " |" for line in lines)
    if len(table.rows) > MOST_ROWS:
        text += f"\n\nThe first {MOST_ROWS} of {len(table.rows)} rows."
    return f"**{_text(table.title)}**\n\n{text}" if table.title else text


def _text(value: object) -> str:
    """Text that Markdown shows as it is."""
    text = " ".join(str(value).split())
    for special in ("\\", "|", "<", "*", "_", "`", "[", "#"):
        text = text.replace(special, f"\\{special}")
    return text


def _code(text: str) -> str:
    return text.replace("`", "'")

"""The steps of a job, each a function from typed inputs to a typed output, and how outputs are kept."""

from __future__ import annotations

import io
import json
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

import mixedfx as mfx
from mixedfx.covariance.result import CovarianceResult
from mixedfx.covariance.saved import file_names
from mixedfx.errors import DataError, NotFreezableError
from mixedfx.families import get_family
from mixedfx.formula.formula import parse_formula
from mixedfx.frames import check_columns, read_columns
from mixedfx.pipeline.artefacts import hash_frame, hash_parquet, write_json
from mixedfx.pipeline.config import Job
from mixedfx.pipeline.report import Plot, words
from mixedfx.progress import Report
from mixedfx.sampled_design import read_in_parts, sampled_designs
from mixedfx.subsample import Draw

if TYPE_CHECKING:
    from mixedfx.checks.compare import Comparison
    from mixedfx.coefficients.result import CoefficientsResult


CHECK_LAYOUT = 3
"""Of the files that `save_check` writes; those of another layout are made again."""


@dataclass(frozen=True, eq=False)
class JobData:
    """The columns that the job uses, split into the rows that are fitted and those held out.

    Attributes
    ----------
    n_rows
        Rows that are fitted.
    holdout
        Rows held out, None where the job holds nothing out.
    source
        Where the data came from, in words.
    hash
        SHA-256 of the columns used, before the split.
    columns
        Those used.
    where
        The rows that are fitted, or the Parquet files that hold them and from which stage 1 reads its subsample.
    """

    n_rows: int
    holdout: pd.DataFrame | None
    source: str
    hash: str
    columns: tuple[str, ...]
    where: pd.DataFrame | str

    @cached_property
    def train(self) -> pd.DataFrame:
        """The rows that are fitted, in memory."""
        return self.where if isinstance(self.where, pd.DataFrame) else read_columns(self.where, self.columns)


@dataclass(frozen=True, eq=False)
class CheckOutcome:
    """What the comparison of the stages came to, as far as jobs and reports need it.

    Attributes
    ----------
    status, verdict
        "ok", "warn" or "fail"; the reasons in words.
    summary
        The comparison's summary frame, index made columns.
    levels
        The levels that stand out: see `mixedfx.checks.standing_out`.
    covariances
        The comparison's table of covariances: see `mixedfx.checks.covariance_table`.
    full_data
        How the covariances on all rows in it were estimated; empty where they were not.
    scores
        Of held-out rows, index made a column "score"; None where none were held out.
    plots
        Those that have something to show.
    """

    status: str
    verdict: str
    summary: pd.DataFrame
    levels: pd.DataFrame
    covariances: pd.DataFrame
    full_data: str = ""
    scores: pd.DataFrame | None = None
    plots: tuple[Plot, ...] = ()


def read_data(job: Job) -> JobData:
    """Read the columns that the formula and the weights name, and hold rows out where the job says so."""
    formula = parse_formula(job.formula)
    named = [*formula.response_columns, *formula.columns, *([job.weights] if job.weights else [])]
    columns = tuple(dict.fromkeys(named))
    if job.data.dataset is not None:
        packaged = {"insteval": mfx.datasets.load_insteval, "verbagg": mfx.datasets.load_verbagg}
        data, source = packaged[job.data.dataset](), f"packaged data set {job.data.dataset}"
    else:
        assert job.data.path is not None  # config: one of the two is given
        data, source = job.data.path, job.data.path
        if job.subsample is not None and job.data.holdout is None:
            files = read_in_parts(formula, data, job.subsample.build(job.seed))
            if files is not None:
                check_columns(columns, files.dataset.schema.names)
                return JobData(files.n_rows, None, source, hash_parquet(files, columns), columns, data)
    frame = read_columns(data, columns)
    if job.data.holdout is None:
        return JobData(len(frame), None, source, hash_frame(frame), columns, frame)
    n = round(job.data.holdout * len(frame))
    if not 0 < n < len(frame):
        raise DataError(
            f"data.holdout = {job.data.holdout:g} holds {n} of {len(frame)} rows out; at least one row must "
            "be held out and one fitted"
        )
    order = np.random.default_rng(job.seed).permutation(len(frame))
    train, holdout = frame.iloc[np.sort(order[n:])], frame.iloc[np.sort(order[:n])]
    return JobData(len(train), holdout, source, hash_frame(frame), columns, train)


def draw_subsample(job: Job, data: JobData) -> tuple[Draw, ...]:
    """The rows that stage 1 learns from; none for a job without ``[subsample]``, which uses all."""
    if job.subsample is None:
        return ()
    return sampled_designs(
        job.formula,
        data.where,
        job.subsample.build(job.seed),
        family=get_family(job.family),
        weights=job.weights,
        na=job.na,
    ).draws


def learn(job: Job, data: JobData, report: Report) -> CovarianceResult:
    """Stage 1."""
    return mfx.learn_covariance(
        job.formula,
        data.where,
        family=job.family,
        weights=job.weights,
        na=job.na,
        subsample=None if job.subsample is None else job.subsample.build(job.seed),
        seed=job.seed,
        progress=report,
        **job.covariance.model_dump(exclude_none=True),
    )


def require_freezable(covariance: CovarianceResult) -> None:
    """Raise `NotFreezableError`, with reason and remedy, where the covariances were not established."""
    if not covariance.varcorr.freezable:
        raise NotFreezableError(
            f"the covariances were not frozen, so no coefficients were estimated. {covariance.varcorr.why}\n"
            "What was learned is kept: read the report, change the job and run it with --resume. "
            "`force = true` under [covariance] goes on all the same"
        )


def refine(job: Job, data: JobData, covariance: CovarianceResult, report: Report) -> CovarianceResult:
    """Stage 1's covariances refined on all rows."""
    assert job.refine is not None  # the runner asks
    return mfx.refine_covariance(
        job.formula,
        data.train,
        covariance,
        family=job.family,
        weights=job.weights,
        accuracy=job.refine.accuracy,
        na=job.na,
        seed=job.seed,
        progress=report,
    )


def estimate(job: Job, data: JobData, covariance: CovarianceResult, report: Report) -> CoefficientsResult:
    """Stage 2."""
    return mfx.estimate_coefficients(
        job.formula,
        data.train,
        covariance.varcorr,
        family=job.family,
        weights=job.weights,
        na=job.na,
        progress=report,
        **job.coefficients.model_dump(exclude_none=True),
    )


def check(
    job: Job,
    data: JobData,
    covariance: CovarianceResult,
    coefficients: CoefficientsResult,
    refined: CovarianceResult | None,
) -> CheckOutcome:
    """Compare the stages and draw every plot that the comparison has."""
    comparison = mfx.compare_stages(
        covariance,
        coefficients,
        data=data.train if job.checks.full_data else None,
        holdout=data.holdout,
        refined=refined,
    )
    held_out = comparison.held_out
    return CheckOutcome(
        comparison.status,
        comparison.verdict,
        comparison.summary.reset_index(),
        comparison.standing_out,
        comparison.covariances,
        "" if isinstance(comparison.full_data, str) else comparison.full_data.source,
        None if held_out is None else held_out.scores.rename_axis("score").reset_index(),
        draw_plots(comparison),
    )


def draw_plots(comparison: Comparison) -> tuple[Plot, ...]:
    """Every ``plot_*`` method's figure: the method's documentation is its title and how to read it.

    Figures that only say why there is nothing to draw are left out.
    """
    from mixedfx.checks.plots.style import MESSAGE

    plots: list[Plot] = []
    for name in [attribute for attribute in vars(type(comparison)) if attribute.startswith("plot_")]:
        method = getattr(comparison, name)
        title, _, note = (method.__doc__ or words(name.removeprefix("plot_"))).strip().partition("\n")
        figure = method()
        if figure.get_gid() == MESSAGE:
            continue
        file = io.BytesIO()
        with (
            warnings.catch_warnings()
        ):  # labels in scripts that matplotlib's font lacks: tables have them in full
            warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
            # The software's name and version in the file would make equal pictures differ.
            figure.savefig(file, format="png", dpi=110, bbox_inches="tight", metadata={"Software": None})
        short, note = name.removeprefix("plot_"), " ".join(note.split())
        plots.append(Plot(short, title.rstrip("."), note, file.getvalue()))
    return tuple(plots)


def save_subsample(draws: tuple[Draw, ...], folder: Path) -> None:
    """One Parquet file of row numbers a draw, and ``draws.json`` with the rest."""
    files = file_names("rows-", [_draw_name(draw) for draw in draws], ".parquet")
    rest: list[dict[str, Any]] = []
    for draw in draws:
        name = files[_draw_name(draw)]
        pd.DataFrame({"row": draw.rows}).to_parquet(folder / name)
        rest.append({**vars(draw), "rows": name})
    write_json(folder / "draws.json", rest)


def _draw_name(draw: Draw) -> str:
    return (draw.factor or "all") + (f"-{draw.replicate + 1}" if draw.replicate else "")


def load_subsample(folder: Path) -> tuple[Draw, ...]:
    """What `save_subsample` wrote."""
    saved = json.loads((folder / "draws.json").read_text(encoding="utf-8"))
    return tuple(
        Draw(**{**draw, "rows": pd.read_parquet(folder / draw["rows"])["row"].to_numpy()}) for draw in saved
    )


def save_check(outcome: CheckOutcome, folder: Path) -> None:
    """``verdict.json`` for jobs; CSVs of the summary, levels, covariances and scores for people and programs; PNGs."""
    outcome.summary.to_csv(folder / "summary.csv", index=False)
    outcome.levels.to_csv(folder / "levels.csv", index=False)
    outcome.covariances.to_csv(folder / "compared-covariances.csv", index=False)
    if outcome.scores is not None:
        outcome.scores.to_csv(folder / "scores.csv", index=False)
    for plot in outcome.plots:
        (folder / f"{plot.name}.png").write_bytes(plot.png)
    plots = {plot.name: {"title": plot.title, "note": plot.note} for plot in outcome.plots}
    write_json(
        folder / "verdict.json",
        {
            "status": outcome.status,
            "verdict": outcome.verdict,
            "full_data": outcome.full_data,
            "plots": plots,
        },
    )


def load_check(folder: Path) -> CheckOutcome:
    """What `save_check` wrote."""
    saved = json.loads((folder / "verdict.json").read_text(encoding="utf-8"))
    plots = tuple(
        Plot(name, plot["title"], plot["note"], (folder / f"{name}.png").read_bytes())
        for name, plot in saved["plots"].items()
    )
    scores = pd.read_csv(folder / "scores.csv") if (folder / "scores.csv").exists() else None
    levels = pd.read_csv(folder / "levels.csv", dtype={"level": str})
    return CheckOutcome(
        saved["status"],
        saved["verdict"],
        pd.read_csv(folder / "summary.csv"),
        levels,
        pd.read_csv(folder / "compared-covariances.csv"),
        saved["full_data"],
        scores,
        plots,
    )

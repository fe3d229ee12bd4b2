"""How long a job's comparison, plots and report take where there are a million users."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mixedfx.pipeline.config import parse_job
from mixedfx.pipeline.runner import run_job
from mixedfx.pipeline.sections.page import page

USERS, ITEMS, ROWS = 1_000_000, 10_000, 5_000_000
MODELS = {
    "intercepts": "y ~ 1 + x + (1 | user) + (1 | item)",
    "slopes": "y ~ 1 + x + (1 + x | user) + (1 + x | item)",
}
FAMILIES = ("gaussian", "bernoulli")
HOLDOUT = 0.01
SAMPLE = 20_000
"""Rows of stage 1."""


@dataclass(frozen=True)
class Reported:
    """One job.

    Attributes
    ----------
    family, model
        What was fitted.
    rows, users, items
        Size of the data, the rows held out included.
    check_seconds
        Comparison of the stages and all plots, compiled code being there already.
    page_seconds
        The page from them.
    megabytes
        Size of report.html.
    peak_gib
        Largest memory of the process up to then.
    status
        Of the verdict.
    """

    family: str
    model: str
    rows: int
    users: int
    items: int
    check_seconds: float
    page_seconds: float
    megabytes: float
    peak_gib: float
    status: str


def reports(share: float, families: tuple[str, ...] = FAMILIES) -> Iterator[Reported]:
    """Jobs of all models and families on `share` of the rows and levels, each after one on a hundredth of that."""
    for family in families:
        for model in MODELS:
            _report(family, model, share / 100)
            yield _report(family, model, share)


def _report(family: str, model: str, share: float) -> Reported:
    data = _simulate(family, model, share)
    with tempfile.TemporaryDirectory() as folder:
        data.to_parquet(Path(folder) / "data.parquet")
        job = parse_job(
            {
                "formula": MODELS[model],
                "family": family,
                "data": {"path": str(Path(folder) / "data.parquet"), "holdout": HOLDOUT},
                "subsample": {"n_rows": min(SAMPLE, len(data) // 2)},
                "covariance": {"force": True},
            }
        )
        sizes = data.nunique()
        rows = len(data)
        del data
        results = run_job(job, Path(folder) / "run", progress=False)
        began = time.perf_counter()
        text = page(results)
        seconds = time.perf_counter() - began
    check = results.manifest.steps["check"]
    return Reported(
        family=family,
        model=model,
        rows=rows,
        users=int(sizes["user"]),
        items=int(sizes["item"]),
        check_seconds=check.seconds,
        page_seconds=seconds,
        megabytes=len(text.encode()) / 1e6,
        peak_gib=check.peak_memory_mb / 1024,
        status=results.status,
    )


def _simulate(family: str, model: str, share: float) -> pd.DataFrame:
    """Every user has a row at least; items are skewed."""
    rng = np.random.default_rng(0)
    n, users, items = (
        max(round(share * size), least) for size, least in ((ROWS, 500), (USERS, 60), (ITEMS, 40))
    )
    user = np.concatenate([np.arange(users), rng.integers(0, users, n - users)]).astype(np.int32)
    weights = np.arange(1.0, items + 1) ** -0.7
    item = rng.choice(items, n, p=weights / weights.sum()).astype(np.int32)
    x = rng.standard_normal(n)
    eta = 0.5 + 0.3 * x
    for codes, size, sd in ((user, users, 0.7), (item, items, 0.6)):
        z = rng.standard_normal((2, size))
        eta += sd * z[0][codes]
        if model == "slopes":
            eta += 0.5 * sd * (0.3 * z[0] + 0.95 * z[1])[codes] * x
    if family == "gaussian":
        y = eta + rng.standard_normal(n)
    else:
        y = (rng.random(n) < 1.0 / (1.0 + np.exp(-eta))).astype(np.int8)
    return pd.DataFrame({"y": y, "x": x, "user": user, "item": item})

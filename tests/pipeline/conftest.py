"""Fixtures of the job tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from standins import FORMULA, Stages, install, write_ratings

from mixedfx.pipeline.config import Job, parse_job


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> Stages:
    """Both stages and the comparison replaced by stand-ins."""
    return install(monkeypatch)


@pytest.fixture
def data_file(tmp_path: Path) -> Path:
    """A small Parquet file of ratings."""
    return write_ratings(tmp_path / "ratings.parquet")


@pytest.fixture
def job(data_file: Path) -> Job:
    """A job on `data_file`, REML on a subsample."""
    return parse_job(
        {
            "formula": FORMULA,
            "seed": 3,
            "data": {"path": str(data_file), "holdout": 0.1},
            "subsample": {"strategy": "per-factor", "n_levels": 4},
        }
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a run goes; not made yet."""
    return tmp_path / "run"

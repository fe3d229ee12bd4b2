"""The page of agreement with R: made from a few models, and complete as it is kept."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import goldens

ROOT = Path(__file__).parents[1]


def written(folder: Path, *cases: str) -> str:
    page = folder / "page.md"
    command = [sys.executable, "-m", "benchmarks", "agreement", *cases, "--output", str(page)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return page.read_text(encoding="utf-8")


def rows(page: str, start: str) -> list[list[str]]:
    """Cells of the table rows that begin with `start`."""
    return [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in page.splitlines()
        if line.startswith(f"| {start}")
    ]


def test_numbers_of_a_few_models(tmp_path: Path) -> None:
    page = written(tmp_path, "sleepstudy_reml", "cbpp_herd", "wine")
    golden = goldens.load("sleepstudy_reml")
    assert f"lme4 {golden.versions['lme4']}" in page
    overview = rows(page, "[")
    assert [row[0].split("]")[0][1:] for row in overview] == [
        "cbpp_herd",
        "sleepstudy_reml",
        "wine",
        "sleepstudy_reml",
    ]
    # Criterion, estimates, standard errors, covariances, modes: small, and not by being empty.
    for row in overview[:3]:
        assert all(abs(float(cell)) < 1e-3 for cell in row[4:9])
    (days,) = [row for row in rows(page, "`Days`") if len(row) == 6]
    assert days[1] == days[2] == f"{golden.fixef['Days']:.7g}"
    assert days[4] == f"{golden.fixef_se['Days']:.7g}"
    assert len(rows(page, "`1\\|2`")[0]) == 6
    assert rows(page, "`judge`")
    assert [row for row in rows(page, "`Days`") if len(row) == 5 and row[1] == "17"]


def test_the_page_kept_has_every_golden_model() -> None:
    page = (ROOT / "benchmarks" / "agreement.md").read_text(encoding="utf-8")
    listed = re.findall(r"^### (\w+)$", page, flags=re.MULTILINE)
    assert listed == goldens.cases(), "write it again: python -m benchmarks agreement"
    for case in goldens.cases():
        assert f"{goldens.load(case).criterion:.6f} by R" in page

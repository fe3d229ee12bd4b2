"""The demo job's report in a real browser: its sections, tables that sort, no errors, and a phone's width.

Slow, and skipped where no browser of Chromium's kind is installed.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from mixedfx.pipeline.config import CovarianceTable, load_job
from mixedfx.pipeline.runner import run_job

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome", "msedge")
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)
JOB = Path(__file__).parents[2] / "pipelines" / "insteval.toml"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason=f"no browser is installed (looked for {', '.join(NAMES)})"),
]

PROBE = """
<script>
const table = document.querySelector("#checks table");
const texts = () => [...table.tBodies[0].rows].map((row) => row.cells[2].textContent);
const before = texts();
const button = table.tHead.rows[0].cells[2].querySelector("button");
button.click();
const up = texts();
button.click();
document.body.dataset.probe = JSON.stringify({
  before, up, down: texts(), sort: table.tHead.rows[0].cells[2].getAttribute("aria-sort"),
  sections: [...document.querySelectorAll("section")].filter((s) => s.offsetHeight > 0).map((s) => s.id),
  pictures: [...document.images].map((image) => image.complete && image.naturalWidth > 0),
  wider: document.documentElement.scrollWidth - window.innerWidth,
});
</script>
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the demo job, its covariances by REML instead of MCMC."""
    job = load_job(JOB).model_copy(update={"covariance": CovarianceTable(method="reml")})
    return run_job(job, tmp_path_factory.mktemp("demo") / "run", progress=False).report


def opened(page: Path, folder: Path, width: int = 1200) -> tuple[str, list[str]]:
    """The page's document after its scripts, and the errors on the browser's console."""
    assert BROWSER is not None
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0"]
    own = [f"--user-data-dir={folder / 'profile'}", f"--window-size={width},900", "--dump-dom"]
    done = subprocess.run(
        [BROWSER, *options, *own, page.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return done.stdout, console


def probed(report: Path, folder: Path, width: int = 1200) -> tuple[dict[str, object], list[str]]:
    import html
    import json

    page = folder / "probed.html"
    page.write_text(report.read_text().replace("</body>", f"{PROBE}</body>"))
    text, console = opened(page, folder, width)
    found = re.search(r'data-probe="([^"]*)"', text)
    assert found, console
    return json.loads(html.unescape(found.group(1))), console


def test_sections_are_there_and_nothing_goes_wrong(report: Path, tmp_path: Path) -> None:
    found, console = probed(report, tmp_path)
    assert console == []
    assert found["sections"] == [
        "verdict",
        "data",
        "covariances",
        "fixed-effects",
        "levels",
        "checks",
        "convergence",
        "provenance",
    ]
    pictures = found["pictures"]
    assert isinstance(pictures, list)
    assert len(pictures) >= 8
    assert all(pictures)


def test_tables_sort_as_numbers_and_back(report: Path, tmp_path: Path) -> None:
    found, _ = probed(report, tmp_path)
    before, up, down = (found[name] for name in ("before", "up", "down"))
    assert isinstance(before, list)
    assert isinstance(up, list)
    assert isinstance(down, list)
    numbers = [float(str(text).replace(",", "")) for text in before if text]
    empty = [""] * (len(before) - len(numbers))
    assert [t if t == "" else float(t.replace(",", "")) for t in up] == sorted(numbers) + empty
    assert [t if t == "" else float(t.replace(",", "")) for t in down] == sorted(
        numbers, reverse=True
    ) + empty
    assert found["sort"] == "descending"


def test_nothing_is_wider_than_a_phone(report: Path, tmp_path: Path) -> None:
    found, _ = probed(report, tmp_path, width=500)  # the narrowest window that desktop browsers make
    wider = found["wider"]
    assert isinstance(wider, int)
    assert wider <= 0  # a scroll bar takes some of the window


def test_a_script_that_fails_would_be_seen(report: Path, tmp_path: Path) -> None:
    page = tmp_path / "broken.html"
    page.write_text(report.read_text().replace("</body>", "<script>missing.call()</script></body>"))
    _, console = opened(page, tmp_path)
    assert any("missing is not defined" in line for line in console)

"""The command line: what it prints, its exit status, and that errors are short."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from standins import FORMULA, Stages, install, write_ratings
from typer.testing import CliRunner

from mixedfx.cli import app
from mixedfx.errors import MixedfxError

COMMANDS = ("run", "covariance", "coefficients", "check", "predict", "report")


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> Stages:
    return install(monkeypatch)


@pytest.fixture
def job_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_ratings(tmp_path / "ratings.parquet")
    path = tmp_path / "night.toml"
    path.write_text(f'formula = "{FORMULA}"\n[data]\npath = "ratings.parquet"\n')
    monkeypatch.chdir(tmp_path)
    return path


def invoke(*arguments: str | Path):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_help_is_quick_and_names_every_command() -> None:
    code = (
        "import sys\nfrom mixedfx.cli import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'pandas', 'numpy', 'jax', 'numba', 'numpyro', 'arviz', 'matplotlib', 'pydantic'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(command in done.stdout for command in COMMANDS)


def test_run_ends_with_what_was_learned(job_file: Path, stages: Stages) -> None:
    done = invoke("run", job_file)
    assert done.exit_code == 0, done.output
    assert "user: variance of (Intercept)    0.5000  (standard error 0.01)" in done.stdout
    assert "residual variance                1.0000" in done.stdout
    assert "2 fixed and 4 random, of 2 levels of user, 2 levels of item" in done.stdout
    assert "Verdict (ok): The stages agree <within> their errors.\n  2 of 2 checks in order\n" in done.stdout
    assert f"Report: {Path('runs/night/report.html')}" in done.stdout
    assert "covariance: started" in done.stderr
    assert stages.calls == ["covariance", "coefficients", "check"]


def test_models_of_a_file_run_one_after_the_other(job_file: Path, stages: Stages) -> None:
    text = job_file.read_text()
    models = "".join(f'[[model]]\nname = "{name}"\nformula = "{FORMULA}"\n' for name in ("one", "two"))
    job_file.write_text(text.partition("\n")[2] + models)
    done = invoke("run", job_file, "--output", "both")
    assert done.exit_code == 0, done.output
    assert f"one: {FORMULA}\nCovariances" in done.stdout
    assert stages.calls == ["covariance", "coefficients", "check"] * 2
    assert sorted(path.parent.name for path in Path("both").glob("*/report.html")) == ["one", "two"]
    stages.status = "fail"
    assert invoke("run", job_file, "--output", "both").exit_code == 3


def test_quiet_prints_the_result_only(job_file: Path, stages: Stages) -> None:
    done = invoke("run", job_file, "--quiet", "--output", "elsewhere")
    assert done.stderr == ""
    assert Path("elsewhere/report.html").is_file()
    assert stages.calls


def test_steps_one_by_one_use_what_is_there(job_file: Path, stages: Stages) -> None:
    for command, called in (
        ("covariance", ["covariance"]),
        ("coefficients", ["covariance", "coefficients"]),
        ("check", ["covariance", "coefficients", "check"]),
        ("report", ["covariance", "coefficients", "check"]),
    ):
        done = invoke(command, job_file)
        assert done.exit_code == 0, done.output
        assert stages.calls == called
    done = invoke("run", job_file, "--resume")
    assert stages.calls == ["covariance", "coefficients", "check"]


def test_an_error_is_a_short_message_and_status_2(job_file: Path, stages: Stages) -> None:
    job_file.write_text(job_file.read_text() + '[covariance]\nmetod = "nuts"\n')
    done = invoke("run", job_file)
    assert done.exit_code == 2
    assert "covariance.metod: there is no such setting (did you mean method?)" in done.stderr
    assert "Traceback" not in done.output
    assert isinstance(invoke("run", job_file, "--debug").exception, MixedfxError)
    assert stages.calls == []


def test_covariances_that_cannot_be_frozen_are_status_2(job_file: Path, stages: Stages) -> None:
    stages.freezable = False
    done = invoke("run", job_file)
    assert done.exit_code == 2
    assert "R-hat of Sigma_user is 1.3" in done.stderr
    assert "--resume" in done.stderr


def test_a_failed_verdict_is_status_3(job_file: Path, stages: Stages) -> None:
    stages.status = "fail"
    done = invoke("run", job_file)
    assert done.exit_code == 3
    assert "Verdict (fail)" in done.stdout
    assert "  fail: slope of stage 2 on stage 1 0.99\n  1 of 2 checks in order" in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    done = invoke(command, "--help")
    assert done.exit_code == 0
    assert "Usage" in done.output

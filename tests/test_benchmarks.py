"""The benchmark machinery, on a small problem: what it writes, and that objectives and gaps are right. No times."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import goldens
import numpy as np
import pandas as pd
import pytest
from oracle import DenseModel

import mixedfx as mfx
from benchmarks.answer import IncompleteAnswer, coefficient_table, write_answer
from benchmarks.encode import encode
from benchmarks.objective import Judge, Judged
from benchmarks.problem import Problem
from benchmarks.problems import PROBLEMS
from benchmarks.process import LibraryProcess, TooSlow
from benchmarks.results import read_config
from mixedfx.datasets import load_insteval, load_verbagg
from mixedfx.design import build_design
from mixedfx.families import get_family

ROOT = Path(__file__).parents[1]
COLUMNS = [
    "problem",
    "task",
    "rows",
    "library",
    "version",
    "status",
    "reason",
    "kind",
    "repetition",
    "seconds",
    "memory_bytes",
    "objective",
    "gap",
    "parameter_gap",
    "details",
]


def run_benchmarks(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MIXEDFX_")}
    return subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks", "run", *arguments),
            *(
                "--repetitions",
                "1",
                "--threads",
                "1",
                "--no-compile",
                "--results",
                str(folder),
                "--name",
                "t",
            ),
        ],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a run: two libraries on a small problem, one that is not installed, data that are not there."""
    folder = tmp_path_factory.mktemp("results")
    done = run_benchmarks(
        folder,
        *("verbagg-coefficients", "verbagg-laplace", "insteval-oneway", "ml1m-*"),
        *("--libraries", "mixedfx,refine,zeros,glmm", "--python", "/nowhere/python"),
    )
    assert done.returncode == 0, done.stderr
    assert "verbagg-coefficients (coefficients, 7,584 rows" in done.stdout
    return folder / "t"


@pytest.fixture(scope="module")
def rows(results: Path) -> pd.DataFrame:
    frame = pd.read_csv(results / "results.csv")
    assert frame.columns.tolist() == COLUMNS
    return frame


def test_every_kind_of_fit_is_measured(rows: pd.DataFrame) -> None:
    for _, fits in rows.query("problem == 'verbagg-coefficients' and status == 'ok'").groupby("library"):
        assert fits["kind"].tolist() == ["cold", "memory", "warm"]
        assert set(fits["status"]) == {"ok"}
        assert (fits["seconds"] > 0).all()


def test_joint_objective_and_gap(rows: pd.DataFrame) -> None:
    fits = rows.query("problem == 'verbagg-coefficients' and status == 'ok'").groupby("library").first()
    # All coefficients 0: every answer has probability 1/2, and there is no penalty.
    nothing = 7584 * np.log(2)
    assert fits.loc["zeros", "objective"] == pytest.approx(nothing, rel=1e-12)
    formula = "r2 ~ Anger + Gender + btype + situ + (1 | id) + (1 | item)"
    design = build_design(formula, load_verbagg(), family="bernoulli")
    dense = DenseModel.of(design.predictors, {"id": np.array([[1.79]]), "item": np.array([[0.247]])})
    best = dense.joint_mode(get_family("bernoulli"), design.y, design.weights)[2]
    # Both are minima to rounding: the objective is flat there.
    assert fits.loc["mixedfx", "objective"] == pytest.approx(best, rel=1e-11)
    assert fits.loc["mixedfx", "gap"] == 0
    assert fits.loc["zeros", "gap"] == pytest.approx(nothing - best, rel=1e-9)
    assert fits.loc["zeros", "parameter_gap"] > 1


def test_reml_criterion_and_gap(rows: pd.DataFrame) -> None:
    fits = rows.query("problem == 'insteval-oneway' and status == 'ok'").groupby("library").first()
    data = load_insteval()
    y = data["y"].to_numpy(float)
    X = np.column_stack([np.ones(len(y)), data["service"] == "1"])
    residual = y - X @ np.linalg.lstsq(X, y, rcond=None)[0]
    degrees = len(y) - 2
    # Without random effects REML is least squares, in closed form.
    least_squares = degrees * (1 + np.log(2 * np.pi * (residual @ residual) / degrees))
    least_squares += np.linalg.slogdet(X.T @ X)[1]
    assert fits.loc["zeros", "objective"] == pytest.approx(least_squares, rel=1e-12)
    # lme4 1.1-31: REMLcrit(lmer(y ~ 1 + service + (1 + service | d), InstEval)).
    assert fits.loc["mixedfx", "objective"] == pytest.approx(239780.4192, abs=1e-3)
    assert fits.loc["mixedfx", "gap"] == 0
    assert fits.loc["zeros", "gap"] == pytest.approx(least_squares - 239780.4192, abs=1e-2)


def test_laplace_criterion_and_gap(rows: pd.DataFrame) -> None:
    fits = rows.query("problem == 'verbagg-laplace' and status == 'ok'").groupby("library").first()
    golden = goldens.load("verbagg_laplace")
    assert fits.loc["mixedfx", "objective"] == pytest.approx(golden.criterion, abs=1e-6)
    assert fits.loc["mixedfx", "gap"] == 0
    # Refined by probes: a Monte Carlo error of 0.001 of a variance costs 1e-3 of deviance at most.
    assert 0 <= fits.loc["refine", "gap"] < 1e-3
    assert 0 < fits.loc["refine", "parameter_gap"] < 5e-3
    # Without random effects it is logistic regression.
    X = build_design(golden.formula, golden.data(), family="bernoulli").predictors.X()
    y = (golden.data()["r2"] == "Y").to_numpy(float)
    beta = np.zeros(X.shape[1])
    for _ in range(20):
        mu = 1 / (1 + np.exp(-X @ beta))
        beta += np.linalg.solve((X.T * (mu * (1 - mu))) @ X, X.T @ (y - mu))
    deviance = 2 * np.sum(np.logaddexp(0, X @ beta) - y * (X @ beta))
    assert fits.loc["zeros", "objective"] == pytest.approx(deviance, rel=1e-12)
    # Variances that are missed altogether are off by their whole size.
    assert fits.loc["zeros", "parameter_gap"] == pytest.approx(1.0)


@pytest.mark.parametrize("name", ["verbagg-laplace", "verbagg-ordinal"])
def test_covariances_are_judged_by_the_profile_of_laplaces_likelihood(name: str, tmp_path: Path) -> None:
    problem, golden = PROBLEMS[name], goldens.load(name.replace("-", "_"))
    assert problem.formula == golden.formula
    design = build_design(problem.formula, golden.data(), family=problem.family)
    judge = Judge(problem, design, encode(problem, design))

    def judged(*factors: float) -> Judged:
        frame = golden.varcorr.assign(vcov=golden.varcorr["vcov"] * list(factors))
        frame[["grp", "var1", "var2", "vcov"]].to_csv(tmp_path / "answer.csv", index=False)
        return judge(tmp_path / "answer.csv")

    best = judged(1, 1)
    # R's optimum over covariances, fixed effects and thresholds, where its gradient is below 1e-7.
    assert best.objective == pytest.approx(golden.criterion, abs=1e-6)
    for factors in ((1.05, 1), (0.95, 1), (1, 1.2), (1, 0.8)):
        worse = judged(*factors)
        assert worse.objective > best.objective + 0.01
        assert worse.parameter_gap(best) == pytest.approx(max(abs(factor - 1) for factor in factors))


def test_coefficients_of_ordered_categories_are_judged_with_their_thresholds(tmp_path: Path) -> None:
    formula = "resp ~ Anger + btype + (1 | id) + (1 | item)"
    varcorr = (("id", "(Intercept)", None, 1.5), ("item", "(Intercept)", None, 0.25))
    problem = Problem(
        "ordered", formula, "cumulative", "coefficients", lambda _: load_verbagg(), varcorr=varcorr
    )
    design = build_design(formula, load_verbagg(), family="cumulative")
    encoded = encode(problem, design)
    judge = Judge(problem, design, encoded)
    fit = mfx.estimate_coefficients(
        formula, load_verbagg(), mfx.VarCorr.from_frame(problem.varcorr_frame()), family="cumulative"
    )
    assert fit.thresholds is not None

    def judged(thresholds: pd.Series) -> Judged:
        tables = {k: (list(b.columns), b.index, b.to_numpy()) for k, b in fit.ranef.items()}
        common = fit.fixef.to_dict() | thresholds.to_dict()
        write_answer(coefficient_table(common, tables), tmp_path / "answer.csv")
        return judge(tmp_path / "answer.csv")

    best = judged(fit.thresholds)
    b = np.concatenate([fit.ranef["id"].to_numpy(), fit.ranef["item"].to_numpy()])[:, 0]
    variances = np.repeat([1.5, 0.25], [len(fit.ranef["id"]), len(fit.ranef["item"])])
    eta = design.predictors.X() @ fit.fixef.to_numpy()
    for term in design.predictors.terms:
        eta = eta + fit.ranef[term.name].to_numpy()[term.grouping.codes, 0]
    # The probabilities of the categories themselves: differences of the logistic function.
    cumulative = 1 / (1 + np.exp(eta[:, None] - fit.thresholds.to_numpy()))
    probabilities = np.diff(cumulative, axis=1, prepend=0.0, append=1.0)
    loss = -np.log(probabilities[np.arange(len(eta)), design.y.astype(int)]).sum()
    assert best.objective == pytest.approx(loss + 0.5 * np.sum(b**2 / variances), rel=1e-12)
    for moved in ([0.02, 0.0], [-0.02, 0.0], [0.0, 0.02], [0.0, -0.02]):
        worse = judged(fit.thresholds + moved)
        assert worse.objective > best.objective + 0.01
        assert worse.parameter_gap(best) == pytest.approx(0.02)
    with pytest.raises(IncompleteAnswer, match="threshold"):
        judged(fit.thresholds.iloc[:1])


def test_what_cannot_run_says_why(rows: pd.DataFrame) -> None:
    missing = rows.query("library == 'glmm' and problem == 'verbagg-coefficients'").iloc[0]
    assert missing["status"] == "skipped"
    assert missing["reason"] == "/nowhere/python cannot be run: No such file or directory"
    absent = rows.query("problem == 'ml1m-intercepts-coefficients'")
    assert absent["library"].tolist() == ["mixedfx", "refine", "zeros", "glmm"]
    assert set(absent["status"]) == {"skipped"}
    assert absent["reason"].str.startswith("no MovieLens data").all()


def test_config_says_what_was_run(results: Path) -> None:
    config = read_config(results)
    assert config["threads"] == 1
    assert config["repetitions"] == 1
    assert config["machine"]["cores"] == os.cpu_count()
    problem = config["problems"]["verbagg-coefficients"]
    assert problem["levels"] == {"id": 316, "item": 24}
    assert problem["varcorr"] == [["id", "(Intercept)", None, 1.79], ["item", "(Intercept)", None, 0.247]]


def test_unknown_names_are_refused(tmp_path: Path) -> None:
    for arguments, message in (
        (("sleep",), "no problem 'sleep'"),
        (("--libraries", "nlme"), "no library 'nlme'"),
    ):
        refused = run_benchmarks(tmp_path, *arguments)
        assert refused.returncode == 2
        assert message in refused.stderr


def test_a_process_that_is_too_slow_is_stopped_at_once(tmp_path: Path) -> None:
    """What went on computing would take the processor from the libraries after it."""
    code = "import time; print('{}', flush=True); time.sleep(60)"
    with LibraryProcess([sys.executable, "-c", code], tmp_path / "log", threads=1, limit=0.1) as process:
        process.start(30)
        with pytest.raises(TooSlow, match=r"stopped after 0\.1 s"):
            process.fit()
        assert process._process is not None
        assert process._process.poll() is not None

"""Job files: what is accepted, and that every mistake is named with its place and its remedy."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from mixedfx.errors import SettingError
from mixedfx.pipeline.config import load_job, load_jobs, parse_job

DATA = {"dataset": "insteval"}
MODEL = {"formula": "y ~ 1 + (1 | s) + (1 | d)", "data": DATA}
JOBS = Path(__file__).parents[2] / "pipelines"


@pytest.mark.parametrize("path", sorted(JOBS.glob("*.toml")), ids=lambda path: path.name)
def test_the_jobs_that_come_with_the_project_are_read(path: Path) -> None:
    assert all(job.formula for job in load_jobs(path).values())


MODELS = """
seed = 4
[data]
path = "a.csv"
holdout = 0.5
[covariance]
method = "nuts"
draws = 20
[[model]]
name = "one"
formula = "y ~ 1 + (1 | g)"
covariance.draws = 30
[[model]]
name = "two"
formula = "z ~ 1 + (1 | g)"
family = "bernoulli"
"""


def test_models_of_a_file_share_its_settings(tmp_path: Path) -> None:
    (tmp_path / "night.toml").write_text(MODELS)
    jobs = load_jobs(tmp_path / "night.toml")
    assert [(name, job.family, job.covariance.draws) for name, job in jobs.items()] == [
        ("one", "gaussian", 30),
        ("two", "bernoulli", 20),
    ]
    for name, job in jobs.items():
        assert (job.seed, job.data.holdout, job.covariance.method) == (4, 0.5, "nuts")
        assert job.output.folder == str(Path("runs") / "night" / name)
        assert job.data.path is not None
        assert Path(job.data.path).parent == tmp_path.resolve()
    with pytest.raises(SettingError, match="several models: one, two"):
        load_job(tmp_path / "night.toml")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"two"', '"one"', "name 'one'; each needs a name of its own"),
        ('name = "two"', "", "name None"),
        ('"two"', '"../two"', "name '../two'"),
        ('"bernoulli"', '"bernouli"', r"model 'two' has settings .*\n  family = 'bernouli'"),
    ],
)
def test_mistakes_in_models_are_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    (tmp_path / "night.toml").write_text(MODELS.replace(old, new))
    with pytest.raises(SettingError, match=message):
        load_jobs(tmp_path / "night.toml")
    (tmp_path / "night.toml").write_text("model = 3\n")
    with pytest.raises(SettingError, match=r"\[\[model\]\]"):
        load_jobs(tmp_path / "night.toml")


def test_a_minimal_job_has_defaults() -> None:
    job = parse_job(MODEL)
    assert (job.family, job.na, job.seed, job.subsample) == ("gaussian", "drop", 0, None)
    assert job.covariance.model_dump(exclude_none=True) == {"force": False}


def test_the_subsample_takes_the_jobs_seed_unless_it_has_its_own() -> None:
    table = {"strategy": "levels", "n_levels": 5, "factor": "s"}
    job = parse_job({**MODEL, "seed": 7, "subsample": table})
    assert job.subsample is not None
    assert (job.subsample.build(job.seed).seed, job.subsample.build(job.seed).factor) == (7, "s")
    job = parse_job({**MODEL, "seed": 7, "subsample": {**table, "seed": 2}})
    assert job.subsample is not None
    assert job.subsample.build(job.seed).seed == 2


def test_data_are_found_beside_the_job_and_output_in_the_working_folder(tmp_path: Path) -> None:
    (tmp_path / "night.toml").write_text('formula = "y ~ 1 + (1 | g)"\n[data]\npath = "../in/a.csv"\n')
    job = load_job(tmp_path / "night.toml")
    assert job.data.path is not None
    assert Path(job.data.path).resolve() == (tmp_path / "../in/a.csv").resolve()
    assert job.output.folder == str(Path("runs") / "night")


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"covariance": {"methd": "nuts"}}, r"covariance\.methd: there is no such setting .*mean method"),
    ({"covarance": {}}, r"covarance: there is no such setting .*mean covariance"),
    (
        {"covariance": {"method": "nutz"}},
        r"covariance\.method = 'nutz'.*reml, ml, nuts, marginal, vi.*mean nuts",
    ),
    ({"covariance": {"method": "nuts", "draws": 0}}, r"covariance\.draws = 0.*greater than or equal to 1"),
    ({"covariance": {"method": "nuts", "draws": "many"}}, r"covariance\.draws = 'many'.*integer"),
    ({"covariance": {"draws": 10}}, r"covariance: .*`draws`.*nuts"),
    ({"covariance": {"priors": {"sigma": 1}}}, r"covariance: .*`priors`.*nuts"),
    ({"covariance": {"method": "nuts", "priors": 1}}, r"covariance\.priors = 1.*dictionary"),
    ({"coefficients": {"tol": "1e-8"}}, r"coefficients\.tol = '1e-8'.*number"),
    ({"coefficients": {"tol": float("nan")}}, r"coefficients\.tol = nan.*finite"),
    ({"covariance": {"nagq": -1}}, r"covariance\.nagq"),
    ({"covariance": {"satterthwaite": "yes"}}, r"covariance\.satterthwaite = 'yes'.*boolean"),
    ({"coefficients": {"solver": "newton"}}, r"coefficients: unknown solver 'newton'.*newton-cg"),
    ({"coefficients": {"backend": "cuda"}}, r"coefficients: unknown backend 'cuda'.*auto, numba, jax"),
    ({"coefficients": {"tol": 1e-15}}, r"coefficients: tol must be at least 1e-12.*1e-15"),
    (
        {"family": "poisson", "coefficients": {"solver": "fixed-hessian"}},
        r"solver='fixed-hessian' needs a bound on the curvature, and family 'poisson' has none",
    ),
    ({"family": "gausian"}, r"family = 'gausian'.*gaussian, bernoulli"),
    ({"na": "ignore"}, r"na = 'ignore'.*drop, raise"),
    ({"seed": -1}, r"seed = -1"),
    ({"data": {}}, r"data: .*`dataset` or `path`"),
    ({"data": {"dataset": "insteval", "path": "x.csv"}}, r"data: .*one of the two"),
    ({"data": {"dataset": "insteval", "holdout": 1.5}}, r"data\.holdout = 1\.5.*less than 1"),
    ({"data": "insteval"}, r"data = 'insteval': must be a table, written \[data\]"),
    ({"subsample": {"strategy": "per-user"}}, r"subsample: .*'per-user'.*per-factor"),
    ({"subsample": {"strategy": "rows", "n_rows": 10, "fraction": 0.1}}, r"subsample: .*n_rows and fraction"),
    ({"refine": {"accuracy": 2.0}}, r"refine\.accuracy"),
    ({"refine": True}, r"refine"),
]


@pytest.mark.parametrize(("tables", "message"), WRONG, ids=lambda value: str(value)[:40])
def test_a_wrong_setting_is_named(tables: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError) as caught:
        parse_job({**MODEL, **tables}, source="night.toml")
    assert re.search(message, str(caught.value)), str(caught.value)
    assert "night.toml" in str(caught.value)
    assert "pydantic" not in str(caught.value)


def test_all_mistakes_are_listed_at_once() -> None:
    with pytest.raises(SettingError) as caught:
        parse_job({"data": {"dataset": "mnist"}, "na": 3})
    text = str(caught.value)
    assert "formula: is missing" in text
    assert "data.dataset = 'mnist'" in text
    assert "na = 3" in text


def test_files_that_are_no_job(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"none\.toml cannot be read: No such file"):
        load_job(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("formula = \n")
    with pytest.raises(SettingError, match=r"bad\.toml is not valid TOML.*line 1"):
        load_job(tmp_path / "bad.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingError, match=r"bytes\.toml is not valid TOML"):
        load_job(tmp_path / "bytes.toml")


def test_a_planned_size_and_replicates() -> None:
    job = parse_job({**MODEL, "subsample": {"target_se": 0.1, "replicates": 3}})
    assert job.subsample is not None
    sample = job.subsample.build(job.seed)
    assert (sample.target_se, sample.replicates, sample.n_rows) == (0.1, 3, None)
    with pytest.raises(SettingError, match=r"subsample: .*n_rows and target_se both give the size"):
        parse_job({**MODEL, "subsample": {"target_se": 0.1, "n_rows": 100}})
    with pytest.raises(SettingError, match=r"subsample\.replicates = 0"):
        parse_job({**MODEL, "subsample": {"replicates": 0}})

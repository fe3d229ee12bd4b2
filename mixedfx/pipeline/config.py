"""A job: the TOML file that says what to fit to which data, read and checked before anything runs."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from mixedfx.covariance.learn import BAYESIAN
from mixedfx.errors import SettingError
from mixedfx.families import get_family
from mixedfx.subsample import Subsample

Fraction = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=1)]

MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


class Table(BaseModel):
    """A table of the job file: unknown keys are errors, and "10" is not 10."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class DataTable(Table):
    """``[data]``: a packaged data set, or a Parquet or CSV file or folder, relative to the job file."""

    dataset: Literal["insteval", "verbagg"] | None = None
    path: str | None = None
    holdout: Fraction | None = None
    """Share of the rows, drawn at random, that neither stage sees and on which both are scored."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.dataset is None) == (self.path is None):
            raise ValueError("must have either `dataset` or `path`, one of the two")
        return self


class SubsampleTable(Table):
    """``[subsample]``: the rows that stage 1 learns from, as in `mixedfx.Subsample`; all rows without it."""

    strategy: str = "per-factor"
    n_rows: Count | None = None
    n_levels: Count | None = None
    fraction: Fraction | None = None
    target_se: Fraction | None = None
    """Wanted standard error of the variances relative to them, from which the size is planned."""
    factor: str | None = None
    stratify: bool = False
    replicates: Count = 1
    """Subsamples of this size; their covariances are averaged, and the spread between them is reported."""
    seed: int | None = None
    """The job's seed where not given."""

    @model_validator(mode="after")
    def _subsample_accepts(self) -> Self:
        self.build(seed=0)
        return self

    def build(self, seed: int) -> Subsample:
        """The `Subsample` it describes; `seed` is the job's."""
        given = self.model_dump(exclude_none=True)
        return Subsample(**{"seed": seed, **given})


class CovarianceTable(Table):
    """``[covariance]``: how stage 1 learns the covariances, as in `mixedfx.learn_covariance`."""

    method: Literal["reml", "ml", "nuts", "marginal", "vi"] | None = None
    nagq: Annotated[int, Field(ge=0, le=100)] | None = None
    draws: Count | None = None
    warmup: Count | None = None
    chains: Count | None = None
    satterthwaite: bool | None = None
    """Degrees of freedom of tests of the fixed effects; unset where the data are small."""
    priors: dict[str, Any] | None = None
    """As in `mixedfx.covariance.priors.choose_priors`, which checks them once the data are read."""
    force: bool = False
    """Freeze covariances although stage 1 did not establish them."""

    @model_validator(mode="after")
    def _sampling_needs_a_sampler(self) -> Self:
        given = [name for name in ("draws", "warmup", "chains", "priors") if getattr(self, name) is not None]
        if given and self.method not in BAYESIAN:
            raise ValueError(
                f"has `{given[0]}`, which only the methods {', '.join(BAYESIAN)} use; set one of them, or remove it"
            )
        return self


class RefineTable(Table):
    """``[refine]``: refine the covariances on all rows before stage 2, as in `mixedfx.refine_covariance`."""

    accuracy: Fraction = 1e-3
    """Monte Carlo error that each covariance may have, relative to the standard deviations."""


class CoefficientsTable(Table):
    """``[coefficients]``: how stage 2 estimates the coefficients, as in `mixedfx.estimate_coefficients`."""

    solver: str = "newton-cg"
    backend: str = "auto"
    tol: float = 1e-8

    @model_validator(mode="after")
    def _stage_two_accepts(self) -> Self:
        """Here, and not only when stage 1 has run for an hour."""
        from mixedfx.coefficients.estimate import check_settings

        check_settings(self.solver, self.backend, self.tol)
        return self


class ChecksTable(Table):
    """``[checks]``: what the comparison of the stages looks at."""

    full_data: bool = True
    """Also test the frozen covariances against all rows."""


class OutputTable(Table):
    """``[output]``: where artefacts go; relative to the folder the command runs in."""

    folder: str | None = None
    """``runs/<name of the job file>`` where not given."""


class Job(Table):
    """A whole job.

    Raises
    ------
    SettingError
        From `load_job`; pydantic's own error where the class is called directly.
    """

    formula: str
    family: str = "gaussian"
    weights: str | None = None
    na: Literal["drop", "raise"] = "drop"
    seed: Annotated[int, Field(ge=0)] = 0
    data: DataTable
    subsample: SubsampleTable | None = None
    covariance: CovarianceTable = CovarianceTable()
    refine: RefineTable | None = None
    coefficients: CoefficientsTable = CoefficientsTable()
    checks: ChecksTable = ChecksTable()
    output: OutputTable = OutputTable()

    @field_validator("family")
    @classmethod
    def _known_family(cls, name: str) -> str:
        return get_family(name).name

    @model_validator(mode="after")
    def _solver_knows_the_family(self) -> Self:
        if self.coefficients.solver == "fixed-hessian":
            from mixedfx.coefficients.fixed_hessian import check_bounded

            check_bounded(get_family(self.family))
        return self


def load_job(path: str | Path) -> Job:
    """Read a job file of one model; see `load_jobs`."""
    jobs = load_jobs(path)
    if len(jobs) > 1:
        raise SettingError(
            f"the job file {path} has several models: {', '.join(jobs)}; read it with load_jobs"
        )
    return next(iter(jobs.values()))


def load_jobs(path: str | Path) -> dict[str, Job]:
    """Read a job file, of one model or of several.

    Parameters
    ----------
    path
        A TOML file. A relative ``data.path`` in it is taken from the file's folder, so that a job and its
        data move together; ``output.folder`` is taken from the working directory, so that runs stay out of
        the folder of the jobs. With tables ``[[model]]`` the file holds a job each: the settings outside are
        common to all, those in a model's table come on top, and its `name` is the last part of its output folder.

    Returns
    -------
    dict
        Name of the model -> its job, in the file's order; the name is "" where there are no tables ``[[model]]``.

    Raises
    ------
    SettingError
        The file cannot be read, is not TOML, or has settings that are unknown, missing or not allowed; the
        message lists all of them.
    """
    path = Path(path)
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingError(f"the job file {path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingError(f"the job file {path} is not valid TOML: {error}") from error
    return {
        name: _placed(parse_job(own, source=f"{path}, model '{name}'" if name else str(path)), path, name)
        for name, own in _models(tables, path).items()
    }


def _models(tables: dict[str, Any], path: Path) -> dict[str, dict[str, Any]]:
    """Name -> the whole tables of each model."""
    models = tables.pop("model", None)
    if models is None:
        return {"": tables}
    if not isinstance(models, list) or not all(isinstance(model, dict) for model in models):
        raise SettingError(f"{path}: `model` must be tables, each written [[model]]")
    found: dict[str, dict[str, Any]] = {}
    for own in models:
        name = own.pop("name", None)
        if not isinstance(name, str) or not MODEL_NAME.fullmatch(name) or name in found:
            raise SettingError(
                f"{path}: a [[model]] has name {name!r}; each needs a name of its own, of letters, digits, - and _"
            )
        found[name] = _merged(tables, own)
    return found


def _merged(common: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Nested tables, those of `own` on top."""
    both = {
        key: _merged(common[key], value)
        if isinstance(value, Mapping) and isinstance(common.get(key), Mapping)
        else value
        for key, value in own.items()
    }
    return {**common, **both}


def _placed(job: Job, path: Path, name: str) -> Job:
    """The job with its paths resolved: data beside the job file, output in the working directory."""
    updates: dict[str, Table] = {}
    if job.data.path is not None:
        updates["data"] = job.data.model_copy(update={"path": str(path.resolve().parent / job.data.path)})
    folder = Path(job.output.folder or Path("runs") / path.stem)
    updates["output"] = OutputTable(folder=str(folder / name))
    return job.model_copy(update=updates)


def parse_job(tables: Mapping[str, Any], source: str = "the job") -> Job:
    """The `Job` that nested tables describe; `source` names them in errors. See `load_job`."""
    try:
        return Job.model_validate(dict(tables))
    except ValidationError as error:
        lines = [_explain(problem) for problem in error.errors()]
        raise SettingError("\n  ".join([f"{source} has settings that cannot be used:", *lines])) from error


def _explain(problem: Mapping[str, Any]) -> str:
    """One line: the key's path, its value, what is allowed, and a near match of a misspelt word."""
    location = tuple(str(part) for part in problem["loc"])
    key = ".".join(location) or "the job"
    match problem["type"]:
        case "extra_forbidden":
            allowed = list(_table_at(location[:-1]).model_fields)
            near = _near(location[-1], allowed)
            return f"{key}: there is no such setting{near}; allowed here: {', '.join(allowed)}"
        case "missing":
            return f"{key}: is missing, and a job needs it"
        case "literal_error":
            field = _table_at(location[:-1]).model_fields[location[-1]]
            allowed = _literals(field.annotation)
            near = _near(problem["input"], allowed)
            return f"{key} = {problem['input']!r}: must be one of {', '.join(allowed)}{near}"
        case "value_error" | "assertion_error":
            value = "" if isinstance(problem["input"], Mapping) else f" = {problem['input']!r}"
            return f"{key}{value}: {problem['ctx']['error']}"
        case "model_type":
            return f"{key} = {problem['input']!r}: must be a table, written [{key}]"
        case _:
            return f"{key} = {problem['input']!r}: {problem['msg'].replace('Input should be', 'must be')}"


def _table_at(location: tuple[str, ...]) -> type[Table]:
    table: type[Table] = Job
    for part in location:
        annotation = table.model_fields[part].annotation
        table = next(
            t for t in (annotation, *get_args(annotation)) if isinstance(t, type) and issubclass(t, Table)
        )
    return table


def _literals(annotation: Any) -> list[str]:
    if get_args(annotation) and all(isinstance(value, str) for value in get_args(annotation)):
        return list(get_args(annotation))
    return [word for part in get_args(annotation) for word in _literals(part)]


def _near(word: Any, allowed: list[str]) -> str:
    matches = difflib.get_close_matches(str(word), allowed, n=1)
    return f" (did you mean {matches[0]}?)" if matches else ""

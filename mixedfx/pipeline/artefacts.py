"""Artefacts of a run: folders written whole or not at all, each with a hash of everything it was made from.

A run's folder holds ``manifest.json``, one folder a step and ``report.html``::

    runs/insteval/
      manifest.json              the job, versions, machine, and the record of every step
      subsample/                 draws.json, rows-<factor>.parquet
      covariance/                covariances.csv, ranef-<factor>.parquet, posterior.nc, ...
      coefficients/              ranef of every factor as Parquet, ...
      check/                     verdict.json, summary.csv, levels.csv, scores.csv, one PNG a plot
      report.html, report.md

Each step's folder carries its own record (``step.json``), so that it stands alone.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd

from mixedfx.errors import SettingError
from mixedfx.jsonable import jsonable
from mixedfx.parquet_rows import ParquetRows

RECORD = "step.json"
PACKAGES = ("numpy", "scipy", "pandas", "pyarrow", "formulaic", "numba", "jax", "numpyro", "arviz")


@dataclass(frozen=True)
class StepRecord:
    """What one step did.

    Attributes
    ----------
    step, status
        Its name; "done", "failed" or "running".
    inputs
        Hash of its settings, data, upstream artefacts and the package's version: equal hashes, equal results.
    files
        File -> SHA-256 of its content, for every file it wrote.
    started, seconds, peak_memory_mb
        UTC time; wall time; the process's largest resident memory up to the step's end.
    reused
        The step was not run again, because `inputs` had not changed.
    edited
        Files changed after the step wrote them, which later steps used as they are.
    error
        Type and message of the error that ended it.
    """

    step: str
    status: str
    inputs: str
    started: str
    seconds: float = 0.0
    peak_memory_mb: float = 0.0
    files: Mapping[str, str] = field(default_factory=dict)
    reused: bool = False
    edited: tuple[str, ...] = ()
    error: str | None = None


def digest(value: Any) -> str:
    """SHA-256 of a nested value, whatever the order of its keys."""
    text = json.dumps(jsonable(value), sort_keys=True, ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def hash_file(path: Path) -> str:
    """SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_files(folder: Path) -> dict[str, str]:
    """Relative path -> SHA-256, for every file below `folder`, sorted."""
    return {
        path.relative_to(folder).as_posix(): hash_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def hash_frame(frame: pd.DataFrame) -> str:
    """A hash of a frame's columns, dtypes, order of categories, and values; the index does not count."""
    columns = []
    for name, column in frame.items():
        rows = pd.util.hash_pandas_object(column, index=False).to_numpy()  # pyright: ignore[reportAttributeAccessIssue]
        coded = isinstance(column.dtype, pd.CategoricalDtype)
        order = [list(column.cat.categories), bool(column.cat.ordered)] if coded else None
        columns.append([str(name), str(column.dtype), order, hashlib.sha256(rows.tobytes()).hexdigest()])
    return digest(columns)


def hash_parquet(source: ParquetRows, columns: Sequence[str]) -> str:
    """A hash of the same of some columns of Parquet files, read a part at a time."""
    hashes = {name: hashlib.sha256() for name in columns}
    for _, part in source.parts(columns):
        for name in part:
            hashes[str(name)].update(hash_frame(part).encode())
    return digest([[name, own.hexdigest()] for name, own in hashes.items()])


def write_folder(folder: Path, write: Callable[[Path], None], record: StepRecord) -> StepRecord:
    """Let `write` fill a new folder, add the record, and put it in the place of `folder`.

    Whoever reads `folder` sees the old content or the new, never a mixture; a process killed in between
    leaves at worst no folder, which is a step to be run again.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    new, old = folder.with_name(f".{folder.name}.new"), folder.with_name(f".{folder.name}.old")
    for leftover in (new, old):
        shutil.rmtree(leftover, ignore_errors=True)
    new.mkdir()
    write(new)
    record = StepRecord(**{**vars(record), "files": hash_files(new)})
    write_json(new / RECORD, asdict(record))
    if folder.exists():
        os.replace(folder, old)
    os.replace(new, folder)
    shutil.rmtree(old, ignore_errors=True)
    return record


def read_record(folder: Path) -> StepRecord | None:
    """The record of a finished step, or None where there is none that can be read."""
    saved = read_json(folder / RECORD)
    try:
        return None if saved is None else StepRecord(**{**saved, "edited": tuple(saved["edited"])})
    except (TypeError, KeyError):  # written by another version
        return None


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON object, or None where the file is missing or holds something else."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def changed_files(folder: Path, record: StepRecord) -> list[str]:
    """Files of a step that are missing or no longer have the content that the step wrote."""
    now = hash_files(folder)
    return [name for name, content in record.files.items() if now.get(name) != content]


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON, whole or not at all."""
    write_text(path, json.dumps(jsonable(value), indent=1, ensure_ascii=False, allow_nan=False))


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    new = path.with_name(f".{path.name}.new")
    new.write_text(text, encoding="utf-8")
    os.replace(new, path)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the run's folder for this process; the lock ends with the process, however that ends.

    Raises
    ------
    SettingError
        Another process is running a job in this folder, or the folder cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".lock").open("w"):
            pass
    except OSError as error:
        raise SettingError(
            f"the output folder {folder} cannot be written to ({error.strerror}); give another --output"
        ) from error
    if sys.platform == "win32":  # no advisory locks there
        yield
        return
    import fcntl

    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SettingError(
                f"another run is at work in {folder}; wait for it, or give another --output"
            ) from None
        yield


def versions() -> dict[str, str]:
    """Versions of Python, this package and those it computes with."""
    found = {"python": platform.python_version(), "mixedfx": package_version("mixedfx")}
    return found | {name: package_version(name) for name in PACKAGES}


def package_version(name: str) -> str:
    """The installed version of a package; "not installed" for a checkout that is only on the path."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def peak_memory_mb() -> float:
    """The process's largest resident memory so far, in MiB; 0 where the system does not say."""
    if sys.platform == "win32":
        return 0.0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)

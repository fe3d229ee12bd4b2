"""Hashes see what matters and nothing else; folders appear whole or not at all; locks hold."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mixedfx.errors import SettingError
from mixedfx.pipeline.artefacts import (
    StepRecord,
    changed_files,
    digest,
    hash_frame,
    locked,
    read_record,
    versions,
    write_folder,
)

FRAME = pd.DataFrame(
    {
        "g": pd.Categorical(["a", "b", "a"], categories=["a", "b"]),
        "x": [1.0, np.nan, 3.0],
        "n": [1, 2, 3],
        "t": ["p", "q", None],
    }
)
RECORD = StepRecord("covariance", "done", "abc", "2026-01-01T00:00:00+00:00", seconds=1.5)


def test_digest_does_not_depend_on_the_order_of_keys() -> None:
    assert digest({"a": 1, "b": [1.5, None]}) == digest({"b": [1.5, None], "a": 1})
    assert digest({"a": 1}) != digest({"a": 1.5})


def test_the_same_columns_hash_the_same_whatever_the_index() -> None:
    assert hash_frame(FRAME) == hash_frame(FRAME.set_axis([9, 8, 7], axis=0))


@pytest.mark.parametrize(
    "other",
    [
        FRAME.assign(x=[1.0, np.nan, 3.0000001]),
        FRAME.iloc[::-1],
        FRAME.rename(columns={"x": "z"}),
        FRAME.astype({"n": "int32"}),
        FRAME.assign(g=FRAME["g"].cat.reorder_categories(["b", "a"])),
        FRAME.assign(g=FRAME["g"].cat.as_ordered()),
        FRAME.head(2),
    ],
    ids=["value", "order of rows", "name", "dtype", "order of categories", "ordered", "rows"],
)
def test_what_changes_a_fit_changes_the_hash(other: pd.DataFrame) -> None:
    assert hash_frame(other) != hash_frame(FRAME)


def test_a_step_folder_is_replaced_whole(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "covariance"
    write_folder(folder, lambda new: (new / "old.txt").write_text("1"), RECORD)
    write_folder(folder, lambda new: (new / "new.txt").write_text("2"), RECORD)
    assert sorted(path.name for path in folder.iterdir()) == ["new.txt", "step.json"]
    assert [path.name for path in folder.parent.iterdir()] == ["covariance"]


def test_a_write_that_fails_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "covariance"
    write_folder(folder, lambda new: (new / "a.txt").write_text("1"), RECORD)

    def fail(new: Path) -> None:
        (new / "a.txt").write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_folder(folder, fail, RECORD)
    assert (folder / "a.txt").read_text() == "1"
    write_folder(folder, lambda new: (new / "b.txt").write_text("3"), RECORD)
    assert [path.name for path in tmp_path.iterdir()] == ["covariance"]


def test_the_record_comes_back_and_sees_changed_files(tmp_path: Path) -> None:
    def write(new: Path) -> None:
        (new / "deep").mkdir()
        for name in ("a.txt", "b.txt", "deep/c.txt"):
            (new / name).write_text(name)

    written = write_folder(tmp_path / "step", write, RECORD)
    record = read_record(tmp_path / "step")
    assert record == written
    assert list(written.files) == ["a.txt", "b.txt", "deep/c.txt"]
    assert changed_files(tmp_path / "step", written) == []
    (tmp_path / "step" / "a.txt").write_text("edited")
    (tmp_path / "step" / "deep" / "c.txt").unlink()
    assert changed_files(tmp_path / "step", written) == ["a.txt", "deep/c.txt"]


@pytest.mark.parametrize("text", [None, "not json", "[]", json.dumps({"step": "x"})])
def test_no_record_that_can_be_read_is_none(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "step.json").write_text(text)
    assert read_record(tmp_path) is None


@pytest.mark.skipif(sys.platform == "win32", reason="no advisory locks")
def test_two_processes_do_not_share_a_run(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom mixedfx.pipeline.artefacts import locked\n"
        f"with locked(Path({str(tmp_path)!r})):\n    pass\n"
    )
    with locked(tmp_path):
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert "another run is at work" in other.stderr
        with pytest.raises(SettingError, match="--output"), locked(tmp_path):
            pass
    with locked(tmp_path):
        pass


def test_versions_name_what_computes() -> None:
    assert {"python", "mixedfx", "numpy", "jax", "numpyro"} <= set(versions())

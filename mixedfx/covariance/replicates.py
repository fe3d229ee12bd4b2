"""Replicates of a bootstrap on disk: one line each, written as it is finished, so that a killed run goes on.

| file | holds |
|---|---|
| ``bootstrap.json`` | what the replicates are of: the fit, its estimates, the data's hash, the seed |
| ``replicates.jsonl`` | a line a replicate: its number, and its estimates or why there are none |
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mixedfx.errors import SettingError
from mixedfx.jsonable import jsonable

FORMAT = "mixedfx-bootstrap/1"


@dataclass(frozen=True)
class Replicate:
    """One simulated data set's fit.

    Attributes
    ----------
    number
        From 0; with the seed it determines the data.
    estimates
        In the order of the fit's table; NaN where not defined. Empty where the fit failed.
    failure
        Why there are no estimates, or "".
    """

    number: int
    estimates: tuple[float, ...]
    failure: str = ""


@dataclass(frozen=True)
class ReplicateFolder:
    """Where replicates are kept; `open` makes one."""

    path: Path

    @classmethod
    def open(cls, folder: str | Path, identity: Mapping[str, Any]) -> ReplicateFolder:
        """A new folder, or one with replicates of the same fit, data and seed.

        Raises
        ------
        SettingError
            The folder holds replicates of something else.
        """
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        wanted = json.loads(json.dumps(jsonable({"format": FORMAT, **identity})))
        record = path / "bootstrap.json"
        if record.is_file():
            saved = json.loads(record.read_text(encoding="utf-8"))
            other = [key for key in wanted if saved.get(key) != wanted[key]]
            if other:
                raise SettingError(
                    f"{path} holds replicates of another bootstrap, with other {', '.join(other)}; choose another "
                    "folder, or delete it"
                )
        else:
            new = record.with_suffix(".new")
            new.write_text(json.dumps(wanted, indent=1, ensure_ascii=False), encoding="utf-8")
            new.replace(record)
        return cls(path)

    @property
    def _lines(self) -> Path:
        return self.path / "replicates.jsonl"

    def read(self) -> dict[int, Replicate]:
        """Number -> replicate. A line that a killed run left unfinished is taken off the file."""
        if not self._lines.is_file():
            return {}
        text = self._lines.read_text(encoding="utf-8")
        whole = text[: text.rfind("\n") + 1]
        if whole != text:
            new = self._lines.with_suffix(".new")
            new.write_text(whole, encoding="utf-8")
            new.replace(self._lines)
        replicates = [_from_line(json.loads(line)) for line in whole.splitlines()]
        return {replicate.number: replicate for replicate in replicates}

    def append(self, replicate: Replicate) -> None:
        """Write one more, to the disk before this returns."""
        line = {"replicate": replicate.number, "estimates": replicate.estimates, "failure": replicate.failure}
        with self._lines.open("a", encoding="utf-8") as file:
            file.write(json.dumps(jsonable(line), ensure_ascii=False) + "\n")


def _from_line(line: Mapping[str, Any]) -> Replicate:
    estimates: Sequence[float | None] = line["estimates"]
    return Replicate(line["replicate"], tuple(np.nan if v is None else v for v in estimates), line["failure"])

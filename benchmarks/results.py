"""Results in a folder: config.yaml says what was run where, results.csv holds one line a fit."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from benchmarks.run import Row

RESULTS = Path(__file__).parent / "results"
_CONVERT = {"str": str, "int": int, "float": float}


def write_results(folder: Path, rows: Sequence[Row], config: dict[str, Any]) -> None:
    """Write both files, replacing those of an earlier run of the same name."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "results.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Row)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
    write_config(folder, config)


def write_config(folder: Path, config: dict[str, Any]) -> None:
    """What was run where, in the order given."""
    folder.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=100)
    (folder / "config.yaml").write_text(text, encoding="utf-8")


def read_config(folder: Path) -> dict[str, Any]:
    """Empty where there is none."""
    path = folder / "config.yaml"
    return yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {}


def add_to_config(folder: Path, entries: dict[str, Any]) -> None:
    """Entries of a part that was run; those of other parts stay."""
    write_config(folder, read_config(folder) | entries)


def read_table(file: Path) -> pd.DataFrame:
    """A study's table, empty where there is none."""
    return pd.read_csv(file) if file.exists() else pd.DataFrame()


def write_table(
    file: Path, rows: pd.DataFrame | Sequence[dict[str, Any]], float_format: str, keys: Sequence[str] = ()
) -> None:
    """Write a study's table; with `keys` the file's lines stay that have other values of these."""
    table, kept = pd.DataFrame(rows), read_table(file)
    if keys and len(kept):
        again, before = (pd.MultiIndex.from_frame(some[list(keys)]) for some in (table, kept))
        table = pd.concat([kept[~before.isin(again)], table], ignore_index=True)
    file.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(file, index=False, float_format=float_format)


def read_results(folder: Path) -> list[Row]:
    """The rows of results.csv."""
    types = {field.name: _CONVERT[str(field.type)] for field in fields(Row)}
    with (folder / "results.csv").open(newline="") as file:
        return [
            Row(**{name: types[name](text) for name, text in line.items()}) for line in csv.DictReader(file)
        ]

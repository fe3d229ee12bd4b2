"""A problem with its data in a folder, as the libraries' processes read it: no mixedfx is needed to do so."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from benchmarks.encoded import Encoded


@dataclass(frozen=True)
class Model:
    """What a library is asked to fit, without the data; see `Problem` for the fields."""

    name: str
    formula: str
    family: str
    task: str


@dataclass(frozen=True)
class Case:
    """A model and the folder its data lie in.

    The folder holds ``model.json``, ``data.parquet`` (a column in its own type), ``varcorr.csv`` (lme4's frame, of
    "coefficients" problems) and ``encoded.npz``.
    """

    model: Model
    folder: Path

    @classmethod
    def read(cls, folder: Path) -> Case:
        return cls(Model(**json.loads((folder / "model.json").read_text())), folder)

    @cached_property
    def data(self) -> pd.DataFrame:
        return pd.read_parquet(self.folder / "data.parquet")

    @cached_property
    def varcorr(self) -> pd.DataFrame:
        """Columns grp, var1, var2, vcov."""
        return pd.read_csv(self.folder / "varcorr.csv", dtype={"grp": str, "var1": str, "var2": str})

    @cached_property
    def encoded(self) -> Encoded:
        return Encoded.read(self.folder / "encoded.npz")


def write_case(
    folder: Path, model: Model, data: pd.DataFrame, varcorr: pd.DataFrame | None, encoded: Encoded
) -> Case:
    """Write a problem into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.json").write_text(json.dumps(asdict(model)))
    data.to_parquet(folder / "data.parquet", index=False)
    if varcorr is not None:
        varcorr.to_csv(folder / "varcorr.csv", index=False)
    encoded.write(folder / "encoded.npz")
    return Case(model, folder)


def write_for_r(case: Case) -> None:
    """Add what base R reads: ``data.csv``, and ``levels.csv`` with the categories of each factor column in order."""
    data = pd.read_parquet(case.folder / "data.parquet")
    data.to_csv(case.folder / "data.csv", index=False)
    categories = [
        (column, level)
        for column in data.columns
        if isinstance(data[column].dtype, pd.CategoricalDtype)
        for level in data[column].cat.categories
    ]
    pd.DataFrame(categories, columns=["column", "level"]).to_csv(case.folder / "levels.csv", index=False)

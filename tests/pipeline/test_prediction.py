"""Predictions from a saved fit, file to file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from standins import FORMULA, covariance_result, write_ratings

import mixedfx as mfx
from mixedfx.errors import DataError, MixedfxError, SettingError
from mixedfx.pipeline.prediction import write_predictions


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with saved coefficients, and beside it the data they were fitted to."""
    folder = tmp_path_factory.mktemp("model")
    data = write_ratings(folder / "ratings.parquet")
    mfx.estimate_coefficients(FORMULA, data, covariance_result(60).varcorr).save(folder / "coefficients")
    return folder / "coefficients"


@pytest.fixture
def rows(model: Path) -> pd.DataFrame:
    return pd.read_parquet(model.parent / "ratings.parquet").iloc[[50, 3, 17]]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_one_row_a_row_in_the_order_of_the_data(
    ending: str, model: Path, rows: pd.DataFrame, tmp_path: Path
) -> None:
    rows.to_csv(tmp_path / "new.csv", index=False)
    output = tmp_path / f"out.{ending}"
    assert write_predictions(model, tmp_path / "new.csv", output, interval=0.9) == 3
    written = pd.read_csv(output) if ending == "csv" else pd.read_parquet(output)
    expected = mfx.load_coefficients(model).predict(rows, interval=0.9)
    assert list(written.columns) == ["fit", "lower", "upper"]
    np.testing.assert_allclose(written, expected, rtol=1e-14)


def test_without_an_interval_there_is_one_column(model: Path, rows: pd.DataFrame, tmp_path: Path) -> None:
    rows.astype({"user": "category"}).to_parquet(tmp_path / "new.parquet")
    write_predictions(model, tmp_path / "new.parquet", tmp_path / "out.csv")
    assert pd.read_csv(tmp_path / "out.csv").columns.tolist() == ["fit"]


def test_new_levels_are_the_population_or_an_error(model: Path, rows: pd.DataFrame, tmp_path: Path) -> None:
    new, output = tmp_path / "new.csv", tmp_path / "out.csv"
    rows.assign(user=77).to_csv(new, index=False)
    assert write_predictions(model, new, output) == 3
    with pytest.raises(MixedfxError, match="77"):
        write_predictions(model, new, output, new_levels="error")


def test_labels_of_another_kind_are_refused(model: Path, rows: pd.DataFrame, tmp_path: Path) -> None:
    rows.assign(item=[1, 2, 3]).to_csv(tmp_path / "new.csv", index=False)
    with pytest.raises(DataError, match=r"column 'item' holds labels such as 1, .* such as 'a'"):
        write_predictions(model, tmp_path / "new.csv", tmp_path / "out.csv")


def test_what_is_read_is_not_written_over(model: Path, rows: pd.DataFrame, tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    new = tmp_path / "parts" / "new.csv"
    rows.to_csv(new, index=False)
    before = new.read_bytes()
    for data, output in (
        (new, tmp_path / "parts" / ".." / "parts" / "new.csv"),
        (new.parent, tmp_path / "parts" / "predicted.csv"),
        (new, model / "ranef-user.parquet"),
    ):
        with pytest.raises(SettingError, match=r"is, or lies in, .* give another --output"):
            write_predictions(model, data, output)
    assert new.read_bytes() == before
    assert [path.name for path in new.parent.iterdir()] == ["new.csv"]


def test_where_it_cannot_write_it_says_so_first(model: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"out\.xlsx must end in \.parquet or \.csv"):
        write_predictions(model, tmp_path / "new.csv", tmp_path / "out.xlsx")
    with pytest.raises(SettingError, match="no folder"):
        write_predictions(model, tmp_path / "new.csv", tmp_path / "none" / "out.csv")

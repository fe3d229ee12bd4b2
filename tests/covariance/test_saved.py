"""A covariance result survives its folder: numbers to the last bit, labels with their dtype."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mixedfx.covariance.result import CovarianceResult
from mixedfx.covariance.saved import file_names, load_covariance, save_covariance
from mixedfx.csv_tables import read_covariances
from mixedfx.errors import DataError, VarCorrError
from mixedfx.varcorr import VarCorr

LABELS = {
    "user": pd.Index([1003, 1001, 1002], dtype="int32"),
    "cask:batch": pd.Index(["a:A", "ä:B"]),
    "day": pd.DatetimeIndex(["2020-01-02", "2021-03-04"]),
    "grade": pd.CategoricalIndex(["low", "high"], categories=["low", "high"], ordered=True),
}


def posterior() -> object:
    import xarray as xr

    rng = np.random.default_rng(1)
    dims = ("chain", "draw")
    dataset = xr.Dataset(
        {
            "beta": ((*dims, "coef"), rng.standard_normal((2, 5, 2))),
            "b_grade": ((*dims, "grade", "grade_coef"), rng.standard_normal((2, 5, 2, 1))),
            "b_user": ((*dims, "user", "user_coef"), rng.standard_normal((2, 5, 3, 2))),
        },
        coords={
            "coef": ["(Intercept)", "x"],
            "user": LABELS["user"],
            "user_coef": ["(Intercept)", "x"],
            "grade": LABELS["grade"],
            "grade_coef": ["(Intercept)"],
        },
        attrs={
            "library": "numpyro",
            "seed": 3,
            "settings": {"target": 0.9},
            "sample_dims": ["chain", "draw"],
        },
    )
    stats = xr.Dataset({"diverging": (dims, np.zeros((2, 5), dtype=bool))})
    return xr.DataTree.from_dict({"posterior": dataset, "sample_stats": stats})


def result(with_posterior: bool = True) -> CovarianceResult:
    rng = np.random.default_rng(0)
    rows = [
        ("user", "(Intercept)", np.nan, 1 / 3),
        ("user", "x", np.nan, 0.1),
        ("user", "(Intercept)", "x", 0.05),
    ]
    rows += [
        (factor, "(Intercept)", np.nan, float(rng.random())) for factor in ("cask:batch", "day", "grade")
    ]
    frame = pd.DataFrame(
        [*rows, ("Residual", np.nan, np.nan, np.pi)], columns=["grp", "var1", "var2", "vcov"]
    )
    varcorr = replace(VarCorr.from_frame(frame), freezable=False, why="R-hat of 1.3, run longer")
    table = varcorr.to_frame()
    names = {factor: ["(Intercept)", "x"] if factor == "user" else ["(Intercept)"] for factor in LABELS}
    return CovarianceResult(
        formula="y ~ 1 + x + (1 + x | user)",
        family="gaussian",
        method="nuts",
        varcorr=varcorr,
        fixef=pd.Series([0.1 + 0.2, -1e-17], index=["(Intercept)", 'x:NA, "q"']),
        fixef_se=pd.Series([0.25, np.nan], index=["(Intercept)", 'x:NA, "q"']),
        ranef={
            factor: pd.DataFrame(
                rng.standard_normal((len(labels), len(names[factor]))), labels, names[factor]
            )
            for factor, labels in LABELS.items()
        },
        standard_errors=table.assign(se=rng.random(len(table)), r_hat=[np.nan, *rng.random(len(table) - 1)]),
        loglik=np.nan,
        converged=False,
        boundary=("user: x",),
        stats={"seconds": np.float64(1.5), "rhat": np.array([1.3, np.nan])},
        n_rows=100,
        n_levels={factor: len(labels) for factor, labels in LABELS.items()},
        rows=np.array([2, 3, 5, 7], dtype=np.int64),
        thresholds=pd.Series([-0.5, 1.5], index=["1|2", "2|3"]),
        posterior=posterior() if with_posterior else None,  # pyright: ignore[reportArgumentType]
    )


def test_everything_comes_back(tmp_path: Path) -> None:
    saved = result()
    save_covariance(saved, tmp_path / "cov")
    loaded = load_covariance(tmp_path / "cov")
    pd.testing.assert_frame_equal(loaded.varcorr.to_frame(), saved.varcorr.to_frame(), check_exact=True)
    pd.testing.assert_frame_equal(loaded.standard_errors, saved.standard_errors, check_exact=True)
    pd.testing.assert_series_equal(loaded.fixef, saved.fixef, check_exact=True, check_names=False)
    pd.testing.assert_series_equal(loaded.fixef_se, saved.fixef_se, check_exact=True, check_names=False)
    assert saved.thresholds is not None
    pd.testing.assert_series_equal(loaded.thresholds, saved.thresholds, check_exact=True, check_names=False)
    assert list(loaded.ranef) == list(saved.ranef)
    for factor, modes in saved.ranef.items():
        pd.testing.assert_frame_equal(loaded.ranef[factor], modes, check_exact=True, check_freq=False)
    assert (loaded.varcorr.freezable, loaded.varcorr.why) == (False, "R-hat of 1.3, run longer")
    assert np.isnan(loaded.loglik)
    np.testing.assert_array_equal(loaded.rows, saved.rows, strict=True)
    assert loaded.stats == {"seconds": 1.5, "rhat": [1.3, None]}
    same = ("formula", "family", "method", "converged", "boundary", "n_rows", "n_levels")
    assert all(getattr(loaded, name) == getattr(saved, name) for name in same)


def test_draws_come_back_with_their_labels(tmp_path: Path) -> None:
    saved = result()
    save_covariance(saved, tmp_path)
    loaded = load_covariance(tmp_path).posterior
    assert saved.posterior is not None
    assert loaded is not None
    assert set(loaded.children) == {"posterior", "sample_stats"}
    for name in saved.posterior["posterior"].data_vars:
        np.testing.assert_array_equal(loaded["posterior"][name], saved.posterior["posterior"][name])
    assert loaded["posterior"].indexes["grade"].equals(LABELS["grade"])
    assert loaded["posterior"].indexes["user"].equals(LABELS["user"])
    assert loaded["posterior"].attrs["settings"] == '{"target": 0.9}'
    assert loaded["posterior"].attrs["sample_dims"] == ["chain", "draw"]


def test_per_factor_fits_are_kept(tmp_path: Path) -> None:
    parts = {
        "user": result(with_posterior=False),
        "cask:batch": replace(result(with_posterior=False), n_rows=7),
    }
    save_covariance(replace(result(with_posterior=False), fits=parts), tmp_path)
    loaded = load_covariance(tmp_path)
    assert {factor: fit.n_rows for factor, fit in loaded.fits.items()} == {"user": 100, "cask:batch": 7}


def test_a_fit_shared_by_two_factors_is_saved_once_and_stays_shared(tmp_path: Path) -> None:
    whole = result(with_posterior=False)
    save_covariance(replace(whole, rows=None, fits={"user": whole, "grade": whole}), tmp_path)
    assert [path.name for path in (tmp_path / "fits").iterdir()] == ["user"]
    loaded = load_covariance(tmp_path)
    assert loaded.rows is None
    assert loaded.fits["user"] is loaded.fits["grade"]


def test_a_table_edited_by_hand_is_what_is_loaded(tmp_path: Path) -> None:
    save_covariance(result(with_posterior=False), tmp_path)
    table = read_covariances(tmp_path / "covariances.csv").drop(columns=["se", "sdcor"])
    table.loc[table["grp"] == "Residual", "vcov"] = 4.0
    table.to_csv(tmp_path / "covariances.csv", index=False)
    loaded = load_covariance(tmp_path)
    assert loaded.sigma == 2.0
    assert loaded.standard_errors["sdcor"].iloc[-1] == 2.0
    table.assign(vcov=-1.0).to_csv(tmp_path / "covariances.csv", index=False)
    with pytest.raises(VarCorrError, match="negative variance"):
        load_covariance(tmp_path)


def test_no_result_and_missing_parts_are_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no result\.json"):
        load_covariance(tmp_path)
    save_covariance(result(with_posterior=False), tmp_path)
    (tmp_path / "fixef.csv").unlink()
    with pytest.raises(DataError, match=r"lacks a file .*fixef\.csv"):
        load_covariance(tmp_path)
    (tmp_path / "ranef-user.parquet").unlink()
    with pytest.raises(DataError, match=r"lacks a file .*ranef-user\.parquet"):
        load_covariance(tmp_path)
    (tmp_path / "result.json").write_text('{"format": "mixedfx-covariance/9"}')
    with pytest.raises(DataError, match="mixedfx-covariance/9"):
        load_covariance(tmp_path)


def test_file_names_are_distinct_and_safe() -> None:
    names = file_names("ranef-", ["a:b", "a/b", "A-b", "", "../x"], ".parquet")
    assert len({name.lower() for name in names.values()}) == 5
    assert not any(set("/:\\") & set(name) for name in names.values())

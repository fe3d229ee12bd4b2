"""A covariance result in a folder, and back: plain files that other tools can read, no pickles.

| file | holds |
|---|---|
| ``covariances.csv`` | lme4's frame (grp, var1, var2, vcov, sdcor), ``se``, diagnostics; may be edited |
| ``fixef.csv``, ``thresholds.csv`` | name, estimate, se |
| ``varcorr_covariance.csv`` | sampling covariance of the covariances, in the order of ``covariances.csv`` |
| ``fixef-covariance.parquet`` | covariance matrix of the fixed effects, where the fit has it |
| ``fixef-covariance-spread.parquet`` | what degrees of freedom rest on: matrices like that one below each other |
| ``ranef-<factor>.parquet`` | conditional modes, level labels in their own dtype |
| ``condvar-<factor>.parquet`` | their covariances, the q rows of a level below each other, where the fit has them |
| ``rows.parquet`` | positions of the rows used, where the fit knows them |
| ``posterior.nc`` | the draws as NetCDF, group by group |
| ``fits/<factor>/`` | the same again for the fits that a per-factor result was put together from |
| ``replicates/<number>/`` | and for the results that this one is the mean of |
| ``result.json`` | the rest: formula, method, likelihood, convergence, and the file of each factor |

What ``covariances.csv`` says is what is loaded, so a table corrected by hand, or written by another tool,
becomes the input of stage 2; the remaining files still describe the fit.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.arguments import as_folder
from mixedfx.covariance.averaged import read_from
from mixedfx.covariance.result import CovarianceResult
from mixedfx.csv_tables import read_covariances, read_table
from mixedfx.errors import DataError
from mixedfx.jsonable import jsonable
from mixedfx.varcorr import VarCorr

if TYPE_CHECKING:
    from xarray import DataTree

FORMAT = "mixedfx-covariance/1"
COVARIANCES = "covariances.csv"
VARCORR_COVARIANCE = "varcorr_covariance.csv"


def save_covariance(result: CovarianceResult, folder: str | Path) -> None:
    """Write `result` into `folder`, made where it does not exist; files of the same names are replaced.

    Examples
    --------
    >>> save_covariance(cov, "runs/covariance")  # doctest: +SKIP
    >>> load_covariance("runs/covariance").varcorr.factors  # doctest: +SKIP
    ('s', 'd')
    """
    folder = as_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _with_se(result.varcorr, result.standard_errors).to_csv(folder / COVARIANCES, index=False)
    fixef = pd.DataFrame({"estimate": result.fixef, "se": result.fixef_se})
    fixef.to_csv(folder / "fixef.csv", index_label="name")
    if result.thresholds is not None:
        thresholds = pd.DataFrame({"estimate": result.thresholds})
        if result.thresholds_se is not None:
            thresholds["se"] = result.thresholds_se
        thresholds.to_csv(folder / "thresholds.csv", index_label="name")
    if result.varcorr_covariance is not None:
        pd.DataFrame(result.varcorr_covariance).to_csv(folder / VARCORR_COVARIANCE, index=False)
    if result.fixef_covariance is not None:
        result.fixef_covariance.to_parquet(folder / "fixef-covariance.parquet")
    if result.fixef_covariance_spread is not None:
        stacked = result.fixef_covariance_spread.reshape(-1, len(result.fixef))
        pd.DataFrame(stacked, columns=result.fixef.index).to_parquet(
            folder / "fixef-covariance-spread.parquet"
        )
    ranef = file_names("ranef-", result.ranef, ".parquet")
    for factor, name in ranef.items():
        result.ranef[factor].to_parquet(folder / name)
    condvar = None
    if result.condvar is not None:
        condvar = file_names("condvar-", result.condvar, ".parquet")
        for factor, name in condvar.items():
            modes = result.ranef[factor]
            stacked = result.condvar[factor].reshape(-1, len(modes.columns))
            pd.DataFrame(stacked, modes.index.repeat(len(modes.columns)), modes.columns).to_parquet(
                folder / name
            )
    if result.rows is not None:
        pd.DataFrame({"row": result.rows}).to_parquet(folder / "rows.parquet")
    if result.posterior is not None:
        _storable(result.posterior).to_netcdf(folder / "posterior.nc", engine="h5netcdf")
    # The fits of an averaged result are those of one of its replicates.
    fits = {} if result.replicates else _fit_folders(result.fits)
    for number, replicate in enumerate(result.replicates, start=1):
        save_covariance(replicate, folder / "replicates" / str(number))
    for name, fit in {name: result.fits[factor] for factor, name in fits.items()}.items():
        save_covariance(fit, folder / name)
    rest = {
        "format": FORMAT,
        "formula": result.formula,
        "family": result.family,
        "method": result.method,
        "loglik": result.loglik,
        "converged": result.converged,
        "boundary": result.boundary,
        "freezable": result.varcorr.freezable,
        "why": result.varcorr.why,
        "n_rows": result.n_rows,
        "n_levels": result.n_levels,
        "ranef": ranef,
        "condvar": condvar,
        "fixef_covariance": result.fixef_covariance is not None,
        "fixef_covariance_spread": result.fixef_covariance_spread is not None,
        "thresholds": result.thresholds is not None,
        "thresholds_se": result.thresholds_se is not None,
        "varcorr_covariance": result.varcorr_covariance is not None,
        "rows": result.rows is not None,
        "posterior": result.posterior is not None,
        "fits": fits,
        "replicates": len(result.replicates),
        "stats": result.stats,
    }
    text = json.dumps(jsonable(rest), indent=1, ensure_ascii=False)
    (folder / "result.json").write_text(text, encoding="utf-8")


def load_covariance(folder: str | Path) -> CovarianceResult:
    """Read what `save_covariance` wrote.

    `stats` comes back as plain values: arrays as lists, frames as lists of rows.

    Raises
    ------
    DataError
        The folder holds no covariance result, or one of a newer format, or a file of it is missing.
    VarCorrError
        ``covariances.csv`` was edited into something that is no covariance.
    """
    folder = as_folder(folder)
    if not (folder / "result.json").is_file():
        raise DataError(
            f"{folder} holds no covariance result (no result.json); give a folder that save() wrote"
        )
    try:
        return _load(folder)
    except FileNotFoundError as error:
        raise DataError(
            f"the covariance result in {folder} lacks a file ({error.filename or error}); save it again"
        ) from error


def file_names(start: str, factors: Iterable[str], end: str) -> dict[str, str]:
    """A distinct file name for each factor; characters that file systems refuse become "-"."""
    names: dict[str, str] = {}
    for factor in factors:
        stem = name = start + (re.sub(r"[^\w.]+", "-", factor) or "-")
        while name.lower() in (used.lower() for used in names.values()):  # some file systems ignore case
            name = f"{stem}-{len(names)}"
        names[factor] = name
    return {factor: name + end for factor, name in names.items()}


def _load(folder: Path) -> CovarianceResult:
    saved = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    if saved.get("format") != FORMAT:
        raise DataError(
            f"{folder} holds a covariance result of format {saved.get('format')!r}; this version reads "
            f"{FORMAT!r}. Fit it again, or read it with the version that wrote it"
        )
    table = read_covariances(folder / COVARIANCES)
    varcorr = replace(VarCorr.from_frame(table), freezable=saved["freezable"], why=saved["why"])
    ranef = {factor: pd.read_parquet(folder / name) for factor, name in saved["ranef"].items()}
    fixef = folder / "fixef.csv"
    fits = {name: _load(folder / name) for name in set(saved["fits"].values())}
    numbers = range(1, saved.get("replicates", 0) + 1)
    replicates = tuple(_load(folder / "replicates" / str(number)) for number in numbers)
    return CovarianceResult(
        formula=saved["formula"],
        family=saved["family"],
        method=saved["method"],
        varcorr=varcorr,
        fixef=_read_named(fixef, "estimate"),
        fixef_se=_read_named(fixef, "se"),
        ranef=ranef,
        standard_errors=_with_se(varcorr, table),
        loglik=np.nan if saved["loglik"] is None else saved["loglik"],
        converged=saved["converged"],
        boundary=tuple(saved["boundary"]),
        stats=saved["stats"],
        n_rows=saved["n_rows"],
        n_levels=saved["n_levels"],
        thresholds=_read_named(folder / "thresholds.csv", "estimate") if saved["thresholds"] else None,
        thresholds_se=_read_named(folder / "thresholds.csv", "se") if saved.get("thresholds_se") else None,
        varcorr_covariance=_read_square(folder / VARCORR_COVARIANCE, len(varcorr.to_frame()))
        if saved.get("varcorr_covariance")
        else None,
        posterior=_read_posterior(folder / "posterior.nc", ranef) if saved["posterior"] else None,
        rows=pd.read_parquet(folder / "rows.parquet")["row"].to_numpy() if saved["rows"] else None,
        fits=read_from(replicates)
        if replicates
        else {factor: fits[name] for factor, name in saved["fits"].items()},
        replicates=replicates,
        fixef_covariance=(
            pd.read_parquet(folder / "fixef-covariance.parquet") if saved.get("fixef_covariance") else None
        ),
        fixef_covariance_spread=(
            _read_stacked(folder / "fixef-covariance-spread.parquet")
            if saved.get("fixef_covariance_spread")
            else None
        ),
        condvar=(
            {factor: _read_stacked(folder / name) for factor, name in saved["condvar"].items()}
            if saved.get("condvar")
            else None
        ),
    )


def _fit_folders(fits: Mapping[str, CovarianceResult]) -> dict[str, str]:
    """The folder of each factor's fit; factors whose samples were the same share one fit, saved once."""
    names = file_names("fits/", fits, "")
    first = {id(fit): factor for factor, fit in reversed(list(fits.items()))}
    return {factor: names[first[id(fit)]] for factor, fit in fits.items()}


def _with_se(varcorr: VarCorr, table: pd.DataFrame) -> pd.DataFrame:
    """The frame of `varcorr` with ``se`` and the further columns of `table`, NaN where that has none."""
    keys = ["grp", "var1", "var2"]
    more = [column for column in table.columns if column not in (*keys, "vcov", "sdcor", "se")]
    merged = varcorr.to_frame().merge(table.reindex(columns=[*keys, "se", *more]), on=keys, how="left")
    return merged.astype(dict.fromkeys(["se", *more], float))


def _read_square(path: Path, n: int) -> np.ndarray | None:
    """The matrix, (n, n); None where entries were added to the covariances, or taken out, by hand."""
    matrix = read_table(path, text=()).to_numpy(dtype=float)
    return matrix if matrix.shape == (n, n) else None


def _read_named(path: Path, column: str) -> pd.Series:
    frame = read_table(path, text=("name",))
    return pd.Series(frame[column].to_numpy(dtype=float), index=frame["name"].to_list(), name=column)


def _read_stacked(path: Path) -> NDArray[np.float64]:
    """Square matrices that were written below each other."""
    stacked = pd.read_parquet(path).to_numpy(dtype=float)
    return stacked.reshape(-1, stacked.shape[1], stacked.shape[1])


def _storable(posterior: DataTree) -> DataTree:
    """The tree with what NetCDF can hold: numbers or text as labels, no nested attributes."""

    def plain(dataset: Any) -> Any:
        labels = {
            name: (coordinate.dims, np.asarray(coordinate.to_index().astype(str), dtype=str))
            for name, coordinate in dataset.coords.items()
            if coordinate.ndim == 1 and coordinate.dtype.kind not in "iuf"
        }
        return dataset.assign_coords(labels).assign_attrs(_plain_attributes(dataset.attrs))

    return posterior.map_over_datasets(plain)


def _plain_attributes(attributes: Mapping[Any, Any]) -> dict[str, Any]:
    def storable(value: Any) -> bool:
        if isinstance(value, list | tuple):
            return all(isinstance(item, str) for item in value)
        return isinstance(value, str | int | float) and not isinstance(value, bool)

    return {str(k): v if storable(v) else json.dumps(jsonable(v)) for k, v in attributes.items()}


def _read_posterior(path: Path, ranef: Mapping[str, pd.DataFrame]) -> DataTree:
    """The draws; levels get back their labels' own dtype, which NetCDF keeps only for numbers."""
    import xarray as xr

    with xr.open_datatree(path, engine="h5netcdf") as file:
        tree = file.load()

    def relabel(dataset: Any) -> Any:
        labels = {
            factor: modes.index
            for factor, modes in ranef.items()
            if factor in dataset.coords and dataset.sizes[factor] == len(modes)
        }
        return dataset.assign_coords(labels)

    return tree.map_over_datasets(relabel)

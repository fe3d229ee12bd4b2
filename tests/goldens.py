"""Reads what R's lme4 or ordinal says about a case: ``golden/<case>/expected.json``, made by ``generate.R`` there."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.datasets import load_insteval, load_verbagg

FOLDER = Path(__file__).parent / "golden"
EMBEDDED = {"InstEval": load_insteval, "VerbAgg": load_verbagg}


@dataclass(frozen=True, eq=False)
class Golden:
    """One fit of lme4, or of ordinal. Treat the pandas objects as read-only: they are shared between tests.

    Attributes
    ----------
    case, formula, data_name, family, method, nagq
        What was fitted: `method` is "reml", "ml", "laplace" (glmer nAGQ=1, clmm), "nagq0" (glmer nAGQ=0) or
        "quadrature" (nAGQ above 1).
    weights
        Shape (N,), or None.
    criterion
        REML criterion for "reml", else -2 log-likelihood; all constants included.
    fixef, fixef_se
        Series over the fixed effects; standard errors given the covariances (from the Cholesky factor).
    fixef_se_hessian
        For "laplace" and "quadrature" lme4's default: from the Hessian in (theta, beta). Else None.
    thresholds, thresholds_se
        Of ordinal's fits, else None.
    varcorr
        lme4's frame grp, var1, var2, vcov, sdcor; `grp` is the factor's name for ``||`` terms too.
    theta, sigma
        Relative covariance factors; residual standard deviation or None.
    ranef
        Factor -> DataFrame (J, q), index: level labels as strings.
    condvar
        Factor -> (J, q, q) conditional covariances given beta; factors where lme4 gives none are absent.
    versions, optimizer, max_abs_gradient
        How accurate it is, and what made it.
    """

    case: str
    formula: str
    data_name: str
    family: str
    method: str
    nagq: int | None
    weights: NDArray[np.float64] | None
    n_rows: int
    criterion: float
    fixef: pd.Series
    fixef_se: pd.Series
    fixef_se_hessian: pd.Series | None
    thresholds: pd.Series | None
    thresholds_se: pd.Series | None
    varcorr: pd.DataFrame
    theta: NDArray[np.float64]
    sigma: float | None
    singular: bool
    ranef: MappingProxyType[str, pd.DataFrame]
    condvar: MappingProxyType[str, NDArray[np.float64]]
    versions: MappingProxyType[str, str]
    optimizer: str
    max_abs_gradient: float

    def data(self) -> pd.DataFrame:
        """A fresh copy of the case's data."""
        return data(self.data_name)


def cases() -> list[str]:
    """Names of all cases."""
    return sorted(path.parent.name for path in FOLDER.glob("*/expected.json"))


def data(name: str) -> pd.DataFrame:
    """A fresh copy of one of R's data sets, factors as categoricals in R's level order."""
    if name in EMBEDDED:
        return EMBEDDED[name]()
    factors: dict[str, dict[str, Any]] = json.loads((FOLDER / "data" / f"{name}.levels.json").read_text())
    frame = pd.read_csv(FOLDER / "data" / f"{name}.csv", dtype=dict.fromkeys(factors, str))
    for column, factor in factors.items():
        frame[column] = pd.Categorical(frame[column], categories=factor["levels"], ordered=factor["ordered"])
    return frame


@cache
def load(case: str) -> Golden:
    """The golden values of one case."""
    folder = FOLDER / case
    raw = json.loads((folder / "expected.json").read_text())
    ranef, condvar = (
        _large_tables(folder, raw["ranef_files"]) if "ranef_files" in raw else _tables(raw["ranef"])
    )
    hessian_se = raw.get("fixef_se_hessian")
    varcorr = pd.DataFrame(raw["varcorr"], columns=["grp", "var1", "var2", "vcov", "sdcor"])
    return Golden(
        case=case,
        formula=raw["formula"],
        data_name=raw["data"],
        family=raw["family"],
        method=raw["method"],
        nagq=raw["nagq"],
        weights=None if raw["weights"] is None else np.asarray(raw["weights"], dtype=float),
        n_rows=raw["n_rows"],
        criterion=raw["criterion"],
        fixef=pd.Series(raw["fixef"], dtype=float),
        fixef_se=pd.Series(raw["fixef_se"], dtype=float),
        fixef_se_hessian=None if hessian_se is None else pd.Series(hessian_se, dtype=float),
        thresholds=pd.Series(raw["thresholds"], dtype=float) if "thresholds" in raw else None,
        thresholds_se=pd.Series(raw["thresholds_se"], dtype=float) if "thresholds" in raw else None,
        varcorr=varcorr,
        theta=np.atleast_1d(np.asarray(raw["theta"], dtype=float)),
        sigma=raw["sigma"],
        singular=raw["singular"],
        ranef=MappingProxyType(ranef),
        condvar=MappingProxyType(condvar),
        versions=MappingProxyType(raw["versions"]),
        optimizer=raw["optimizer"],
        max_abs_gradient=raw["max_abs_gradient"],
    )


Tables = tuple[dict[str, pd.DataFrame], dict[str, NDArray[np.float64]]]


def _tables(raw: dict[str, dict[str, Any]]) -> Tables:
    ranef, condvar = {}, {}
    for factor, table in raw.items():
        # R writes a vector of length one as a bare string.
        columns = [table["columns"]] if isinstance(table["columns"], str) else table["columns"]
        ranef[factor] = pd.DataFrame(table["values"], index=table["levels"], columns=columns, dtype=float)
        if "condvar" in table:
            condvar[factor] = np.asarray(table["condvar"], dtype=float)
    return ranef, condvar


def _large_tables(folder: Path, files: dict[str, str]) -> Tables:
    ranef, condvar = {}, {}
    for factor, file in files.items():
        frame = pd.read_csv(folder / file, dtype={"level": str}, index_col="level")
        frame.index.name = None
        upper = [c for c in frame.columns if c.startswith("condvar_")]
        ranef[factor] = frame.drop(columns=upper)
        if upper:
            q = ranef[factor].shape[1]
            condvar[factor] = np.empty((len(frame), q, q))
            for column in upper:
                i, j = (int(part) - 1 for part in column.split("_")[1:])
                condvar[factor][:, i, j] = condvar[factor][:, j, i] = frame[column]
    return ranef, condvar

"""Coefficients in a folder, and back: plain files that other tools can read, no pickles.

| file | holds |
|---|---|
| ``fixef.csv`` | name, estimate, se |
| ``ranef-<k>.parquet`` | level, and each coefficient's conditional mode, mean over the components |
| ``b-<i>-<k>.parquet`` | conditional modes of factor k at the i-th covariances |
| ``rows.parquet`` | level codes and features of the rows, sorted, and each component's curvature weights: with them standard errors, draws and intervals are computed as they were before |
| ``result.json`` | formula and encoding of new data, family, convergence, and for each component its covariances (lme4's frame) and fixed effects |
"""  # noqa: E501

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mixedfx.coefficients.component import Component, Mixture
from mixedfx.coefficients.laplace_normal import LaplaceNormal
from mixedfx.coefficients.newton_cg import NewtonStep
from mixedfx.coefficients.result import CoefficientsResult
from mixedfx.errors import DataError
from mixedfx.formula.spec import DesignSpec
from mixedfx.grouping import Grouping
from mixedfx.jsonable import jsonable
from mixedfx.linalg.curvature import Curvature
from mixedfx.linalg.elimination import eliminate
from mixedfx.linalg.intercept_operator import row_operator
from mixedfx.linalg.lambdas import Lambdas
from mixedfx.linalg.layout import RowLayout, arrange
from mixedfx.predictors import Predictors, RandomTerm
from mixedfx.varcorr import VarCorr

FORMAT = "mixedfx-coefficients/2"


def save_coefficients(result: CoefficientsResult, folder: str | Path) -> None:
    """Write `result` into `folder`, made where it does not exist; files of the same names are replaced."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    layout = result.mixture.components[0].normal.elimination.operator.layout
    pd.DataFrame({"estimate": result.fixef, "se": result.fixef_se}).to_csv(
        folder / "fixef.csv", index_label="name"
    )
    for k, frame in enumerate(result.ranef.values()):
        frame.to_parquet(folder / f"ranef-{k}.parquet")
    for i, component in enumerate(result.mixture.components):
        for k, name in enumerate(result.spec.factors):
            modes = pd.DataFrame(component.b[name], columns=list(component.varcorr.block(name).names))
            modes.to_parquet(folder / f"b-{i}-{k}.parquet")
    pq.write_table(_rows_table(result, layout), folder / "rows.parquet")
    rest = {
        "format": FORMAT,
        "spec": result.spec.to_dict(),
        "family": result.family,
        "converged": result.converged,
        "reason": result.reason,
        "tol": result.tol,
        "n_rows": result.n_rows,
        "components": [
            {
                "covariances": c.varcorr.to_frame(),
                "beta": c.beta,
                "alpha": c.alpha,
                "gap": c.normal.elimination.curvature.gap,
            }
            for c in result.mixture.components
        ],
        "fixed_columns": layout.fixed_columns.tolist(),
        "terms": [_term(result, layout, name) for name in result.spec.factors],
        "stats": {**result.stats, "history": [asdict(step) for step in result.stats["history"]]},
    }
    text = json.dumps(jsonable(rest), indent=1, ensure_ascii=False)
    (folder / "result.json").write_text(text, encoding="utf-8")


def load_coefficients(folder: str | Path) -> CoefficientsResult:
    """Read what `CoefficientsResult.save` wrote; it predicts as the saved one did.

    Raises
    ------
    DataError
        The folder holds no coefficients, or of another format, or a file of it is missing.
    """
    folder = Path(folder)
    if not (folder / "result.json").is_file():
        raise DataError(f"{folder} holds no coefficients (no result.json); give a folder that save() wrote")
    saved = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    if saved.get("format") != FORMAT:
        raise DataError(
            f"{folder} holds {saved.get('format')!r}; this version reads {FORMAT!r}. Estimate again, or read it with "
            "the version that wrote it"
        )
    try:
        return _load(folder, saved)
    except FileNotFoundError as error:
        raise DataError(
            f"the coefficients in {folder} lack a file ({error.filename}); save them again"
        ) from error


def _load(folder: Path, saved: dict[str, Any]) -> CoefficientsResult:
    spec = DesignSpec.from_dict(saved["spec"])
    table = pq.read_table(folder / "rows.parquet")
    predictors = _predictors(table, saved, spec)
    # The rows are saved in sorted order; draws of their noise go by the caller's row numbers.
    layout = replace(arrange(predictors), order=_column(table, "row").copy())
    category = _column(table, "category").copy() if "category" in table.column_names else None
    operator = row_operator(layout.with_thresholds(len(saved["components"][0]["gap"])))
    components = []
    for i, own in enumerate(saved["components"]):
        varcorr = VarCorr.from_frame(pd.DataFrame(own["covariances"])).align(predictors.terms)
        lambdas = Lambdas.of(operator.layout, {b.factor: b.factor_matrix() for b in varcorr.blocks})
        curvature = Curvature.of(_column(table, f"omega-{i}").copy())
        if category is not None:
            gap = np.array(own["gap"], dtype=float)
            curvature = Curvature(curvature.omega, _column(table, f"upper-{i}").copy(), category, gap)
        b = {
            name: pd.read_parquet(folder / f"b-{i}-{k}.parquet").to_numpy()
            for k, name in enumerate(spec.factors)
        }
        alpha = np.array(own["alpha"], dtype=float)
        normal = LaplaceNormal(eliminate(operator, lambdas, curvature))
        components.append(Component(varcorr, np.array(own["beta"], dtype=float), b, alpha, normal))
    history = tuple(NewtonStep(**step) for step in saved["stats"]["history"])
    return CoefficientsResult(
        spec=spec,
        family=saved["family"],
        mixture=Mixture(tuple(components)),
        converged=saved["converged"],
        reason=saved["reason"],
        stats={**saved["stats"], "history": history},
        tol=saved["tol"],
        n_rows=saved["n_rows"],
    )


def _term(result: CoefficientsResult, layout: RowLayout, factor: str) -> dict[str, Any]:
    block = result.varcorr.block(factor)
    columns = next(own.columns for own in layout.blocks if own.name == factor)
    return {"names": block.names, "columns": columns.tolist(), "free": block.free.tolist()}


def _rows_table(result: CoefficientsResult, layout: RowLayout) -> pa.Table:
    columns: dict[str, NDArray] = {"row": layout.order}
    columns |= {f"code-{k}": layout.level_codes(name) for k, name in enumerate(result.spec.factors)}
    columns |= {f"feature-{i}": layout.feature(i) for i in range(len(layout.features.position))}
    for i, component in enumerate(result.mixture.components):
        curvature = component.normal.elimination.curvature
        columns[f"omega-{i}"] = curvature.omega
        if curvature.has_thresholds:
            columns[f"upper-{i}"], columns["category"] = curvature.upper, curvature.category
    return pa.table(columns)


def _column(table: pa.Table, name: str) -> NDArray:
    return table.column(name).to_numpy()


def _predictors(table: pa.Table, saved: dict[str, Any], spec: DesignSpec) -> Predictors:
    features = [_column(table, name) for name in table.column_names if name.startswith("feature-")]
    n = table.num_rows
    terms = tuple(
        RandomTerm(
            Grouping(name, _column(table, f"code-{k}"), spec.group(name).levels),
            tuple(term["names"]),
            np.array(term["columns"], dtype=np.int32),
            np.array(term["free"], dtype=bool),
        )
        for k, (name, term) in enumerate(zip(spec.factors, saved["terms"], strict=True))
    )
    return Predictors(
        features=np.ascontiguousarray(np.column_stack(features)) if features else np.zeros((n, 0)),
        fixed_names=spec.fixed_names,
        fixed_columns=np.array(saved["fixed_columns"], dtype=np.int32),
        terms=terms,
        offset=np.zeros(n),
        index=pd.RangeIndex(n),
    )

"""Both stages in one DataTree, on the same coordinates, for ArviZ and xarray."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from mixedfx.checks.levels import PROBABILITIES, CoefficientLevels
from mixedfx.varcorr import VarCorr

if TYPE_CHECKING:
    from xarray import Dataset, DataTree

    from mixedfx.checks.compare import Comparison
    from mixedfx.checks.holdout import HeldOut
    from mixedfx.checks.predictive import Predictive


def comparison_tree(comparison: Comparison) -> DataTree:
    """The comparison as groups.

    Returns
    -------
    DataTree
        - ``stage1``, ``stage2``: beta and beta_se (coef); alpha and alpha_se (threshold) of ordered categories; sigma;
          for each factor Sigma_<factor>, and on the levels that both stages have b_<factor>, b_<factor>_sd (<factor>,
          <factor>_coef) and rows_<factor> (<factor>);
        - ``agreement``: z_<factor>, inside_<factor> (<factor>, <factor>_coef) and pit_<factor> (probability,
          <factor>_coef), as in `mixedfx.checks.levels.CoefficientLevels`; beta_z (coef), alpha_z (threshold);
        - ``full_data``: Sigma_<factor> and sigma on all rows, where known;
        - ``predictive/categories``, ``predictive/calibration``, ``predictive/residuals``, those of the family:
          observed, expected, lower, upper along category, mean prediction or normal quantile; see
          `mixedfx.checks.predictive.Predictive`;
        - ``held_out``: a variable a score (prediction), of rows that were held out;
        - ``posterior``, ``sample_stats``, ... of stage 1, or for the fits of a per-factor subsample
          ``fits/<factor>/posterior``, ...: as stage 1 has them, with all its levels.
    """
    from xarray import DataTree

    cov, coef = comparison.covariance, comparison.coefficients
    first, second = _stage(comparison, 1, cov.varcorr), _stage(comparison, 2, coef.varcorr)
    groups: dict[str, Dataset | DataTree] = {
        "stage1": first.assign_attrs(
            formula=cov.formula, family=cov.family, method=cov.method, rows=cov.n_rows
        ),
        "stage2": second.assign_attrs(formula=coef.formula, family=coef.family, rows=coef.n_rows),
        "agreement": _agreement(comparison),
    }
    if not isinstance(comparison.full_data, str):
        groups["full_data"] = _sigmas(comparison.full_data.varcorr).assign_attrs(
            source=comparison.full_data.source
        )
    if not isinstance(comparison.predictive, str):
        groups |= {f"predictive/{found.kind}": _predictive(found) for found in comparison.predictive}
    if comparison.held_out is not None:
        groups["held_out"] = _held_out(comparison.held_out)
    if cov.posterior is not None:
        groups |= {str(name): group.to_dataset() for name, group in cov.posterior.children.items()}
    for factor, fit in cov.fits.items():
        if fit.posterior is not None:
            for name, group in fit.posterior.children.items():
                groups[f"fits/{factor}/{name}"] = group.to_dataset()
    return DataTree.from_dict(groups)


def _stage(comparison: Comparison, number: int, varcorr: VarCorr) -> Dataset:
    columns = {"b_{}": f"mode{number}", "b_{}_sd": f"sd{number}"}
    data = _dataset(comparison, columns).merge(_sigmas(varcorr))
    for factor, coefficients in _factors(comparison):
        data[f"rows_{factor}"] = (factor, coefficients[0].table[f"rows{number}"].to_numpy())
    return _with_fixed(data, comparison, {"{}": f"stage{number}", "{}_se": f"se{number}"})


def _agreement(comparison: Comparison) -> Dataset:
    data = _dataset(comparison, {"z_{}": "z", "inside_{}": "inside"})
    for factor, coefficients in _factors(comparison):
        shares = [levels.pit for levels in coefficients if levels.pit is not None]
        if len(shares) == len(coefficients):
            data = data.assign_coords(probability=PROBABILITIES)
            data[f"pit_{factor}"] = (("probability", f"{factor}_coef"), np.column_stack(shares))
            data[f"pit_{factor}"].attrs["levels"] = coefficients[0].pit_levels
    return _with_fixed(data, comparison, {"{}_z": "z"})


def _with_fixed(data: Dataset, comparison: Comparison, columns: dict[str, str]) -> Dataset:
    """Columns of the fixed effects' table as variables, thresholds apart; `columns`: name with {} -> column."""
    table, thresholds = comparison.fixed_effects, comparison.coefficients.thresholds
    edges = [] if thresholds is None else list(thresholds.index)
    parts = {"beta": ("coef", table.drop(index=edges))}
    if edges:
        parts["alpha"] = ("threshold", table.loc[edges])
    for symbol, (dimension, own) in parts.items():
        data = data.assign_coords({dimension: list(own.index)})
        for name, column in columns.items():
            data[name.format(symbol)] = (dimension, own[column].to_numpy())
    return data


def _predictive(found: Predictive) -> Dataset:
    from xarray import Dataset

    along = {"categories": "category", "calibration": "predicted", "residuals": "normal_quantile"}[found.kind]
    columns = ("observed", "expected", "lower", "upper")
    return Dataset(
        {name: (along, found.table[name].to_numpy()) for name in columns},
        {along: found.table["at"].tolist()},
        {"distance": found.distance, "p_value": found.p_value, "rows": found.n_rows},
    )


def _held_out(held_out: HeldOut) -> Dataset:
    from xarray import Dataset

    scores = held_out.scores.loc[:, ["stage2", "stage1", "fixed_only", "unshrunk"]]
    variables = {str(name): ("prediction", row.to_numpy(dtype=float)) for name, row in scores.iterrows()}
    return Dataset(variables, {"prediction": list(scores.columns)}, {"rows": held_out.n_rows})


def _dataset(comparison: Comparison, columns: dict[str, str]) -> Dataset:
    """Columns of the level tables as variables (<factor>, <factor>_coef); `columns`: name with {} -> column."""
    from xarray import Dataset

    data = Dataset()
    for factor, coefficients in _factors(comparison):
        of = f"{factor}_coef"
        names = [levels.coefficient for levels in coefficients]
        data = data.assign_coords({factor: coefficients[0].table.index.to_numpy(), of: names})
        for name, column in columns.items():
            values = np.column_stack([levels.table[column].to_numpy() for levels in coefficients])
            data[name.format(factor)] = ((factor, of), values)
    return data


def _sigmas(varcorr: VarCorr) -> Dataset:
    from xarray import Dataset

    data = Dataset()
    for block in varcorr.blocks:
        of = f"{block.factor}_coef"
        data = data.assign_coords({of: list(block.names), f"{of}_bis": list(block.names)})
        data[f"Sigma_{block.factor}"] = ((of, f"{of}_bis"), block.matrix)
    return data if varcorr.sigma is None else data.assign(sigma=varcorr.sigma)


def _factors(comparison: Comparison) -> Iterator[tuple[str, list[CoefficientLevels]]]:
    for factor, coefficients in groupby(comparison.levels, key=lambda levels: levels.factor):
        yield factor, list(coefficients)

"""Both stages in one DataTree, on the same coordinates, for ArviZ and xarray."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from mixedfx.checks.levels import CoefficientLevels
from mixedfx.varcorr import VarCorr

if TYPE_CHECKING:
    from xarray import Dataset, DataTree

    from mixedfx.checks.compare import Comparison


def comparison_tree(comparison: Comparison) -> DataTree:
    """The comparison as groups.

    Returns
    -------
    DataTree
        - ``stage1``, ``stage2``: beta and beta_se (coef); sigma; for each factor Sigma_<factor>, and on the levels that
          both stages have b_<factor>, b_<factor>_sd (<factor>, <factor>_coef) and rows_<factor> (<factor>);
        - ``agreement``: z_<factor>, inside_<factor>, as in `mixedfx.checks.levels.CoefficientLevels`;
        - ``full_data``: Sigma_<factor> and sigma on all rows, where known;
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
        "agreement": _dataset(comparison, {"z_{}": "z", "inside_{}": "inside"}),
    }
    if not isinstance(comparison.full_data, str):
        groups["full_data"] = _sigmas(comparison.full_data.varcorr).assign_attrs(
            source=comparison.full_data.source
        )
    if cov.posterior is not None:
        groups |= {str(name): group.to_dataset() for name, group in cov.posterior.children.items()}
    for factor, fit in cov.fits.items():
        if fit.posterior is not None:
            for name, group in fit.posterior.children.items():
                groups[f"fits/{factor}/{name}"] = group.to_dataset()
    return DataTree.from_dict(groups)


def _stage(comparison: Comparison, number: int, varcorr: VarCorr) -> Dataset:
    fixed = comparison.fixed_effects
    columns = {"b_{}": f"mode{number}", "b_{}_sd": f"sd{number}"}
    data = _dataset(comparison, columns).merge(_sigmas(varcorr))
    for factor, coefficients in _factors(comparison):
        data[f"rows_{factor}"] = (factor, coefficients[0].table[f"rows{number}"].to_numpy())
    return data.assign_coords(coef=list(fixed.index)).assign(
        beta=("coef", fixed[f"stage{number}"].to_numpy()), beta_se=("coef", fixed[f"se{number}"].to_numpy())
    )


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

"""Both stages in one DataTree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from xarray import Dataset, DataTree

    from mixedfx.checks.compare import Comparison
    from mixedfx.varcorr import VarCorr


def comparison_tree(comparison: Comparison) -> DataTree:
    """Groups ``stage1`` and ``stage2`` on the levels that both have, and stage 1's posterior where there is one."""
    from xarray import DataTree

    cov, coef = comparison.covariance, comparison.coefficients
    common = {f: cov.ranef[f].index.intersection(coef.ranef[f].index) for f in coef.ranef if f in cov.ranef}
    groups = {
        "stage1": _stage(cov.fixef, cov.fixef_se, cov.ranef, cov.varcorr, common),
        "stage2": _stage(coef.fixef, coef.fixef_se, coef.ranef, coef.varcorr, common),
    }
    tree = DataTree.from_dict(groups)
    if cov.posterior is not None:
        tree = tree.assign({str(name): group for name, group in cov.posterior.children.items()})
    return tree


def _stage(
    fixef: pd.Series,
    fixef_se: pd.Series,
    ranef: Mapping[str, pd.DataFrame],
    varcorr: VarCorr,
    common: Mapping[str, pd.Index],
) -> Dataset:
    from xarray import Dataset

    data = Dataset(
        {"beta": ("coef", fixef.to_numpy()), "beta_se": ("coef", fixef_se.to_numpy())},
        coords={"coef": list(fixef.index)},
    )
    for factor, levels in common.items():
        names = list(varcorr.block(factor).names)
        of = f"{factor}_coef"
        data = data.assign_coords({factor: levels.to_numpy(), of: names, f"{of}_bis": names})
        data[f"b_{factor}"] = ((factor, of), ranef[factor].loc[levels, names].to_numpy())
        data[f"Sigma_{factor}"] = ((of, f"{of}_bis"), varcorr[factor].to_numpy())
    if varcorr.sigma is not None:
        data["sigma"] = varcorr.sigma
    return data

"""Draws of stage 2 as an ArviZ DataTree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mixedfx.errors import DataError

if TYPE_CHECKING:
    from xarray import DataTree

    from mixedfx.coefficients.result import CoefficientsResult

Floats = NDArray[np.float64]


def draws_tree(
    result: CoefficientsResult,
    fixed: Floats,
    random: Mapping[str, Floats],
    factors: Sequence[str] | None,
    levels: Mapping[str, Sequence[object]],
) -> DataTree:
    """Group ``posterior``, one chain; fixed: beta and thresholds (p + M - 1, n), random: factor -> (J, q, n).

    Raises
    ------
    DataError
        A factor or a level is unknown.
    """
    from arviz_base import from_dict

    wanted = result.spec.factors if factors is None else tuple(factors)
    for name in (*wanted, *levels):
        result.spec.group(name)
    p = len(result.fixef)
    variables: dict[str, Floats] = {"beta": fixed[:p].T[None]}
    dims: dict[str, list[str]] = {"beta": ["coef"]}
    coords: dict[str, Any] = {"coef": list(result.spec.fixed_names)}
    if result.thresholds is not None:
        variables["alpha"] = fixed[p:].T[None]
        dims["alpha"] = ["threshold"]
        coords["threshold"] = list(result.thresholds.index)
    for name in wanted:
        frame = result.ranef[name]
        keep = frame.index.get_indexer(list(levels[name])) if name in levels else np.arange(len(frame))
        if (keep < 0).any():
            unknown = list(levels[name])[int(np.flatnonzero(keep < 0)[0])]
            raise DataError(f"factor '{name}' has no level {unknown!r}")
        variables[f"b_{name}"] = random[name][keep].transpose(2, 0, 1)[None]
        dims[f"b_{name}"] = [name, f"{name}_coef"]
        coords[name] = frame.index[keep].to_numpy()
        coords[f"{name}_coef"] = list(frame.columns)
    return from_dict({"posterior": variables}, coords=coords, dims=dims)

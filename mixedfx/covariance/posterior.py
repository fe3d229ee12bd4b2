"""Draws of stage 1 as an ArviZ DataTree, and the tables that are read off them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mixedfx.covariance.generalized import threshold_names
from mixedfx.covariance.parameters import Covariances, ParameterSpace
from mixedfx.design import Design
from mixedfx.varcorr import VarCorr

if TYPE_CHECKING:
    from xarray import DataTree

Floats = NDArray[np.float64]


def posterior_tree(
    design: Design, draws: Mapping[str, NDArray[Any]], statistics: Mapping[str, NDArray[Any]]
) -> DataTree:
    """Groups ``posterior`` and ``sample_stats``.

    Variables are ``beta`` (coef), ``alpha`` (threshold), ``sigma``, ``Sigma_<factor>`` (<factor>_coef,
    <factor>_coef_bis) and ``b_<factor>`` (<factor>, <factor>_coef), each after chain and draw, with the levels' and
    coefficients' own labels.
    """
    import numpyro
    from arviz_base import from_dict

    dims: dict[str, list[str]] = {"beta": ["coef"]}
    coords: dict[str, Any] = {"coef": list(design.predictors.fixed_names)}
    if "alpha" in draws:
        dims["alpha"], coords["threshold"] = ["threshold"], threshold_names(design)
    for term in design.predictors.terms:
        coef, twin = f"{term.name}_coef", f"{term.name}_coef_bis"
        dims |= {f"Sigma_{term.name}": [coef, twin], f"b_{term.name}": [term.name, coef]}
        coords |= {term.name: term.grouping.levels.to_numpy(), coef: list(term.names), twin: list(term.names)}
    kept = {name: values for name, values in draws.items() if name != "beta" or values.shape[-1]}
    with warnings.catch_warnings():
        # ArviZ takes a factor called "sample" for a mistake.
        warnings.filterwarnings("ignore", "Found dimension named 'sample'", UserWarning)
        groups = {"posterior": dict(kept), "sample_stats": dict(statistics)}
        tree = from_dict(groups, coords=coords, dims=dims)
    library = {"inference_library": "numpyro", "inference_library_version": numpyro.__version__}
    for group in tree.children.values():
        group.attrs.update(library)
    return tree


def covariance_draws(space: ParameterSpace, draws: Mapping[str, NDArray[Any]]) -> Floats:
    """Every free entry of every Sigma, then sigma^2 where there is one: shape (chains, draws, n), in frame order."""
    columns = [draws[f"Sigma_{space.terms[e.term].name}"][..., e.i, e.j] for e in space.entries]
    if "sigma" in draws:
        columns.append(draws["sigma"] ** 2)
    return np.stack(columns, axis=-1)


def posterior_mean(space: ParameterSpace, entries: Floats, weights: Floats | None = None) -> VarCorr:
    """E[Sigma] over the draws, entries (chains, draws, n), weights (draws,): what is frozen."""
    mean = np.average(entries.mean(axis=0), axis=0, weights=weights)
    has_sigma = len(mean) == space.size
    phi = mean if has_sigma else np.append(mean, 1.0)
    point: Covariances = space.point(phi)
    return space.varcorr(point, has_sigma=has_sigma)

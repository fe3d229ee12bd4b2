"""Log likelihood and posterior predictive draws of a Bayesian stage 1, as groups beside its posterior."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from mixedfx.design import Design, build_design
from mixedfx.errors import DataError, SettingError
from mixedfx.families import get_family

if TYPE_CHECKING:
    from xarray import DataTree

    from mixedfx.covariance.result import CovarianceResult

Floats = NDArray[np.float64]

MOST_NUMBERS = 500_000_000
"""Rows times draws that a group may hold: 4 GB."""


def predictive_groups(
    result: CovarianceResult,
    data: object,
    *,
    weights: object = None,
    log_likelihood: bool = True,
    posterior_predictive: bool = True,
    draws: int | None = None,
    seed: int = 0,
) -> DataTree:
    """The posterior with groups ``log_likelihood`` and ``posterior_predictive`` for ArviZ (loo, ppc plots).

    Parameters
    ----------
    result
        Of a Bayesian method.
    data, weights
        The rows that it was learned from, or others with the same levels.
    log_likelihood, posterior_predictive
        Which groups; each has the response's name as variable, with a dimension ``row``.
    draws
        Draws of each chain to use, evenly spaced; all by default.
    seed
        Of the predictive draws.

    Returns
    -------
    DataTree
        posterior and sample_stats of those draws, the groups asked for, and ``observed_data``.

    Raises
    ------
    DataError
        The result has no draws, or the data have levels that it has not.
    SettingError
        `draws` is below 1, or there are more numbers than memory is likely to hold.
    """
    import xarray as xr

    if result.posterior is None:
        raise DataError(f"a result by method '{result.method}' has no draws of its own")
    family = get_family(result.family)
    design = build_design(result.formula, data, family=family, weights=weights)
    tree = result.posterior
    there = tree["posterior"].sizes["draw"]
    if draws is not None and draws < 1:
        raise SettingError(f"draws is {draws}; it must be at least 1")
    kept = np.unique(np.linspace(0, there - 1, min(draws or there, there)).astype(int))
    tree = tree.map_over_datasets(lambda d: d.isel(draw=kept) if "draw" in d.dims else d)
    posterior = tree["posterior"].to_dataset()
    shape = (posterior.sizes["chain"], posterior.sizes["draw"], design.n_rows)
    if np.prod(shape, dtype=float) > MOST_NUMBERS:
        raise SettingError(
            f"{shape[0] * shape[1]:,} draws of {shape[2]:,} rows are too many numbers; ask for fewer with draws="
        )
    numbers = _numbers(result, design, posterior)
    rng = np.random.default_rng(seed)
    density, predicted = (
        np.empty(shape if log_likelihood else 0),
        np.empty(shape if posterior_predictive else 0),
    )
    y, w = np.asarray(design.y, dtype=float), np.array(design.weights)
    for chain in range(shape[0]):
        for draw in range(shape[1]):
            beta, auxiliary, b = numbers(chain, draw)
            eta = design.predictors.eta(beta, b)
            if log_likelihood:
                density[chain, draw] = _row_density(family.name, y, w, eta, auxiliary)
            if posterior_predictive:
                predicted[chain, draw] = family.sample(eta, rng, auxiliary, w)
    name, dims = design.spec.response_name, ("chain", "draw", "row")
    coords = {
        "chain": posterior["chain"],
        "draw": posterior["draw"],
        "row": design.predictors.index.to_numpy(),
    }
    groups: dict[str, Any] = {"observed_data": xr.Dataset({name: ("row", y)}, {"row": coords["row"]})}
    if log_likelihood:
        groups["log_likelihood"] = xr.Dataset({name: (dims, density)}, coords)
    if posterior_predictive:
        groups["posterior_predictive"] = xr.Dataset({name: (dims, predicted)}, coords)
    kept_groups = {str(group): node.to_dataset() for group, node in tree.children.items()}
    return xr.DataTree.from_dict(kept_groups | groups)


def _numbers(result: CovarianceResult, design: Design, posterior: Any) -> Any:
    """(chain, draw) -> beta, sigma^2 or thresholds, factor -> b in the design's order of levels."""
    places = {}
    for term in design.predictors.terms:
        known = result.ranef[term.name].index
        at = known.get_indexer(term.grouping.levels)
        if (at < 0).any():
            missing = term.grouping.levels[at < 0].tolist()[0]
            raise DataError(
                f"factor '{term.name}' has level {missing!r}, which the posterior has no draws of"
            )
        places[term.name] = at
    names = list(design.predictors.fixed_names)
    if names != list(result.fixef.index):
        raise DataError(
            f"the data give fixed effects ({', '.join(names)}), but the posterior has ({', '.join(result.fixef.index)})"
        )

    def of(name: str) -> Floats | None:
        return posterior[name].transpose("chain", "draw", ...).to_numpy() if name in posterior else None

    beta, sigma, alpha = of("beta"), of("sigma"), of("alpha")
    effects = {name: of(f"b_{name}") for name in places}

    def at_draw(chain: int, draw: int) -> tuple[Floats, object, dict[str, Floats]]:
        auxiliary: object = None
        if sigma is not None:
            auxiliary = float(sigma[chain, draw]) ** 2
        elif alpha is not None:
            auxiliary = alpha[chain, draw]
        b = {
            n: np.asarray(v[chain, draw], dtype=float)[places[n]] for n, v in effects.items() if v is not None
        }
        return np.zeros(0) if beta is None else beta[chain, draw], auxiliary, b

    return at_draw


def _row_density(family: str, y: Floats, w: Floats, eta: Floats, auxiliary: object) -> Floats:
    """log p of each row, with all constants."""
    if family == "gaussian":
        variance = float(auxiliary) / w  # pyright: ignore[reportArgumentType]
        return -0.5 * (np.log(2 * np.pi * variance) + (y - eta) ** 2 / variance)
    density = -w * get_family(family).loss(y, eta, auxiliary)
    if family == "binomial":
        density += gammaln(w + 1) - gammaln(w * y + 1) - gammaln(w * (1 - y) + 1)
    return density

"""Where chains begin, and how far each covariance parameter is from certain there."""

from __future__ import annotations

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray
from numpyro.distributions import biject_to, constraints

from mixedfx.covariance.chains import Start
from mixedfx.covariance.information import LevelInformation
from mixedfx.covariance.mixed_model import ModelSpec

Floats = NDArray[np.float64]

SPREAD = 1.5
"""Starts are spread by so many approximate posterior standard deviations, so that R-hat can tell."""


def start_chains(
    spec: ModelSpec,
    sigma2: float | None,
    information: Mapping[str, LevelInformation],
    n_chains: int,
    seed: int,
) -> list[Start]:
    """Unconstrained starting positions around the reference point, overdispersed in the covariance parameters.

    All coordinates but those of theta are standard normal by construction and start as such. The standard error
    of a log standard deviation is about ``(2 sum_j reliability_j^2)^(-1/2)``, which also is its first mass.
    """
    rng = np.random.default_rng(seed)
    centre: dict[str, Floats] = {}
    spread: dict[str, Floats] = {}
    if sigma2 is not None:
        centre["sigma"] = np.array(0.5 * np.log(sigma2))
        spread["sigma"] = np.array((2 * spec.n_rows) ** -0.5)
    for term in spec.terms:
        levels = information[term.name]
        sd = np.sqrt(np.diag(levels.Sigma))
        error = _log_sd_errors(levels)
        centre[term.scale_site] = np.arcsinh(sd / levels.linear_range)
        spread[term.scale_site] = error * sd / np.hypot(sd, levels.linear_range)
        for block in term.correlated:
            site = term.correlation_site(block)
            centre[site] = _unconstrained_correlation(levels, block)
            pairs = [error[i] + error[j] for n, i in enumerate(block) for j in block[:n]]
            spread[site] = np.array(pairs)
    free = {f"v|{term.name}": (term.n_levels, term.q) for term in spec.terms}
    free |= {"v|": (spec.p + spec.m,)} if spec.p + spec.m else {}
    inverse_mass = {site: np.atleast_1d(error**2) for site, error in spread.items()}

    def one() -> Start:
        position = {s: c + SPREAD * spread[s] * rng.uniform(-1, 1, c.shape) for s, c in centre.items()}
        position |= {site: rng.standard_normal(shape) for site, shape in free.items()}
        return Start(position, inverse_mass)

    return [one() for _ in range(n_chains)]


def _log_sd_errors(levels: LevelInformation) -> Floats:
    information = 2 * (levels.reliability() ** 2).sum(axis=0)
    return np.clip(1 / np.sqrt(np.maximum(information, 1e-12)), 0.0, 0.5)


def _unconstrained_correlation(levels: LevelInformation, block: tuple[int, ...]) -> Floats:
    Sigma = levels.Sigma[np.ix_(block, block)]
    sd = np.sqrt(np.diag(Sigma))
    factor = np.linalg.cholesky(Sigma / np.outer(sd, sd))
    return np.asarray(biject_to(constraints.corr_cholesky).inv(jnp.asarray(factor)))

"""Log densities of priors in JAX: parameters with the same distribution are evaluated together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpyro.distributions as dist

from mixedfx.covariance.prior_distributions import PriorDistribution

Array = jax.Array

type Kinds = tuple[tuple[str | PriorDistribution, tuple[int, ...]], ...]
"""What is fixed when code is compiled: a name, or a NumPyro distribution in its wrapping, and whose it is."""
type Arguments = tuple[Array, ...]
"""For each kind, shape (arguments, parameters of that kind)."""

_LOG2 = 0.6931471805599453

DENSITIES: dict[str, Callable[..., dist.Distribution]] = {
    "normal": dist.Normal,
    "student_t": dist.StudentT,
    "cauchy": dist.Cauchy,
    "laplace": dist.Laplace,
    "half_normal": dist.HalfNormal,
    "half_cauchy": dist.HalfCauchy,
    "exponential": dist.Exponential,
    "gamma": dist.Gamma,
    "lognormal": dist.LogNormal,
}


def grouped(distributions: Sequence[PriorDistribution]) -> tuple[Kinds, Arguments]:
    """Parameters by distribution."""
    places: dict[str | PriorDistribution, list[int]] = {}
    for i, prior in enumerate(distributions):
        places.setdefault(prior.name if prior.custom is None else prior, []).append(i)
    kinds = tuple((kind, tuple(at)) for kind, at in places.items())
    arguments = tuple(jnp.array([distributions[i].arguments for i in at], dtype=float).T for _, at in kinds)
    return kinds, arguments


def log_prior(kinds: Kinds, arguments: Arguments, values: Array) -> Array:
    """Sum of the log densities of all parameters, values (n,)."""
    total = jnp.zeros(())
    for (kind, at), given in zip(kinds, arguments, strict=True):
        own = values[jnp.array(at)]
        if isinstance(kind, PriorDistribution):
            total = total + jnp.sum(kind.custom.log_prob(own))
        elif kind == "half_t":
            total = total + (dist.StudentT(given[0], 0.0, given[1]).log_prob(own) + _LOG2).sum()
        else:
            total = total + jnp.sum(DENSITIES[kind](*given).log_prob(own))
    return total

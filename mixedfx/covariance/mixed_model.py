"""The full joint mixed model as a NumPyro model.

For the factors k, with theta = (scales, correlations) and the priors of `mixedfx.covariance.priors`:

    y ~ family(eta),  eta = offset + X beta + sum_k Z_k b_k,  b_kj ~ N(0, Sigma_k),  Sigma_k = T_k T_k'
    T_k = diag(scale_k) L_k,  scale_k ~ t(3),  L_k L_k' ~ LKJ(2) within each block that may correlate

The scales are signed: only Sigma enters the likelihood, so a t distribution on the whole line is the half-t on the
standard deviation |scale|, and a standard deviation near 0 is the smooth middle of the line instead of the far
end of a logarithm, where chains get stuck.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from mixedfx.covariance.geometry import (
    Effects,
    FixedCoordinates,
    LevelCoordinates,
    sample_fixed,
    sample_levels,
    sample_scales,
)
from mixedfx.covariance.information import LevelInformation
from mixedfx.covariance.priors import Priors, centring
from mixedfx.covariance.reference import Reference
from mixedfx.design import Design
from mixedfx.families import Family
from mixedfx.predictors import CONSTANT, RandomTerm

Array = jax.Array


@dataclass(frozen=True)
class TermSpec:
    """What is fixed about a random term when the model is compiled.

    Its plate is called as the factor; the other sites have a "|" in their names, which no factor has.

    `outer` are the factors it is nested in, `constant` marks the coefficients that multiply 1; `blocks` are the
    sets of coefficients that may correlate: the connected components of the term's free covariances, those of
    one coefficient included.
    """

    name: str
    n_levels: int
    constant: tuple[bool, ...]
    outer: tuple[str, ...]
    blocks: tuple[tuple[int, ...], ...]

    @property
    def q(self) -> int:
        return len(self.constant)

    @property
    def scale_site(self) -> str:
        return f"scale|{self.name}"

    def correlation_site(self, block: tuple[int, ...]) -> str:
        return f"L|{self.name}|{block[0]}"

    @property
    def correlated(self) -> tuple[tuple[int, ...], ...]:
        return tuple(block for block in self.blocks if len(block) > 1)


@dataclass(frozen=True)
class ModelSpec:
    """Everything that shapes the compiled model; two models with equal specs share the compiled code."""

    family: str
    n_rows: int
    p: int
    terms: tuple[TermSpec, ...]
    weighted: bool
    df: float
    lkj: float


class TermData(NamedTuple):
    """Arrays of one random term: level of each row (N,), q columns (N,), prior scales (q,), coordinates."""

    codes: Array
    columns: tuple[Array | None, ...]
    """The rows' z, None for the constant."""
    scales: Array
    coordinates: LevelCoordinates


class ModelData(NamedTuple):
    """The arrays the compiled model is called with."""

    y: Array
    offset: Array
    weights: Array | None
    X: Array
    sigma_scale: Array
    fixed: FixedCoordinates
    terms: tuple[TermData, ...]


def model_spec(
    design: Design, family: Family, priors: Priors, information: Mapping[str, LevelInformation]
) -> ModelSpec:
    """The spec of a design; its terms are in the order of `information`, outer factors first."""
    predictors = design.predictors
    of = {term.name: term for term in predictors.terms}
    terms = tuple(
        TermSpec(
            name,
            of[name].grouping.n_levels,
            tuple(bool(c == CONSTANT) for c in of[name].columns),
            tuple(coupling.name for coupling in levels.couplings),
            correlation_blocks(of[name]),
        )
        for name, levels in information.items()
    )
    weighted = bool((design.weights != 1.0).any())
    p = len(predictors.fixed_names)
    return ModelSpec(family.name, design.n_rows, p, terms, weighted, priors.df, priors.lkj)


def model_data(
    design: Design, priors: Priors, reference: Reference, information: Mapping[str, LevelInformation]
) -> ModelData:
    """The arrays of a design, rows sorted by the factor with most levels: its gathers run through memory."""
    predictors = design.predictors
    of = {term.name: term for term in predictors.terms}
    largest = max(predictors.terms, key=lambda t: t.grouping.n_levels)
    order = np.argsort(largest.grouping.codes, kind="stable")
    terms = []
    for name, levels in information.items():
        term = of[name]
        z = predictors.z(term)[order]
        terms.append(
            TermData(
                jnp.asarray(term.grouping.codes[order]),
                tuple(None if c == CONSTANT else jnp.asarray(z[:, a]) for a, c in enumerate(term.columns)),
                jnp.asarray(priors.sd_scale[name]),
                LevelCoordinates.of(levels),
            )
        )
    X, weights = predictors.X(), design.weights
    precision = (X * reference.weights[:, None]).T @ X
    return ModelData(
        y=jnp.asarray(design.y[order]),
        offset=jnp.asarray(predictors.offset[order]),
        weights=jnp.asarray(weights[order]) if (weights != 1.0).any() else None,
        X=jnp.asarray(X[order]),
        sigma_scale=jnp.asarray(priors.sigma_scale or 1.0),
        fixed=FixedCoordinates.of(reference.fixed, precision, priors, centring(design)),
        terms=tuple(terms),
    )


def mixed_model(spec: ModelSpec, data: ModelData) -> None:
    """The NumPyro model; its deterministic sites are ``beta``, ``Sigma_<factor>`` and ``b_<factor>``."""
    sigma = jnp.ones(())
    if spec.family == "gaussian":
        half_t = dist.FoldedDistribution(dist.StudentT(spec.df, 0.0, data.sigma_scale))
        sigma = jnp.asarray(numpyro.sample("sigma", half_t))
    eta = data.offset
    effects: dict[str, Effects] = {}
    for term, arrays in zip(spec.terms, data.terms, strict=True):
        T = _factor(term, arrays, spec)
        numpyro.deterministic(f"Sigma_{term.name}", T @ T.T)
        outer = [effects[name] for name in term.outer]
        effects[term.name] = sample_levels(term.name, T, arrays.coordinates, outer)
        b = effects[term.name].b
        numpyro.deterministic(f"b_{term.name}", jnp.stack(b, axis=-1))
        for column, z in zip(b, arrays.columns, strict=True):
            eta = eta + (column[arrays.codes] if z is None else column[arrays.codes] * z)
    beta = jnp.zeros(0)
    if spec.p:
        absorbed = jnp.stack([e.absorbed for e in effects.values()]).sum(axis=0)
        beta = sample_fixed(data.fixed, absorbed)
        eta = eta + data.X @ beta
    numpyro.deterministic("beta", beta)
    LIKELIHOODS[spec.family](data, eta, sigma)


def _factor(term: TermSpec, arrays: TermData, spec: ModelSpec) -> Array:
    """T with Sigma = TT', shape (q, q)."""
    prior = dist.StudentT(spec.df, 0.0, arrays.scales).to_event(1)
    scale = sample_scales(term.scale_site, prior, arrays.coordinates.linear_range)
    L = jnp.eye(term.q)
    for block in term.correlated:
        block_factor = numpyro.sample(
            term.correlation_site(block), dist.LKJCholesky(len(block), concentration=spec.lkj)
        )
        L = L.at[jnp.ix_(jnp.array(block), jnp.array(block))].set(block_factor)
    return scale[:, None] * L


def _observe_gaussian(data: ModelData, eta: Array, sigma: Array) -> None:
    scale = sigma if data.weights is None else sigma / jnp.sqrt(data.weights)
    numpyro.sample("|y", dist.Normal(eta, scale).to_event(1), obs=data.y)


def _observe_bernoulli(data: ModelData, eta: Array, sigma: Array) -> None:  # noqa: ARG001
    if data.weights is None:
        numpyro.sample("|y", dist.Bernoulli(logits=eta).to_event(1), obs=data.y)
    else:  # frequencies: a row counts as often as its weight says
        with numpyro.handlers.scale(scale=data.weights):
            numpyro.sample("|y", dist.Bernoulli(logits=eta), obs=data.y)


LIKELIHOODS: dict[str, Callable[[ModelData, Array, Array], None]] = {
    "gaussian": _observe_gaussian,
    "bernoulli": _observe_bernoulli,
}


def correlation_blocks(term: RandomTerm) -> tuple[tuple[int, ...], ...]:
    """Connected components of the free covariances, in the order of their first coefficients."""
    blocks: list[tuple[int, ...]] = []
    for i in range(term.q):
        if any(i in block for block in blocks):
            continue
        block, grown = {i}, True
        while grown:
            wider = block | {j for k in block for j in map(int, np.flatnonzero(term.free[k]))}
            block, grown = wider, wider != block
        blocks.append(tuple(sorted(block)))
    return tuple(blocks)

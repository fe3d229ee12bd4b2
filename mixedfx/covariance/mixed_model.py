"""The full joint mixed model as a NumPyro model.

For the factors k, with the priors of `mixedfx.covariance.priors`:

    y ~ family(eta),  eta = offset + X beta + sum_k Z_k b_k,  b_kj ~ N(0, Sigma_k),  Sigma_k = T_k T_k'
    T_k = diag(scale_k) L_k,  |scale_k| ~ its prior,  L_k L_k' ~ LKJ within each block that may correlate

The scales are signed: only Sigma enters the likelihood, so a density of the standard deviation |scale| may be spread
over the whole line, and a standard deviation near 0 is the smooth middle of the line instead of the far end of a
logarithm, where chains get stuck. Thresholds rise by construction (`mixedfx.covariance.thresholds`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpy.typing import NDArray

from mixedfx.covariance.correlation_blocks import correlation_blocks
from mixedfx.covariance.geometry import (
    Effects,
    FixedCoordinates,
    LevelCoordinates,
    sample_fixed,
    sample_levels,
    sample_scales,
)
from mixedfx.covariance.information import LevelInformation
from mixedfx.covariance.prior_density import Arguments, Kinds, grouped, log_prior
from mixedfx.covariance.priors import Priors, centring
from mixedfx.covariance.reference import Reference
from mixedfx.covariance.term_rows import TermRows
from mixedfx.design import Design
from mixedfx.families import Family
from mixedfx.families.compiled import CUMULATIVE, POISSON
from mixedfx.families.traced import RowTerms, row_terms
from mixedfx.predictors import CONSTANT, RandomTerm

Array = jax.Array
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class TermSpec:
    """What is fixed about a random term when the model is compiled.

    Its plate is called as the factor; the other sites have a "|" in their names, which no factor has.

    It has `q` coefficients, `intercept` is the one that multiplies 1 (-1 without); `outer` are the factors it is nested
    in; `blocks` are the sets of coefficients that may correlate: the connected components of the term's free
    covariances, those of one coefficient included. `sd` are the kinds of priors of the standard deviations, `lkj` is
    the concentration of the correlations'.
    """

    name: str
    n_levels: int
    q: int
    intercept: int
    outer: tuple[str, ...]
    blocks: tuple[tuple[int, ...], ...]
    sd: Kinds
    lkj: float

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
    """Everything that shapes the compiled model; two models with equal specs share the compiled code.

    `p` fixed effects and `m` thresholds, with the kinds of their priors together, `kind` the family's number.
    """

    family: str
    kind: int
    n_rows: int
    p: int
    m: int
    terms: tuple[TermSpec, ...]
    fixed: Kinds
    sigma: Kinds


class TermData(NamedTuple):
    """Arrays of one random term: its rows, arguments of the priors, coordinates."""

    rows: TermRows
    fixed: Array | None
    """Columns of X that are constant within its levels, shape (J, p), 0 for all others; they join its intercepts."""
    sd: Arguments
    coordinates: LevelCoordinates


class ModelData(NamedTuple):
    """The arrays the compiled model is called with."""

    y: Array
    offset: Array
    weights: Array | None
    X: Array | None
    """Columns of X that no term has taken, shape (N, p), 0 for all others."""
    counts: Array
    """Weights of the inner categories, shape (m - 1,)."""
    fixed: FixedCoordinates
    centring: Array
    fixed_prior: Arguments
    sigma_prior: Arguments
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
            of[name].q,
            _place(of[name].columns, CONSTANT),
            tuple(coupling.name for coupling in levels.couplings),
            correlation_blocks(of[name]),
            grouped(priors.sd[name])[0],
            priors.correlation[name],
        )
        for name, levels in information.items()
    )
    return ModelSpec(
        family.name,
        family.compiled_kind,
        design.n_rows,
        len(priors.fixed),
        len(priors.thresholds),
        terms,
        grouped((*priors.fixed, *priors.thresholds))[0],
        grouped([priors.sigma] if priors.sigma else [])[0],
    )


def _place(columns: NDArray[np.int32], wanted: int) -> int:
    return int(np.argmax(columns == wanted)) if wanted in columns else -1


def model_data(
    design: Design, priors: Priors, reference: Reference, information: Mapping[str, LevelInformation]
) -> ModelData:
    """The arrays of a design, rows sorted by the factor with most levels: its gathers run through memory."""
    predictors = design.predictors
    of = {term.name: term for term in predictors.terms}
    largest = max(predictors.terms, key=lambda t: t.grouping.n_levels)
    order = np.argsort(largest.grouping.codes, kind="stable")
    X = predictors.X()
    terms = []
    for name, levels in information.items():
        term = of[name]
        fixed, X = _between_levels(term, X)
        terms.append(
            TermData(
                TermRows.of(term, predictors.z(term), order),
                fixed,
                grouped(priors.sd[name])[1],
                LevelCoordinates.of(levels),
            )
        )
    y, weights = design.y[order].astype(float), design.weights[order]
    inner = np.zeros(0)
    if priors.thresholds:
        inner = np.bincount(y.astype(np.int64), weights)[1:-1]
    return ModelData(
        y=jnp.asarray(y),
        offset=jnp.asarray(predictors.offset[order]),
        weights=jnp.asarray(weights) if (weights != 1.0).any() else None,
        X=jnp.asarray(X[order]) if X.any() else None,
        counts=jnp.asarray(inner),
        fixed=FixedCoordinates.of(reference),
        centring=jnp.asarray(centring(design)),
        fixed_prior=grouped((*priors.fixed, *priors.thresholds))[1],
        sigma_prior=grouped([priors.sigma] if priors.sigma else [])[1],
        terms=tuple(terms),
    )


def _between_levels(term: RandomTerm, X: Floats) -> tuple[Array | None, Floats]:
    """(columns of X that are constant within the levels, by level; X without them), for a term with intercepts."""
    if CONSTANT not in term.columns or not X.any():
        return None, X
    codes, one = term.grouping.codes, np.zeros(term.grouping.n_levels, dtype=np.int64)
    one[codes] = np.arange(len(codes))
    by_level = X[one]
    same = (by_level[codes] == X).all(axis=0) & X.any(axis=0)
    return (jnp.asarray(by_level * same) if same.any() else None), X * ~same


def mixed_model(spec: ModelSpec, data: ModelData) -> None:
    """The NumPyro model; its deterministic sites are ``beta``, ``alpha``, ``Sigma_<factor>`` and ``b_<factor>``."""
    sigma = jnp.ones(())
    if spec.sigma:
        sigma = jnp.asarray(numpyro.sample("sigma", dist.ImproperUniform(dist.constraints.positive, (), ())))
        numpyro.factor("density|sigma", log_prior(spec.sigma, data.sigma_prior, sigma[None]))
    effects: dict[str, Effects] = {}
    for term, arrays in zip(spec.terms, data.terms, strict=True):
        T = _factor(term, arrays)
        numpyro.deterministic(f"Sigma_{term.name}", T @ T.T)
        outer = [effects[name] for name in term.outer]
        effects[term.name] = sample_levels(term.name, T, arrays.coordinates, outer)
        numpyro.deterministic(f"b_{term.name}", jnp.stack(effects[term.name].b, axis=-1))
    beta = alpha = jnp.zeros(0)
    if spec.p + spec.m:
        absorbed = jnp.stack([e.absorbed for e in effects.values()]).sum(axis=0)
        theta = sample_fixed(data.fixed, absorbed)
        beta, alpha = theta[: spec.p], _rising(theta[spec.p :])
        centred = data.centring @ jnp.concatenate([beta, alpha])
        numpyro.factor("density|beta", log_prior(spec.fixed, data.fixed_prior, centred))
    eta = data.offset if data.X is None else data.offset + data.X @ beta
    for term, arrays in zip(spec.terms, data.terms, strict=True):
        b = list(effects[term.name].b)
        if arrays.fixed is not None:
            b[term.intercept] = b[term.intercept] + arrays.fixed @ beta
        eta = eta + arrays.rows.times(b)
    numpyro.deterministic("beta", beta)
    if spec.m:
        numpyro.deterministic("alpha", alpha)
    if spec.family == "gaussian":
        scale = sigma if data.weights is None else sigma / jnp.sqrt(data.weights)
        numpyro.sample("|y", dist.Normal(eta, scale).to_event(1), obs=data.y)
    else:
        numpyro.factor("|y", -_loss(spec, data, eta, alpha))


def _factor(term: TermSpec, arrays: TermData) -> Array:
    """T with Sigma = TT', shape (q, q)."""

    def log_density(sd: Array) -> Array:
        return log_prior(term.sd, arrays.sd, sd)

    scale = sample_scales(term.scale_site, log_density, arrays.coordinates.linear_range)
    L = jnp.eye(term.q)
    for block in term.correlated:
        block_factor = numpyro.sample(
            term.correlation_site(block), dist.LKJCholesky(len(block), concentration=term.lkj)
        )
        L = L.at[jnp.ix_(jnp.array(block), jnp.array(block))].set(block_factor)
    return scale[:, None] * L


def _rising(zeta: Array) -> Array:
    """Thresholds from their free coordinates, shape (m,)."""
    if not len(zeta):
        return zeta
    numpyro.factor("density|alpha", zeta[1:].sum())
    return jnp.cumsum(jnp.concatenate([zeta[:1], jnp.exp(zeta[1:])]))


def _loss(spec: ModelSpec, data: ModelData, eta: Array, alpha: Array) -> Array:
    """sum w l without its constants."""
    rows = _row_loss(spec.kind, data.y, data.weights, eta, alpha)
    if spec.kind != CUMULATIVE:
        return rows
    # What distances between thresholds add: log(1 - exp(-d)) for each row of an inner category.
    return rows - data.counts @ jnp.log(-jnp.expm1(-jnp.diff(alpha)))


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _row_loss(kind: int, y: Array, weights: Array | None, eta: Array, alpha: Array) -> Array:
    """sum w l without what distances between thresholds add."""
    return _row_terms(kind, y, weights, eta, alpha).loss.sum(dtype=float)


def _row_terms(kind: int, y: Array, weights: Array | None, eta: Array, alpha: Array) -> RowTerms:
    """In single precision where rows are alike and their losses bounded by |eta|, in half the time: the rounding errors
    of 10^5 rows together are some 1e-5, a hundredth of what the steps of a trajectory err by."""
    if weights is None and kind != POISSON:
        y, eta, alpha = (x.astype(jnp.float32) for x in (y, eta, alpha))
    infinite = jnp.array([jnp.inf], alpha.dtype)
    edges = jnp.concatenate([-infinite, alpha, infinite]) if kind == CUMULATIVE else None
    return row_terms(kind, y, eta, 1.0, edges).weighted(weights)


@_row_loss.defjvp
def _row_loss_slope(kind: int, at: tuple[Any, ...], towards: tuple[Any, ...]) -> tuple[Array, Array]:
    """Value and derivative from the family's own formulas, which are shorter than what XLA makes of the loss."""
    y, weights, eta, alpha = at
    terms = _row_terms(kind, y, weights, eta, alpha)
    slope = terms.d1.astype(float) @ towards[2]
    if terms.above is not None:
        category, m = y.astype(jnp.int32), len(alpha) + 1
        above = jax.ops.segment_sum(terms.above.astype(float), category, m)
        below = above - jax.ops.segment_sum(terms.d1.astype(float), category, m)
        slope = slope + (below[1:] - above[:-1]) @ towards[3]
    return terms.loss.sum(dtype=float), slope

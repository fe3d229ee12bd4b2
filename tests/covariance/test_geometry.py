"""The sampler's coordinates: the density they stand for, and how near to standard normal they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from numpy.typing import NDArray
from numpyro.infer.util import constrain_fn, potential_energy
from problems import FORMULAS, RESPONSES, frame
from scipy import stats

from mixedfx.covariance.information import level_information
from mixedfx.covariance.mixed_model import ModelData, ModelSpec, mixed_model, model_data, model_spec
from mixedfx.covariance.priors import Priors, centring, choose_priors
from mixedfx.covariance.reference import reference_point
from mixedfx.covariance.starts import start_chains
from mixedfx.design import Design, build_design
from mixedfx.families import get_family

Floats = NDArray[np.float64]

CASES = [
    ("slopes on both", "bernoulli"),
    ("nested and crossed", "gaussian"),
    ("no fixed effects", "gaussian"),
    ("uncorrelated", "gaussian"),
    ("crossed", "cumulative"),
    ("one factor", "binomial"),
    ("crossed", "poisson"),
]


def compiled(kind: str, family: str) -> tuple[Design, Priors, ModelSpec, ModelData, dict[str, Floats]]:
    """A small model, weighted, and a position of its chains."""
    data = frame(np.random.default_rng(3), 80)
    data["w"] = np.random.default_rng(4).integers(1, 4, len(data)).astype(float)
    formulas = FORMULAS | {"uncorrelated": "y ~ 1 + x + (1 + x || g) + (0 + v | h)"}
    formula = formulas[kind].replace("y ~", f"{RESPONSES[family]} ~")
    design = build_design(formula, data, family=family, weights="trials" if family == "binomial" else "w")
    chosen = get_family(family)
    priors = choose_priors(design, chosen)
    reference = reference_point(design, chosen)
    information = level_information(design, reference)
    spec = model_spec(design, chosen, priors, information)
    start = start_chains(spec, reference.sigma2, information, 1, seed=5)[0]
    return design, priors, spec, model_data(design, priors, reference, information), dict(start.position)


def textbook_log_density(design: Design, priors: Priors, family: str, at: dict[str, Any]) -> float:
    """log p(y, beta, b, Sigma, sigma) with normalising constants left out where they are constant."""
    eta = design.predictors.eta(
        np.asarray(at.get("beta", np.zeros(0))),
        {t.name: np.asarray(at[f"b_{t.name}"]) for t in design.predictors.terms},
    )
    y, w = design.y, np.array(design.weights)
    alpha = np.asarray(at.get("alpha", np.zeros(0)))
    if family == "gaussian":
        sigma = float(at["sigma"])
        total = stats.norm.logpdf(y, eta, sigma / np.sqrt(w)).sum()
        df, scale = priors.sigma.arguments
        total += stats.t.logpdf(sigma, df, scale=scale)
    else:
        total = -(w * get_family(family).loss(y.astype(float), eta, alpha if len(alpha) else None)).sum()
    given = np.array([d.arguments for d in (*priors.fixed, *priors.thresholds)]).reshape(-1, 2)
    theta = np.concatenate([np.asarray(at.get("beta", np.zeros(0))), alpha])
    total += stats.norm.logpdf(centring(design) @ theta, given[:, 0], given[:, 1]).sum()
    for term in design.predictors.terms:
        Sigma, b = np.asarray(at[f"Sigma_{term.name}"]), np.asarray(at[f"b_{term.name}"])
        total += stats.multivariate_normal.logpdf(b, np.zeros(term.q), Sigma).sum()
        sd = np.sqrt(np.diag(Sigma))
        for value, prior in zip(sd, priors.sd[term.name], strict=True):
            total += stats.t.logpdf(value, prior.arguments[0], scale=prior.arguments[1])
        correlation = Sigma / np.outer(sd, sd)
        if term.free[0, -1]:  # of LKJ's density in the correlation matrix, |R|^(concentration - 1)
            total += (priors.correlation[term.name] - 1) * np.linalg.slogdet(correlation)[1]
    return float(total)


def free_quantities(spec: ModelSpec, values: dict[str, Any]) -> jax.Array:
    """(sigma, scales, correlations, b, beta, alpha) as one vector, as long as the unconstrained position."""
    parts = [jnp.ravel(values["sigma"])] if "sigma" in values else []
    for term in spec.terms:
        Sigma = values[f"Sigma_{term.name}"]
        sd = jnp.sqrt(jnp.diag(Sigma))
        parts.append(sd)
        for block in term.correlated:
            pairs = [(i, j) for n, i in enumerate(block) for j in block[:n]]
            parts.append(jnp.stack([Sigma[i, j] / (sd[i] * sd[j]) for i, j in pairs]))
        parts.append(values[f"b_{term.name}"].ravel())
    parts += [values[name] for name in ("beta", "alpha") if name in values]
    return jnp.concatenate(parts)


@pytest.mark.parametrize(("kind", "family"), CASES)
def test_the_coordinates_keep_the_density(kind: str, family: str) -> None:
    """p(coordinates) = p(y, beta, b, Sigma, sigma) |d(beta, b, Sigma, sigma)/d coordinates|, up to one constant."""
    with jax.enable_x64(True):
        design, priors, spec, data, position = compiled(kind, family)
        flat, unravel = ravel_pytree({k: jnp.asarray(v) for k, v in position.items()})

        def constrained(z: jax.Array) -> dict[str, Any]:
            return constrain_fn(mixed_model, (spec, data), {}, unravel(z), return_deterministic=True)

        quantities: Callable[[jax.Array], jax.Array] = jax.jit(
            lambda z: free_quantities(spec, constrained(z))
        )
        jacobian = jax.jit(jax.jacfwd(quantities))
        energy = jax.jit(lambda z: potential_energy(mixed_model, (spec, data), {}, unravel(z)))
        rng = np.random.default_rng(6)
        constants = []
        for _ in range(3):
            z = flat + 0.4 * rng.standard_normal(len(flat))
            log_volume = np.linalg.slogdet(np.asarray(jacobian(z)))[1]
            expected = textbook_log_density(design, priors, family, constrained(z)) + log_volume
            constants.append(float(-energy(z)) - expected)
    np.testing.assert_allclose(constants, constants[0], atol=1e-6)


@pytest.mark.parametrize(
    "kind", ["one factor", "slopes on both", "nested", "nested and crossed", "three crossed"]
)
def test_effects_are_about_standard_normal_at_the_reference(kind: str) -> None:
    """At the covariances of the reference the energy's Hessian in all coordinates of b and beta is about the identity.

    Coupled, shifted or rich levels would have eigenvalues of 100 and 0.01 in centred or non-centred coordinates.
    """
    with jax.enable_x64(True):
        _, _, spec, data, position = compiled(kind, "gaussian")
        levels = {name: jnp.zeros(v.shape) for name, v in position.items() if name.startswith("v")}
        theta = {name: jnp.asarray(v) for name, v in position.items() if name not in levels}
        flat, unravel = ravel_pytree(levels)
        energy = lambda z: potential_energy(mixed_model, (spec, data), {}, theta | unravel(z))  # noqa: E731
        eigenvalues = np.linalg.eigvalsh(np.asarray(jax.jit(jax.hessian(energy))(flat)))
    assert eigenvalues[0] > 0.15
    assert eigenvalues[-1] < 3.0

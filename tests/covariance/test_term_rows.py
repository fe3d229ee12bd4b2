"""Z b of one term in JAX, with few and with many patterns of features, and its derivative."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from mixedfx.covariance.term_rows import TermRows
from mixedfx.design import build_design


@pytest.mark.parametrize(("feature", "patterns"), [("kind", 4), ("x", None)])
def test_products_and_their_derivatives(feature: str, patterns: int | None) -> None:
    rng = np.random.default_rng(0)
    n = 400
    data = pd.DataFrame(
        {
            "y": rng.standard_normal(n),
            "g": rng.integers(0, 20, n),
            "kind": rng.integers(0, 2, n),
            "other": rng.integers(0, 2, n),
            "x": rng.standard_normal(n),
        }
    )
    design = build_design(f"y ~ 1 + (1 + {feature} + other | g)", data)
    term = design.predictors.terms[0]
    z, order = design.predictors.z(term), rng.permutation(n)
    b, weights = rng.standard_normal((3, term.grouping.n_levels)), rng.standard_normal(n)
    with jax.enable_x64(True):
        rows = TermRows.of(term, z, order)
        assert (None if rows.patterns is None else rows.patterns.shape[1]) == patterns
        columns = tuple(jnp.asarray(own) for own in b)
        codes = term.grouping.codes
        expected = np.einsum("rq,qr->r", z, b[:, codes])[order]
        np.testing.assert_allclose(rows.times(columns), expected, atol=1e-12)
        slope = jax.grad(lambda own: rows.times(own) @ weights)(columns)
    back = np.zeros(n)
    back[order] = weights
    for own, column in zip(slope, z.T, strict=True):
        np.testing.assert_allclose(own, np.bincount(codes, back * column), atol=1e-12)

"""The families' formulas in JAX: `mixedfx.families.compiled` for whole arrays of rows, traced and compiled by XLA."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mixedfx.families.compiled import CUMULATIVE, LOGISTIC, POISSON


class RowTerms(NamedTuple):
    """What rows add, shape (N,) each.

    Attributes
    ----------
    loss
        l without its constants and without distances between thresholds.
    d1, d2
        Its derivatives in eta.
    above, bend_above
        -dl/d alpha_y and d^2 l/d alpha_y^2: the shares of d1 and d2 that the threshold above the row's category has.
        None where there are no thresholds.
    """

    loss: jax.Array
    d1: jax.Array
    d2: jax.Array
    above: jax.Array | None
    bend_above: jax.Array | None

    def weighted(self, w: jax.Array | None) -> RowTerms:
        """Times the rows' weights; None means 1."""
        if w is None:
            return self
        above = None if self.above is None else w * self.above
        bend_above = None if self.bend_above is None else w * self.bend_above
        return RowTerms(w * self.loss, w * self.d1, w * self.d2, above, bend_above)


def row_terms(
    kind: int, y: jax.Array, eta: jax.Array, sigma2: jax.Array | float, alpha: jax.Array | None
) -> RowTerms:
    """Loss and derivatives of rows; see `mixedfx.families.compiled.row_terms`, which gives the same numbers.

    Parameters
    ----------
    kind
        `Family.compiled_kind`.
    y, eta
        Shape (N,).
    sigma2
        Residual variance.
    alpha
        Thresholds between -inf and +inf, shape (M + 1,); None for families without.
    """
    if kind == CUMULATIVE:
        assert alpha is not None
        category = y.astype(jnp.int32)
        a, c = alpha[category + 1] - eta, alpha[category] - eta
        ta, tc = jnp.exp(-jnp.abs(a)), jnp.exp(-jnp.abs(c))
        ua, uc = 1.0 / (1.0 + ta), 1.0 / (1.0 + tc)
        above = jnp.where(a >= 0.0, ta * ua, ua)  # F(-a)
        below = jnp.where(c >= 0.0, uc, tc * uc)  # F(c)
        fa, fc = ta * ua * ua, tc * uc * uc
        loss = jnp.maximum(-a, 0.0) + jnp.maximum(c, 0.0) + jnp.log1p(ta) + jnp.log1p(tc)
        return RowTerms(loss, above - below, fa + fc, above, fa)
    y = y.astype(eta.dtype)
    if kind == LOGISTIC:
        t = jnp.exp(-jnp.abs(eta))  # at most 1: no overflow, and l'' stays above 0 far out
        upper = 1.0 / (1.0 + t)
        p = jnp.where(eta >= 0.0, upper, t * upper)
        loss = jnp.maximum(eta, 0.0) - y * eta + jnp.log1p(t)
        return RowTerms(loss, p - y, t * upper * upper, None, None)
    if kind == POISSON:
        mean = jnp.exp(eta)
        return RowTerms(mean - y * eta, mean - y, mean, None, None)
    e = eta - y
    return RowTerms(0.5 * e * e / sigma2, e / sigma2, jnp.ones_like(e) / sigma2, None, None)

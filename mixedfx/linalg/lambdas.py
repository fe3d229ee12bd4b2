"""Lambda = blockdiag(I x Lambda_k, I for beta and thresholds): from u, in which the prior is white, to b = Lambda u."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedfx.linalg.layout import RowLayout
from mixedfx.linalg.operator import Parts

Floats = NDArray[np.float64]

WELL_CONDITIONED = 1e-5
"""Smallest ratio of a covariance factor's scaled singular values at which it is inverted."""


@dataclass(frozen=True, eq=False)
class Lambdas:
    """The covariance factors, Sigma_k = Lambda_k Lambda_k', arranged as the layout is.

    Attributes
    ----------
    e
        Of the eliminated factor, shape (q_e, q_e).
    rest
        Of the remaining factors, (q_k, q_k) each.
    """

    layout: RowLayout
    e: Floats
    rest: tuple[Floats, ...]

    @classmethod
    def of(cls, layout: RowLayout, factors: Mapping[str, Floats]) -> Lambdas:
        """From factor name -> Lambda_k."""
        return cls(layout, factors[layout.eliminated.name], tuple(factors[b.name] for b in layout.rest))

    def rest_times(self, v: Floats) -> Floats:
        """Lambda_o v, v (n_rest, m)."""
        return self._rest(v, transpose=False)

    def rest_transpose_times(self, v: Floats) -> Floats:
        """Lambda_o' v, v (n_rest, m)."""
        return self._rest(v, transpose=True)

    def e_times(self, u: Floats) -> Floats:
        """Lambda_e u, u (J_e, q_e, m)."""
        return level_products(self.e, u)

    def e_transpose_times(self, b: Floats) -> Floats:
        """Lambda_e' b, b (J_e, q_e, m)."""
        return level_products(self.e.T, b)

    def times(self, u: Parts) -> Parts:
        """b = Lambda u."""
        return Parts(self.e_times(u.e), self.rest_times(u.rest))

    def transpose_times(self, b: Parts) -> Parts:
        """Lambda' b."""
        return Parts(self.e_transpose_times(b.e), self.rest_transpose_times(b.rest))

    def solved(self, b: Parts) -> Parts | None:
        """u with Lambda u = b; None where a factor's Lambda is singular."""
        inverses = [inverse for inverse in map(inverse_factor, (self.e, *self.rest)) if inverse is not None]
        if len(inverses) <= len(self.rest):
            return None
        return Lambdas(self.layout, inverses[0], tuple(inverses[1:])).times(b)

    def rest_sandwich(self, H: Floats) -> Floats:
        """Lambda_o H Lambda_o' for a full matrix H over the rest without thresholds, in place."""
        for block, factor in zip(self.layout.rest, self.rest, strict=True):
            if block.q == 1:
                H[block.slice] *= factor[0, 0]
                H[:, block.slice] *= factor[0, 0]
                continue
            rows = H[block.slice].reshape(block.n_levels, block.q, -1)
            H[block.slice] = (factor @ rows).reshape(block.stop - block.start, -1)
            columns = H[:, block.slice].reshape(-1, block.n_levels, block.q)
            H[:, block.slice] = (columns @ factor.T).reshape(-1, block.stop - block.start)
        return H

    def by_factor(self, b: Parts) -> dict[str, Floats]:
        """A vector over all coefficients as factor -> (J, q, m)."""
        out = {self.layout.eliminated.name: b.e}
        for block in self.layout.rest:
            shape = (block.n_levels, block.q, b.rest.shape[1])
            out[block.name] = b.rest[block.slice].reshape(shape)
        return out

    def penalty(self, v: Floats) -> Floats:
        """v on the coefficients that have a prior, 0 on beta and thresholds; v (n_rest, m)."""
        out = v.copy()
        out[self.layout.beta_start :] = 0.0
        return out

    def _rest(self, v: Floats, *, transpose: bool) -> Floats:
        out = v.copy()
        for block, factor in zip(self.layout.rest, self.rest, strict=True):
            if block.q == 1:
                out[block.slice] *= factor[0, 0]
                continue
            levels = v[block.slice].reshape(block.n_levels, block.q, v.shape[1])
            image = (factor.T if transpose else factor) @ levels
            out[block.slice] = image.reshape(block.stop - block.start, v.shape[1])
        return out


def inverse_factor(factor: Floats) -> Floats | None:
    """Lambda^-1, or None where it is (nearly) singular."""
    if len(factor) == 1:
        return 1.0 / factor if factor[0, 0] > 0 else None
    scale = np.sqrt(np.einsum("ab,ab->a", factor, factor))
    if not (scale > 0).all():
        return None
    scaled = factor / scale[:, None]
    if np.linalg.svd(scaled, compute_uv=False)[-1] < WELL_CONDITIONED:
        return None
    return np.linalg.inv(scaled) / scale[None, :]


def level_products(blocks: Floats, x: Floats) -> Floats:
    """Each level's own, or one common, block (J or nothing, q, q) times its coefficients (J, q, m)."""
    # As matrices of one entry, a million levels would take ten times as long.
    return blocks * x if x.shape[-2] == 1 else blocks @ x

"""D_o'WD_o by levels: Lambda_o' D_o'WD_o Lambda_o without sparse matrix products, for many Lambdas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from mixedfx.linalg.components import Components
from mixedfx.linalg.lambdas import Lambdas
from mixedfx.linalg.layout import RowLayout

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LevelPairs:
    """Blocks of the lower triangle between the levels of two factors, or of one; beta is a factor of one level.

    Attributes
    ----------
    later, earlier
        Positions of the factors.
    blocks
        Shape (pairs, q_later, q_earlier).
    chosen, address
        Entries of the flattened blocks in the lower triangle, and where `Components` keeps them.
    """

    later: int
    earlier: int
    blocks: Floats
    chosen: NDArray[np.int64]
    address: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class RestProducts:
    """D_o'WD_o over the rest without thresholds, its lower triangle."""

    pairs: Sequence[LevelPairs]

    @classmethod
    def of(cls, rest: csr_array, layout: RowLayout, components: Components) -> RestProducts:
        """From the sparse matrix."""
        starts = [*(b.start for b in layout.rest), layout.beta_start]
        sizes = [*((b.n_levels, b.q) for b in layout.rest), (1, layout.p)]
        pairs = []
        for later, (first, (n, q)) in enumerate(zip(starts, sizes, strict=True)):
            for earlier in range(later + 1):
                other, (n_other, q_other) = starts[earlier], sizes[earlier]
                if not q or not q_other:
                    continue
                own = rest[first : first + n * q, other : other + n_other * q_other].tobsr((q, q_other))
                level = np.repeat(np.arange(n), np.diff(own.indptr))
                i = (first + q * level)[:, None, None] + np.arange(q)[:, None]
                j = (other + q_other * own.indices)[:, None, None] + np.arange(q_other)
                i, j = (x.ravel() for x in np.broadcast_arrays(i, j))
                chosen = np.flatnonzero(i >= j)
                address = components.address(i[chosen], j[chosen])
                pairs.append(LevelPairs(later, earlier, np.asarray(own.data), chosen, address))
        return cls(pairs)

    def add_congruent(self, flat: Floats, lambdas: Lambdas, scale: float) -> None:
        """Add scale Lambda_o' D_o'WD_o Lambda_o to a flat array of `Components`."""
        factors = [*lambdas.rest, np.eye(lambdas.layout.p)]
        for pair in self.pairs:
            blocks = (scale * factors[pair.later].T) @ pair.blocks @ factors[pair.earlier]
            flat[pair.address] += blocks.ravel()[pair.chosen]

"""Which coefficients of a random term may correlate with which."""

from __future__ import annotations

import numpy as np

from mixedfx.predictors import RandomTerm


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

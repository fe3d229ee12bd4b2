"""Numba kernel: union and find over the rows (Tarjan 1975), with path halving."""

from __future__ import annotations

from mixedfx.linalg.rows import inner, kernel


@inner
def _root(node, parent):
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


@kernel
def join(ptr, codes, starts, parent):
    """Join each row's levels in `parent`; factor k's nodes begin at ``starts[k]``, the eliminated factor's at 0."""
    for j in range(ptr.shape[0] - 1):
        root = _root(j, parent)
        for k in range(codes.shape[0]):
            for r in range(ptr[j], ptr[j + 1]):
                other = starts[k] + codes[k, r]
                if parent[other] == root:
                    continue
                other = _root(other, parent)
                if other != root:
                    low, high = min(root, other), max(root, other)
                    parent[high] = low
                    root = low

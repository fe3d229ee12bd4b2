"""Numbers by which fits to the same response and weights are known, whatever the order of the rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mixedfx.design import Design

FINGERPRINTS = {"response_fingerprint": "values of the response", "weights_fingerprint": "weights"}
"""Entries of the ``stats`` of a fit by likelihood, and what they are of."""


def fingerprints(design: Design) -> dict[str, str]:
    """The entries named in `FINGERPRINTS`."""
    weights = design.weights if design.weighted else np.ones(1)
    return {
        "response_fingerprint": _fingerprint(np.asarray(design.y, dtype=np.float64)),
        "weights_fingerprint": _fingerprint(weights),
    }


def _fingerprint(values: NDArray[np.float64]) -> str:
    """A sum of scrambled bits: exact, and the same in any order, which a sum of the numbers themselves is not."""
    bits = (values + 0.0).view(np.uint64)  # 0.0 turns -0.0 into itself
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):  # splitmix64's
        bits = (bits ^ (bits >> np.uint64(shift))) * np.uint64(factor)
    return f"{int((bits ^ (bits >> np.uint64(31))).sum(dtype=np.uint64)):016x}"

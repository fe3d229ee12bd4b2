"""Will it fit? The memory that a solver needs, estimated before it starts."""

from __future__ import annotations

from pathlib import Path

from mixedfx.errors import ResourceError
from mixedfx.linalg.layout import RowLayout
from mixedfx.predictors import Predictors

BYTES_A_ROW = 30
"""Sorted rows, their order, response and curvatures, beside codes and features."""
VECTORS = 40
"""Vectors over all coefficients that are alive at once, several right-hand sides included."""


def needed_bytes(predictors: Predictors) -> int:
    """An upper estimate for fitting, beside the data and the design themselves."""
    terms = predictors.terms
    a_row = BYTES_A_ROW + 4 * len(terms) + 8 * predictors.features.shape[1]
    coefficients = sum(t.grouping.n_levels * t.q * (t.q + VECTORS) for t in terms)
    return predictors.n_rows * a_row + 8 * coefficients


def available_bytes() -> int | None:
    """Memory that can be had without swapping; None where the system does not say (it is Linux that does)."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def check_memory(predictors: Predictors) -> None:
    """Refuse a fit that the memory will not hold, before it starts.

    Raises
    ------
    ResourceError
        With the sizes, and what to do.
    """
    available, needed = available_bytes(), needed_bytes(predictors)
    if available is None or needed <= available:
        return
    largest = max(predictors.terms, key=lambda t: t.grouping.n_levels * t.q)
    raise ResourceError(
        f"{predictors.n_rows:,} rows with {len(predictors.terms)} grouping factors need about "
        f"{needed / 2**30:.1f} GiB, and {available / 2**30:.1f} GiB are free. Use a machine with more memory, fewer "
        f"rows, or fewer coefficients for '{largest.name}' ({largest.grouping.n_levels:,} levels x {largest.q}); "
        "features that are constant within the levels of a factor cost nothing a row"
    )


def check_dense(layout: RowLayout, entries: int, matrices: int) -> None:
    """Refuse a likelihood whose dense matrices over the remaining factors the memory will not hold.

    Parameters
    ----------
    layout
        The rows.
    entries
        Numbers in one of the matrices.
    matrices
        Alive at once while a likelihood is maximised.

    Raises
    ------
    ResourceError
        With the sizes, and what to do.
    """
    available, needed = available_bytes(), 8 * matrices * entries
    if available is None or needed <= available:
        return
    rest = ", ".join(f"{b.n_levels:,} levels x {b.q} of '{b.name}'" for b in layout.rest)
    raise ResourceError(
        f"the exact likelihood needs {matrices} dense matrices over the coefficients of all factors but the "
        f"largest ({rest}), about {needed / 2**30:.1f} GiB, and {available / 2**30:.1f} GiB are free. Learn the "
        "covariances on part of the rows, as with subsample=mixedfx.Subsample(n_rows=100_000)"
    )

"""Covariance entries of stage 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mixedfx.checks.compare import Comparison


def plot_covariances(comparison: Comparison) -> Figure:
    """Covariances of stage 1 with 90 % intervals."""
    from matplotlib.figure import Figure

    frame = comparison.covariance.standard_errors
    figure = Figure(figsize=(6, 0.5 * len(frame) + 1), layout="constrained")
    axes = figure.subplots()
    labels = [
        " ".join(str(v) for v in (r.grp, r.var1, r.var2) if isinstance(v, str)) for r in frame.itertuples()
    ]
    axes.errorbar(frame["vcov"], range(len(frame)), xerr=1.645 * frame["se"].fillna(0.0), fmt="o")
    axes.set_yticks(range(len(frame)), labels)
    axes.invert_yaxis()
    axes.set_xlabel("variance or covariance")
    return figure

"""Fixed effects of the stages, on one scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import norm

from mixedfx.checks.plots.style import GRID, INK, MARKER2, STAGE2, labels, named_ticks, panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mixedfx.checks.compare import Comparison

INTERVAL = 0.9


def plot_fixed_effects(comparison: Comparison) -> Figure:
    """See `mixedfx.checks.compare.Comparison.plot_fixed_effects`."""
    table = comparison.fixed_effects.dropna(subset=["z"])
    figure, (axes,) = panels(1, 1, 5.5, 0.9 + 0.26 * max(len(table), 1))
    at = np.arange(len(table))
    chance = norm.ppf(0.5 + INTERVAL / 2) * (table["error"] / table["se1"]).to_numpy()
    axes.barh(at, 2 * chance, left=-chance, height=0.6, color=GRID)
    axes.axvline(0.0, color=INK, linewidth=0.8)
    axes.plot(table["in_se"].to_numpy(), at, MARKER2, color=STAGE2, markeredgecolor=INK, markersize=6)
    named_ticks(axes.yaxis, at, list(table.index))
    axes.set_ylim(len(table) - 0.4, -0.6)
    axes.use_sticky_edges = False  # else bars that reach furthest would touch the frame
    axes.autoscale(axis="x")
    labels(axes, "stage 2 less stage 1, in standard errors of stage 1")
    return figure

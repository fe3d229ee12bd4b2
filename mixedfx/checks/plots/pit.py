"""Ranks of stage 2's draws in stage 1's distributions (PIT), with the simultaneous band of a uniform distribution."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mixedfx.checks.levels import PROBABILITIES, CoefficientLevels
from mixedfx.checks.plots.style import GRID, INK, SMALL, STAGE2, labels, message, panels, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mixedfx.checks.compare import Comparison

BAND = 0.95
SIMULATIONS = 500
MOST_SIMULATED = 1000
"""The band of more levels is that of so many, drawn together as sqrt(levels): simulating it would take long."""


def plot_pit(comparison: Comparison) -> Figure:
    """See `mixedfx.checks.compare.Comparison.plot_pit`."""
    shown = [c for c in comparison.levels if c.pit is not None and np.isfinite(c.pit).all()]
    if not shown:
        return message("Stage 1 has no distribution of its levels to compare with.")
    figure, axes = panels(len(shown), 3, 3.0, 2.3)
    for panel, levels in zip(axes, shown, strict=True):
        _panel(panel, levels)
    return figure


def _panel(axes: Axes, levels: CoefficientLevels) -> None:
    assert levels.pit is not None
    lower, upper = uniform_band(levels.pit_levels)
    axes.fill_between(PROBABILITIES, lower, upper, color=GRID, linewidth=0)
    axes.axhline(0.0, color=INK, linewidth=0.8)
    axes.plot(PROBABILITIES, levels.pit - PROBABILITIES, color=STAGE2, linewidth=2.0)
    reach = 1.15 * max(float(np.abs(levels.pit - PROBABILITIES).max()), float(upper.max()))
    axes.set(xlim=(0, 1), ylim=(-reach, reach))
    title(axes, f"{levels.factor}: {levels.coefficient}")
    axes.text(
        0.03,
        0.97,
        f"{levels.pit_levels:,} levels",
        transform=axes.transAxes,
        va="top",
        fontsize=SMALL,
        color=INK,
    )
    labels(axes, "probability of stage 1's quantile", "share below − probability")


def uniform_band(n_levels: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ends of the simultaneous band of (ECDF - probability) at `PROBABILITIES` for n uniform values."""
    from arviz_stats.ecdf_utils import get_pointwise_confidence_band, simulate_confidence_bands

    n = min(n_levels, MOST_SIMULATED)
    rng = np.random.default_rng(0)
    pointwise = simulate_confidence_bands(n, 1, PROBABILITIES, BAND, SIMULATIONS, rng)
    ends = get_pointwise_confidence_band(pointwise, n, PROBABILITIES)
    shrunk = np.sqrt(n / n_levels)
    return (ends[0] - PROBABILITIES) * shrunk, (ends[1] - PROBABILITIES) * shrunk

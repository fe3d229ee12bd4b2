"""How much the rows of a level tell of its coefficients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mixedfx.checks.levels import CoefficientLevels
from mixedfx.checks.plots.counts import count_axis
from mixedfx.checks.plots.style import (
    INK,
    MANY,
    MARKER1,
    MARKER2,
    SMALL,
    STAGE1,
    STAGE2,
    labels,
    message,
    panels,
    title,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mixedfx.checks.compare import Comparison


def plot_shrinkage(comparison: Comparison) -> Figure:
    """See `mixedfx.checks.compare.Comparison.plot_shrinkage`."""
    shown = [c for c in comparison.levels if c.sd_random > 0 and np.isfinite(c.table["sd2"].to_numpy()).any()]
    if not shown:
        return message("No level has a standard deviation.")
    figure, axes = panels(len(shown), 3, 3.0, 2.5, extra=0.3)
    for panel, levels in zip(axes, shown, strict=True):
        _panel(panel, levels)
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=2, fontsize=SMALL, frameon=False)
    return figure


def _panel(axes: Axes, levels: CoefficientLevels) -> None:
    table = levels.table
    if len(table) > MANY:
        table = table.sample(MANY, random_state=0)
    for number, colour, marker in ((2, STAGE2, MARKER2), (1, STAGE1, MARKER1)):
        explained = 1 - (table[f"sd{number}"] / levels.sd_random) ** 2
        axes.plot(
            table[f"rows{number}"],
            np.clip(explained, 0.0, 1.0),
            marker,
            markersize=4 if number == 1 else 5,
            color=colour,
            markeredgecolor=INK,
            markeredgewidth=0.3,
            alpha=0.8,
            label=f"stage {number}",
        )
    rows = np.concatenate([table["rows1"].to_numpy(dtype=float), table["rows2"].to_numpy(dtype=float)])
    count_axis(axes, rows[np.isfinite(rows)])
    axes.set_ylim(-0.03, 1.03)
    title(axes, f"{levels.factor}: {levels.coefficient}")
    labels(axes, "rows of the level", "1 − V / Σ")

"""How much the rows of a level tell of its coefficients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mixedfx.checks.levels import CoefficientLevels
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
    """1 - V / Sigma of levels against their rows, in both stages; a panel a coefficient.

    V is a level's posterior variance: at 0 it is shrunk all the way to the mean, at 1 not at all.
    """
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
    _counts(axes, rows[np.isfinite(rows)])
    axes.set_ylim(-0.03, 1.03)
    title(axes, f"{levels.factor}: {levels.coefficient}")
    labels(axes, "rows of the level", "1 − V / Σ")


def _counts(axes: Axes, rows: np.ndarray) -> None:
    """Counts on a log scale with plain numbers, or a linear one where they differ by less than a factor of 4."""
    if rows.max() < 4 * rows.min():
        axes.set_xlim(left=0)
        return
    axes.set_xscale("log")
    decades = np.log10(rows.max() / rows.min())
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if decades < 2 else (1.0,)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda count, _: _short(count)))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _short(count: float) -> str:
    """500, 20k, 3M: five decades of plain numbers would run into each other."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if count >= 10 * size or count == size:
            return f"{count / size:g}{letter}"
    return f"{count:g}"

"""What the data look like beside data that the fit would give."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mixedfx.checks.plots.style import (
    GRID,
    INK,
    MARKER2,
    SMALL,
    STAGE2,
    labels,
    message,
    named_ticks,
    panels,
    title,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mixedfx.checks.compare import Comparison
    from mixedfx.checks.predictive import Predictive

HEADINGS = {"categories": "categories", "calibration": "calibration", "residuals": "residuals"}
MOST_NAMED = 16
MOST_LETTERS = 60
"""Side by side: more categories, or longer names, are written at an angle."""


def plot_predictive(comparison: Comparison) -> Figure:
    """See `mixedfx.checks.compare.Comparison.plot_predictive`."""
    if isinstance(comparison.predictive, str):
        return message(f"No predictive check: {comparison.predictive}.")
    found = comparison.predictive
    figure, axes = panels(len(found), 2, 4.2, 2.9, extra=0.3)
    draw = {"categories": _categories, "calibration": _calibration, "residuals": _residuals}
    for panel, each in zip(axes, found, strict=True):
        draw[each.kind](panel, each)
        title(panel, HEADINGS[each.kind])
    _legend(figure)
    return figure


def _categories(axes: Axes, found: Predictive) -> None:
    table = found.table
    at = np.arange(len(table))
    height = (table["upper"] - table["lower"]).to_numpy()
    axes.bar(at, table["expected"], width=0.8, color="white", edgecolor=INK, linewidth=0.6, zorder=1)
    axes.bar(
        at, height, bottom=table["lower"], width=0.8, color=GRID, edgecolor="#999999", linewidth=0.5, zorder=2
    )
    axes.plot(at, table["observed"], MARKER2, color=STAGE2, markeredgecolor=INK, markersize=7, zorder=3)
    names = [str(label).replace(" or more", "+") for label in table["at"]]
    named_ticks(axes.xaxis, at, names)
    if len(names) > MOST_NAMED or max(map(len, names)) * len(names) > MOST_LETTERS:
        axes.tick_params(axis="x", labelrotation=45)
    axes.set_ylim(bottom=0)
    labels(axes, "response", "share of the rows")


def _calibration(axes: Axes, found: Predictive) -> None:
    table = found.table.dropna()
    x = table["at"].to_numpy(dtype=float)
    axes.fill_between(x, table["lower"], table["upper"], color=GRID, linewidth=0)
    low, high = min(x.min(), table["observed"].min()), max(x.max(), table["observed"].max())
    axes.plot([low, high], [low, high], color=INK, linewidth=0.8)
    axes.plot(x, table["observed"], MARKER2, color=STAGE2, markeredgecolor=INK, markersize=7, zorder=3)
    labels(axes, f"{found.of}, predicted", f"{found.of}, observed")


def _residuals(axes: Axes, found: Predictive) -> None:
    table = found.table
    x = table["at"].to_numpy(dtype=float)
    axes.fill_between(x, table["lower"] - x, table["upper"] - x, color=GRID, linewidth=0)
    axes.axhline(0.0, color=INK, linewidth=0.8)
    shown = np.unique(np.append(np.arange(0, len(x), 7), len(x) - 1))
    off = table["observed"].to_numpy() - x
    axes.plot(x, off, color=STAGE2, linewidth=1.2)
    axes.plot(x[shown], off[shown], MARKER2, color=STAGE2, markeredgecolor=INK, markersize=5)
    reach = 1.2 * max(float(np.abs(off).max()), 0.1)
    axes.set_ylim(-reach, reach)
    labels(axes, "normal quantile", "quantile of residuals − normal")


def _legend(figure: Figure) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    mark = Line2D(
        [],
        [],
        color=STAGE2,
        marker=MARKER2,
        markeredgecolor=INK,
        markersize=6,
        linestyle="none",
        label="data",
    )
    handles = [mark, Patch(color=GRID, label="90 % of data from the fit")]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=SMALL, frameon=False)

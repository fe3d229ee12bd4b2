"""Conditional modes of stage 2 against those of stage 1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mixedfx.checks.agreement import slope
from mixedfx.checks.levels import CoefficientLevels
from mixedfx.checks.plots.style import INK, MANY, SEQUENTIAL, SMALL, labels, message, panels, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mixedfx.checks.compare import Comparison


def plot_stages(comparison: Comparison) -> Figure:
    """See `mixedfx.checks.compare.Comparison.plot_stages`."""
    shown = [levels for levels in comparison.levels if len(levels.table) > 0]
    if not shown:
        return message("The stages have no level in common.")
    figure, axes = panels(len(shown), 3, 3.0, 3.0, square=True)
    drawn = [_panel(panel, levels) for panel, levels in zip(axes, shown, strict=True)]
    coloured = [points for points in drawn if points is not None]
    if coloured:
        bar = figure.colorbar(coloured[0], ax=axes, shrink=0.8, aspect=30, pad=0.02)
        text = "1 − V / Σ in stage 2\n(0: shrunk to the mean, 1: not at all)"
        bar.set_label(text, fontsize=SMALL, color=INK)
        bar.ax.tick_params(labelsize=SMALL, colors=INK)
    return figure


def _panel(axes: Axes, levels: CoefficientLevels) -> Any:
    table = levels.table
    x, y = table["mode1"].to_numpy(), table["mode2"].to_numpy()
    limit = 1.05 * max(float(np.abs(x).max()), float(np.abs(y).max()), 1e-12)
    drawn, shading, dense = None, "", len(table) > MANY
    if dense:
        _density(axes, x, y, limit)
        shading = " (darker: more)"
    else:
        drawn = _points(axes, x, y, _explained(levels))
    _line(axes, np.array([-limit, limit]), np.array([-limit, limit]), "-", edged=dense)
    text = f"{len(table):,} levels{shading}"
    if len(table) > 2 and np.ptp(x) > 0:
        fitted = slope(x, y)
        ends = np.array([x.min(), x.max()])
        _line(axes, ends, y.mean() + fitted.value * (ends - x.mean()), (0, (4, 3)), edged=dense)
        text = f"slope {fitted.value:.2f} (se {fitted.error:.1g})\n{text}"
    axes.text(0.03, 0.97, text, transform=axes.transAxes, va="top", fontsize=SMALL, color=INK)
    axes.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
    axes.locator_params(nbins=5)
    title(axes, f"{levels.factor}: {levels.coefficient}")
    labels(axes, "stage 1, conditional mode", "stage 2, conditional mode")
    return drawn


def _density(axes: Axes, x: np.ndarray, y: np.ndarray, limit: float) -> None:
    extent = (-limit, limit, -limit, limit)
    axes.hexbin(x, y, gridsize=45, bins="log", cmap="Greys", mincnt=1, extent=extent, linewidths=0.1)


def _line(axes: Axes, x: np.ndarray, y: np.ndarray, style: Any, *, edged: bool) -> None:
    """Dark; on a density, which may be as dark, with a light edge, which would hide points."""
    from matplotlib.patheffects import Normal, Stroke

    (line,) = axes.plot(x, y, color=INK, linewidth=1.0, linestyle=style, zorder=4)
    if edged:
        line.set_path_effects([Stroke(linewidth=2.5, foreground="white"), Normal()])


def _points(axes: Axes, x: np.ndarray, y: np.ndarray, explained: np.ndarray | None) -> Any:
    style = {"s": 16, "edgecolors": INK, "linewidths": 0.3, "zorder": 3}
    if explained is None:
        axes.scatter(x, y, c="white", **style)
        return None
    return axes.scatter(x, y, c=explained, cmap=SEQUENTIAL, vmin=0, vmax=1, **style)


def _explained(levels: CoefficientLevels) -> np.ndarray | None:
    """1 - V2 / Sigma of each level, None where not all are known."""
    sd2 = levels.table["sd2"].to_numpy()
    if levels.sd_random == 0 or np.isnan(sd2).any():
        return None
    return np.clip(1 - (sd2 / levels.sd_random) ** 2, 0.0, 1.0)

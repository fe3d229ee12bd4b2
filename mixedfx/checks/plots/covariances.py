"""Sigma entry by entry: stage 1, what was frozen, and all rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import gaussian_kde, norm

from mixedfx.checks.plots.style import INK, MARKER1, MARKER2, SMALL, STAGE1, STAGE2, labels, panels, title
from mixedfx.checks.posterior import entry_draws
from mixedfx.varcorr import RESIDUAL

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mixedfx.checks.compare import Comparison

INTERVAL = 0.9
SHOWN_DRAWS = 4000


def plot_covariances(comparison: Comparison) -> Figure:
    """See `mixedfx.checks.compare.Comparison.plot_covariances`."""
    entries = comparison.covariances.to_dict("records")
    figure, axes = panels(len(entries), 4, 2.6, 1.55, extra=0.35)
    for panel, entry in zip(axes, entries, strict=True):
        _panel(panel, entry, entry_draws(comparison.covariance, entry["grp"], entry["var1"], entry["var2"]))
    _legend(figure, comparison)
    return figure


def _panel(axes: Axes, entry: dict[str, Any], draws: np.ndarray | None) -> None:
    half = norm.ppf(0.5 + INTERVAL / 2)
    interval = _clipped(entry, entry["stage1"] + np.array([-half, half]) * entry["se1"])
    if draws is not None:
        interval = np.quantile(draws, [0.5 - INTERVAL / 2, 0.5 + INTERVAL / 2])
        _density(axes, draws.ravel())
    axes.axvline(entry["frozen"], color=INK, linewidth=0.8, zorder=0)
    _estimate(axes, 1.0, entry["stage1"], interval, STAGE1, MARKER1)
    if np.isfinite(entry["full"]):
        full = _clipped(entry, entry["full"] + np.array([-half, half]) * entry["se_full"])
        _estimate(axes, 0.0, entry["full"], full, STAGE2, MARKER2)
    axes.set_ylim(-0.6, 2.2 if draws is not None else 1.6)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.locator_params(axis="x", nbins=4)
    title(axes, entry_title(entry))
    labels(axes, "covariance" if isinstance(entry["var2"], str) else "variance")


def _clipped(entry: dict[str, Any], interval: np.ndarray) -> np.ndarray:
    """A variance's interval ends at 0."""
    return interval if isinstance(entry["var2"], str) else np.maximum(interval, 0.0)


def _estimate(
    axes: Axes, height: float, value: float, interval: np.ndarray, colour: str, marker: str
) -> None:
    if np.isfinite(interval).all():
        axes.plot(interval, [height, height], color=colour, linewidth=2.2, solid_capstyle="butt")
    axes.plot(
        [value], [height], marker=marker, color=colour, markeredgecolor=INK, markersize=6, linestyle="none"
    )


def _density(axes: Axes, draws: np.ndarray) -> None:
    """On top of stage 1's interval, cut at the central 99.8 % so that a long tail does not squeeze the rest."""
    if np.ptp(draws) == 0:
        return
    low, high = np.quantile(draws, [0.001, 0.999])
    x = np.linspace(low, high, 200)
    density = gaussian_kde(draws[:: max(1, len(draws) // SHOWN_DRAWS)])(x)
    axes.fill_between(x, 1.0, 1.0 + density / density.max(), color=STAGE1, alpha=0.25, linewidth=0)


def entry_title(entry: dict[str, Any]) -> str:
    """Factor and coefficients of an entry of Sigma."""
    if entry["grp"] == RESIDUAL:
        return "Residual"
    second = f", {entry['var2']}" if isinstance(entry["var2"], str) else ""
    return f"{entry['grp']}: {entry['var1']}{second}"


def _legend(figure: Figure, comparison: Comparison) -> None:
    from matplotlib.lines import Line2D

    style = {"linewidth": 2.2, "markeredgecolor": INK, "markersize": 6}
    handles = [
        Line2D(
            [],
            [],
            color=STAGE1,
            marker=MARKER1,
            label=f"stage 1 ({comparison.covariance.method.upper()})",
            **style,
        )
    ]
    if not isinstance(comparison.full_data, str):
        name = f"all rows ({comparison.full_data.source})"
        handles.append(Line2D([], [], color=STAGE2, marker=MARKER2, label=name, **style))
    handles.append(Line2D([], [], color=INK, linewidth=0.8, label="frozen"))
    figure.legend(
        handles=handles, loc="outside lower center", ncols=len(handles), fontsize=SMALL, frameon=False
    )

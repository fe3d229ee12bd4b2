"""Caterpillar plots: conditional modes of all levels in order, with intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from mixedfx.checks.plots.style import GRID, INK, MARKER2, STAGE2, labels, named_ticks, panels, title
from mixedfx.checks.stage_normal import StageNormal, stage_two_normal
from mixedfx.frames import column

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mixedfx.checks.compare import Comparison

INTERVAL = 0.9
MOST_NAMED = 30
"""Up to so many levels each has a line with its name."""
MOST_INTERVALS = 100
"""Of more levels these, evenly spaced in their order, show their intervals."""
LONGEST_NAME = 18


def plot_ranef(comparison: Comparison) -> Figure:
    """See `mixedfx.checks.compare.Comparison.plot_ranef`."""
    coef, stage = comparison.coefficients, stage_two_normal(comparison.coefficients)
    shown = [(factor, str(name)) for factor, modes in coef.ranef.items() for name in modes.columns]
    tallest = (
        max(len(modes) for modes in coef.ranef.values() if len(modes) <= MOST_NAMED)
        if _any_few(coef.ranef)
        else 0
    )
    figure, axes = panels(len(shown), 2, 4.2, max(2.6, 0.8 + 0.17 * tallest))
    for panel, (factor, name) in zip(axes, shown, strict=True):
        modes = column(coef.ranef[factor], name)
        spread = float(
            np.sqrt(coef.varcorr.block(factor).matrix.diagonal()[list(coef.ranef[factor]).index(name)])
        )
        draw = _named if len(modes) <= MOST_NAMED else _ordered
        draw(
            panel,
            modes,
            _half(stage, factor, name, coef.ranef[factor]),
            float(norm.ppf(0.5 + INTERVAL / 2)) * spread,
        )
        title(panel, f"{factor}: {name}")
    return figure


def _any_few(ranef: dict[str, pd.DataFrame]) -> bool:
    return any(len(modes) <= MOST_NAMED for modes in ranef.values())


def _half(stage: StageNormal, factor: str, name: str, modes: pd.DataFrame) -> pd.Series:
    """Half widths of the intervals of the levels that show one."""
    order = np.argsort(modes[name].to_numpy(), kind="stable")
    at = np.unique(np.linspace(0, len(order) - 1, min(len(order), MOST_INTERVALS)).round().astype(int))
    levels = modes.index[order[at]]
    i = list(modes.columns).index(name)
    sd = np.sqrt(stage.covariances(factor, levels)[:, i, i])
    return pd.Series(norm.ppf(0.5 + INTERVAL / 2) * sd, index=levels)


def _named(axes: Axes, modes: pd.Series, half: pd.Series, reach: float) -> None:
    """Levels one below the other."""
    ordered = modes.sort_values(kind="stable")
    at = np.arange(len(ordered))
    axes.errorbar(
        ordered.to_numpy(),
        at,
        xerr=half.reindex(ordered.index).to_numpy(),
        fmt="none",
        ecolor=STAGE2,
        elinewidth=2.0,
    )
    axes.plot(ordered.to_numpy(), at, MARKER2, color=STAGE2, markeredgecolor=INK, markersize=5)
    axes.axvline(0.0, color=INK, linewidth=0.8)
    for end in (-reach, reach):
        axes.axvline(end, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
    names = [str(level) for level in ordered.index]
    short = [n if len(n) <= LONGEST_NAME else f"{n[: LONGEST_NAME - 1]}…" for n in names]
    named_ticks(axes.yaxis, at, short)
    axes.set_ylim(-0.7, len(at) - 0.3)
    labels(axes, "conditional mode")


def _ordered(axes: Axes, modes: pd.Series, half: pd.Series, reach: float) -> None:
    """Levels from the left to the right, as a line; intervals of some."""
    values = np.sort(modes.to_numpy())
    rank = np.linspace(0, 1, len(values)) * (len(values) - 1) + 1
    thin = _thin(len(values))
    some = modes.reindex(half.index).to_numpy()
    place = 1 + np.searchsorted(values, some)
    axes.errorbar(place, some, yerr=half.to_numpy(), fmt="none", ecolor=STAGE2, elinewidth=1.2, alpha=0.9)
    axes.plot(rank[thin], values[thin], color=INK, linewidth=1.6)
    axes.axhline(0.0, color=INK, linewidth=0.8)
    for end in (-reach, reach):
        axes.axhline(end, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
    axes.grid(axis="y", color=GRID, linewidth=0.5)
    axes.set_axisbelow(True)
    axes.set_xlim(1 - 0.02 * len(values), 1.02 * len(values))
    axes.locator_params(axis="x", nbins=5)
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}")
    labels(axes, "level, from the lowest", "conditional mode")


def _thin(n: int) -> NDArray[np.int64]:
    """At most 2,000 positions: a line of millions of points would be drawn for nothing."""
    return np.unique(np.linspace(0, n - 1, min(n, 2000)).round().astype(np.int64))

"""How many rows the levels have: in stage 1's sample and in all data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mixedfx.checks.plots.counts import count_axis
from mixedfx.checks.plots.style import SMALL, STAGE1, STAGE2, labels, panels, title
from mixedfx.checks.stage_normal import random_terms

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mixedfx.checks.compare import Comparison

POINTS = 300
"""Where curves of many levels are drawn."""


def plot_activity(comparison: Comparison) -> Figure:
    """See `mixedfx.checks.compare.Comparison.plot_activity`."""
    layout = comparison.coefficients.mixture.components[0].normal.elimination.operator.layout
    terms = random_terms(comparison.coefficients, layout)
    figure, axes = panels(len(terms), 3, 3.0, 2.4, extra=0.3)
    for panel, (factor, term) in zip(axes, terms.items(), strict=True):
        counts, first = term.grouping.counts(), _first_counts(comparison, factor)
        _curve(panel, counts, STAGE2, "-", "stage 2")
        _curve(panel, first, STAGE1, (0, (4, 2)), "stage 1, levels of both")
        count_axis(panel, np.concatenate([counts.astype(float), first]))
        panel.set_ylim(0, 1.03)
        title(panel, factor)
        labels(panel, "rows of a level", "share of levels with as many")
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=2, fontsize=SMALL, frameon=False)
    return figure


def _first_counts(comparison: Comparison, factor: str) -> NDArray[np.float64]:
    for levels in comparison.levels:
        if levels.factor == factor:
            rows = levels.table["rows1"].to_numpy(dtype=float)
            return rows[np.isfinite(rows)]
    return np.zeros(0)


def _curve(
    axes: Axes, counts: NDArray[np.float64] | NDArray[np.int64], colour: str, style: object, label: str
) -> None:
    """Share of levels with at least so many rows, as steps."""
    if not len(counts):
        axes.plot([], [], color=colour, linestyle=style, label=label)
        return
    values, times = np.unique(np.append(counts, 0), return_counts=True)
    times[0] -= 1  # from 0 on, where all levels have as many
    share = np.cumsum(times[::-1])[::-1] / len(counts)
    if len(values) > POINTS:
        kept = np.unique(np.linspace(0, len(values) - 1, POINTS).astype(int))
        values, share = values[kept], share[kept]
    axes.step(
        np.append(values, values[-1]),
        np.append(share, 0.0),
        where="pre",
        color=colour,
        linestyle=style,
        linewidth=1.8,
        label=label,
    )

"""Correlated coefficients of a factor: ellipses of Sigma, and the conditional modes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from mixedfx.checks.plots.style import INK, MANY, SMALL, STAGE1, STAGE2, labels, message, panels, title
from mixedfx.checks.posterior import sigma_draws
from mixedfx.varcorr import free_covariances

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mixedfx.checks.compare import Comparison

Floats = NDArray[np.float64]

INSIDE = 0.9
SHOWN_DRAWS = 30


def plot_correlations(comparison: Comparison) -> Figure:
    """See `mixedfx.checks.compare.Comparison.plot_correlations`."""
    pairs = list(_pairs(comparison))
    if not pairs:
        return message("No factor has two coefficients whose covariance is in the model.")
    figure, axes = panels(len(pairs), 3, 3.0, 3.0, extra=0.3)
    for panel, (factor, a, b) in zip(axes, pairs, strict=True):
        _panel(panel, comparison, factor, a, b)
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=3, fontsize=SMALL, frameon=False)
    return figure


def _pairs(comparison: Comparison) -> Iterator[tuple[str, int, int]]:
    for block in comparison.coefficients.varcorr.blocks:
        for a, b in free_covariances(block.free):
            yield block.factor, a, b


def _panel(axes: Axes, comparison: Comparison, factor: str, a: int, b: int) -> None:
    names = comparison.coefficients.varcorr.block(factor).names
    modes = comparison.coefficients.ranef[factor].to_numpy()
    if len(modes) > MANY:
        axes.hexbin(modes[:, a], modes[:, b], gridsize=40, bins="log", cmap="Greys", mincnt=1, linewidths=0.1)
    else:
        axes.plot(modes[:, a], modes[:, b], "o", color="#AAAAAA", markersize=2.5, zorder=1, markeredgewidth=0)
    pair = [str(names[a]), str(names[b])]
    draws = sigma_draws(comparison.covariance, factor)
    if draws is not None:
        for matrix in draws[:: max(1, len(draws) // SHOWN_DRAWS)]:
            _ellipse(axes, matrix[np.ix_([a, b], [a, b])], color=STAGE1, linewidth=0.4, alpha=0.5, zorder=2)
    first = comparison.covariance.varcorr[factor].loc[pair, pair].to_numpy()
    _ellipse(axes, first, color=STAGE1, linewidth=2.2, zorder=4, label="stage 1")
    if not isinstance(comparison.full_data, str):
        full = comparison.full_data.varcorr[factor].loc[pair, pair].to_numpy()
        style = {"linestyle": (0, (4, 2)), "linewidth": 2.2}
        _ellipse(axes, full, color=INK, zorder=5.5, **(style | {"linewidth": 3.2}))
        _ellipse(axes, full, color=STAGE2, zorder=6, label="all rows", **style)
    axes.axhline(0.0, color=INK, linewidth=0.5, zorder=0)
    axes.axvline(0.0, color=INK, linewidth=0.5, zorder=0)
    axes.locator_params(nbins=5)
    title(axes, f"{factor}: correlation {_correlation(first):.2f}")
    labels(axes, pair[0], pair[1])


def _ellipse(axes: Axes, matrix: Floats, **style: Any) -> None:
    """Where 90 % of N(0, matrix) lie."""
    values, vectors = np.linalg.eigh(matrix)
    angle = np.linspace(0, 2 * np.pi, 200)
    circle = np.sqrt(chi2.ppf(INSIDE, 2)) * np.stack([np.cos(angle), np.sin(angle)])
    x, y = (vectors * np.sqrt(np.maximum(values, 0.0))) @ circle
    axes.plot(x, y, **style)


def _correlation(matrix: Floats) -> float:
    scale = float(np.sqrt(matrix[0, 0] * matrix[1, 1]))
    return matrix[0, 1] / scale if scale > 0 else float("nan")

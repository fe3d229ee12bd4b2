"""Trace and rank plots of stage 1's chains."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from mixedfx.checks.plots.covariances import entry_title
from mixedfx.checks.plots.style import INK, SMALL, labels, message, panels, title
from mixedfx.checks.posterior import diagnostics, entry_draws

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mixedfx.checks.compare import Comparison

CHAINS = ("#0072B2", "#E69F00", "#222222", "#CC79A7", "#56B4E9", "#009E73")
"""Okabe & Ito's, ordered by how far apart they are in lightness."""
STYLES = ("-", (0, (4, 1)), (0, (1, 1)), (0, (6, 1, 1, 1)))
MOST_POINTS = 400
RANK_BINS = 20
MOST_ENTRIES = 12


def plot_traces(comparison: Comparison) -> Figure:
    """See `mixedfx.checks.compare.Comparison.plot_traces`."""
    table = diagnostics(comparison.covariance, comparison.covariances)
    if table.empty:
        return message("Stage 1 has no draws.")
    shown = table.sort_values("r_hat", ascending=False, kind="stable").head(MOST_ENTRIES)
    entries = comparison.covariances.loc[shown.index].to_dict("records")
    figure, axes = panels(2 * len(entries), 2 if len(entries) < 4 else 4, 2.9, 1.6)
    for entry, (trace, rank), r_hat in zip(
        entries, zip(axes[::2], axes[1::2], strict=True), shown["r_hat"], strict=True
    ):
        draws = entry_draws(comparison.covariance, entry["grp"], entry["var1"], entry["var2"])
        assert draws is not None  # it has diagnostics
        _trace(trace, draws)
        title(trace, entry_title(entry))
        _ranks(rank, draws)
        title(rank, f"ranks (R-hat {r_hat:.3f})")
    return figure


def _trace(axes: Axes, draws: NDArray[np.float64]) -> None:
    step = max(1, draws.shape[1] // MOST_POINTS)
    at = np.arange(0, draws.shape[1], step)
    for i, chain in enumerate(draws):
        axes.plot(at, chain[::step], color=CHAINS[i % len(CHAINS)], linewidth=0.6, alpha=0.9)
    axes.locator_params(nbins=4)
    labels(axes, "draw", "value")


def _ranks(axes: Axes, draws: NDArray[np.float64]) -> None:
    ranks = rankdata(draws).reshape(draws.shape)
    bins = np.linspace(0, draws.size, min(RANK_BINS, max(2, draws.shape[1] // 10)) + 1)
    expected = draws.shape[1] / (len(bins) - 1)
    for i, chain in enumerate(ranks):
        counts = np.histogram(chain, bins)[0] / expected
        axes.stairs(
            counts,
            bins,
            color=CHAINS[i % len(CHAINS)],
            linestyle=STYLES[i % len(STYLES)],
            linewidth=1.2,
            baseline=None,
        )
    axes.axhline(1.0, color=INK, linewidth=0.8)
    axes.set_ylim(bottom=0)
    axes.locator_params(axis="x", nbins=4)
    axes.tick_params(labelsize=SMALL)
    labels(axes, "rank among all draws", "share / expected")

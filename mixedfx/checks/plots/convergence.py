"""How both stages converged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mixedfx.checks.plots.style import (
    INK,
    MARKER1,
    MARKER2,
    SMALL,
    STAGE1,
    STAGE2,
    labels,
    named_ticks,
    panels,
    title,
)
from mixedfx.checks.posterior import diagnostics
from mixedfx.varcorr import RESIDUAL

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mixedfx.checks.compare import Comparison
    from mixedfx.coefficients.result import CoefficientsResult


def plot_convergence(comparison: Comparison) -> Figure:
    """See `mixedfx.checks.compare.Comparison.plot_convergence`."""
    chains = diagnostics(comparison.covariance, comparison.covariances)
    height = 2.8 if chains.empty else max(2.8, 0.9 + 0.22 * len(chains))
    figure, axes = panels(2 if chains.empty else 4, 2, 3.6, height)
    _gradient(axes[0], comparison.coefficients)
    _cg_iterations(axes[1], comparison.coefficients)
    if not chains.empty:
        names = [_name(entry) for entry in comparison.covariances.loc[chains.index].to_dict("records")]
        ess, r_hat = chains["ess_bulk"].to_numpy(), chains["r_hat"].to_numpy()
        limits = comparison.thresholds
        _chains(axes[2], names, ess, limits.ess[0], "effective size", "bulk effective size of the draws")
        _chains(axes[3], names, r_hat, limits.rhat[0], "R-hat", "R-hat")
        axes[2].set_xlim(left=0)
        axes[3].set_yticklabels([])
    return figure


def _gradient(axes: Axes, coef: CoefficientsResult) -> None:
    norms = [step.grad_norm for step in coef.stats["history"]] + [coef.stats["grad_norm"]]
    axes.semilogy(range(len(norms)), norms, color=STAGE2, marker=MARKER2, markeredgecolor=INK, markersize=5)
    axes.axhline(coef.tol, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
    axes.annotate(
        "tolerance",
        (0.0, coef.tol),
        xycoords=("axes fraction", "data"),
        xytext=(3, 2),
        textcoords="offset points",
        ha="left",
        va="bottom",
        fontsize=SMALL,
        color=INK,
    )
    _whole_steps(axes)
    title(axes, "stage 2: gradient")
    labels(axes, "Newton steps taken", "largest scaled gradient")


def _cg_iterations(axes: Axes, coef: CoefficientsResult) -> None:
    from matplotlib.ticker import MaxNLocator

    counts = [step.cg_iterations for step in coef.stats["history"]]
    axes.bar(range(1, len(counts) + 1), counts, color=STAGE2, edgecolor=INK, linewidth=0.5, width=0.6)
    _whole_steps(axes)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlim=(0.4, max(len(counts), 2) + 0.6), ylim=(0, 1.05 * max(counts, default=0) or 1))
    title(axes, "stage 2: linear solves")
    labels(axes, "Newton step", "conjugate-gradient iterations")


def _chains(axes: Axes, names: list[str], values: np.ndarray, limit: float, heading: str, what: str) -> None:
    at = np.arange(len(values))
    axes.plot(values, at, MARKER1, color=STAGE1, markeredgecolor=INK, markersize=5)
    axes.axvline(limit, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
    named_ticks(axes.yaxis, at, names)
    axes.set_ylim(len(values) - 0.5, -0.5)
    title(axes, f"stage 1: {heading}")
    labels(axes, f"{what} (line: limit)")


def _whole_steps(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _name(entry: dict[str, Any]) -> str:
    if entry["grp"] == RESIDUAL:
        return RESIDUAL
    second = f", {entry['var2']}" if isinstance(entry["var2"], str) else ""
    return f"{entry['grp']}: {entry['var1']}{second}"

"""Conditional modes of stage 2 against those of stage 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mixedfx.checks.compare import Comparison


def plot_stages(comparison: Comparison) -> Figure:
    """Conditional modes of stage 2 against stage 1."""
    from matplotlib.figure import Figure

    cov, coef = comparison.covariance, comparison.coefficients
    factors = [f for f in coef.ranef if f in cov.ranef]
    figure = Figure(figsize=(4 * len(factors), 4), layout="constrained")
    for axes, factor in zip(figure.subplots(1, len(factors), squeeze=False)[0], factors, strict=True):
        first, second = cov.ranef[factor], coef.ranef[factor]
        common = first.index.intersection(second.index)
        for name in second.columns:
            axes.plot(first.loc[common, name], second.loc[common, name], ".", label=name)
        axes.axline((0, 0), slope=1, color="black", linewidth=0.8)
        axes.set(title=factor, xlabel="stage 1", ylabel="stage 2")
        axes.legend()
    return figure

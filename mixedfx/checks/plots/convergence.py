"""How stage 2's solver converged."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mixedfx.checks.compare import Comparison


def plot_convergence(comparison: Comparison) -> Figure:
    """Gradient norm and conjugate-gradient iterations of each Newton step."""
    from matplotlib.figure import Figure

    history = comparison.coefficients.stats["history"]
    figure = Figure(figsize=(7, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    steps = range(1, len(history) + 1)
    left.semilogy(steps, [step.grad_norm for step in history], "o-")
    left.set(xlabel="Newton step", ylabel="scaled gradient")
    right.bar(steps, [step.cg_iterations for step in history])
    right.set(xlabel="Newton step", ylabel="CG iterations")
    return figure

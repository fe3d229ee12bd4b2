"""Plots: figures that can be drawn for few and for many levels, and no global state."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from two_stages import TwoStages, with_posterior

from mixedfx.checks.compare import Comparison, compare_stages
from mixedfx.checks.levels import CoefficientLevels
from mixedfx.checks.plots.style import MESSAGE

METHODS = [
    "plot_activity",
    "plot_convergence",
    "plot_correlations",
    "plot_covariances",
    "plot_fixed_effects",
    "plot_pit",
    "plot_predictive",
    "plot_ranef",
    "plot_shrinkage",
    "plot_stages",
    "plot_traces",
]
NEED_DRAWS = {"plot_traces"}


@pytest.fixture(scope="module")
def comparison(rows_fit: TwoStages) -> Comparison:
    return compare_stages(rows_fit.cov, rows_fit.coef, data=rows_fit.data)


def drawn(figure: Figure) -> Figure:
    """Rendering finds what making the figure does not: bad labels, layouts that collapse (warnings are errors)."""
    figure.savefig(io.BytesIO(), format="png", dpi=60, bbox_inches="tight")
    return figure


def panels(figure: Figure) -> Iterator[str]:
    return (axes.get_title(loc="left") for axes in figure.axes if axes.get_visible())


def test_every_plot_is_a_method_with_a_title(comparison: Comparison) -> None:
    methods = [name for name in dir(comparison) if name.startswith("plot_")]
    assert methods == METHODS
    assert all(getattr(comparison, name).__doc__ for name in methods)


@pytest.mark.parametrize("method", METHODS)
def test_plots_are_drawn(comparison: Comparison, method: str) -> None:
    figure = drawn(getattr(comparison, method)())
    assert figure.axes
    assert (figure.get_gid() == MESSAGE) == (method in NEED_DRAWS)
    if method in NEED_DRAWS:
        return
    for axes in figure.axes:
        if axes.get_visible():
            assert axes.get_xlabel() or axes.get_ylabel()


def test_plots_leave_pyplot_alone() -> None:
    code = """
import sys
import mixedfx.checks.compare, mixedfx.checks.plots.stages, mixedfx.checks.plots.convergence
from mixedfx.checks.plots.style import message
message("text")
print("matplotlib.pyplot" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.strip() == "False"


def test_covariances_have_a_panel_an_entry(comparison: Comparison) -> None:
    titles = list(panels(comparison.plot_covariances()))
    assert titles == ["user: (Intercept)", "user: x", "user: (Intercept), x", "item: (Intercept)", "Residual"]


def test_posterior_adds_densities_and_chains(rows_fit: TwoStages) -> None:
    stages = with_posterior(rows_fit)
    comparison = compare_stages(stages.cov, stages.coef)
    covariances = drawn(comparison.plot_covariances())
    assert all(len(axes.collections) == 1 for axes in covariances.axes if axes.get_visible())
    assert list(panels(drawn(comparison.plot_convergence())))[2:] == ["stage 1: chains", "stage 1: chains"]


def many(levels: CoefficientLevels, n: int) -> CoefficientLevels:
    rng = np.random.default_rng(0)
    mode1 = rng.standard_normal(n)
    sd = rng.uniform(0.1, 0.6, n)
    table = pd.DataFrame(
        {
            "mode1": mode1,
            "mode2": mode1 + 0.2 * rng.standard_normal(n),
            "sd1": sd,
            "sd2": 0.8 * sd,
            "z": np.nan,
            "inside": np.nan,
            "rows1": rng.integers(1, 1000, n),
            "rows2": rng.integers(1000, 100_000, n),
        }
    )
    return replace(levels, table=table)


@pytest.mark.parametrize("n", [1, 3, 300_000])
def test_few_and_many_levels(comparison: Comparison, n: int) -> None:
    changed = replace(comparison, levels=tuple(many(levels, n) for levels in comparison.levels))
    stages = drawn(changed.plot_stages())
    drawn(changed.plot_shrinkage())
    # Points have a colour bar beside the panels, a density has none.
    assert len([axes for axes in stages.axes if axes.get_visible()]) == 3 + (n <= 2000)


def test_nothing_to_draw_is_said(comparison: Comparison) -> None:
    empty = tuple(replace(levels, table=levels.table.iloc[:0]) for levels in comparison.levels)
    changed = replace(comparison, levels=empty)
    for figure in (changed.plot_stages(), changed.plot_shrinkage()):
        assert len(drawn(figure).axes[0].texts) == 1


def test_long_names_do_not_run_into_each_other(comparison: Comparison) -> None:
    name = "a_feature_with_quite_a_long_name_indeed"
    changed = comparison.covariances.assign(var1=name)
    titles = list(panels(drawn(replace(comparison, covariances=changed).plot_covariances())))
    assert max(map(len, titles)) <= 31
    assert titles[0] == "user: a_featur … ng_name_indeed"

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
from mixedfx.checks.levels import PROBABILITIES, CoefficientLevels
from mixedfx.checks.plots.pit import uniform_band
from mixedfx.checks.plots.style import MESSAGE, labels, named_ticks, title
from mixedfx.checks.plots.style import panels as panels_of
from mixedfx.coefficients.estimate import estimate_coefficients
from mixedfx.covariance.learn import learn_covariance
from mixedfx.varcorr import VarCorr

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


def drawn(figure: Figure) -> Figure:
    """Rendering finds what making the figure does not: bad labels, layouts that collapse (warnings are errors)."""
    figure.savefig(io.BytesIO(), format="png", dpi=60, bbox_inches="tight")
    return figure


def panels(figure: Figure) -> Iterator[str]:
    return (axes.get_title(loc="left") for axes in figure.axes if axes.get_visible())


def test_every_plot_is_a_method_with_a_title(sound: Comparison) -> None:
    methods = [name for name in dir(sound) if name.startswith("plot_")]
    assert methods == METHODS
    assert all(getattr(sound, name).__doc__ for name in methods)


@pytest.mark.parametrize("method", METHODS)
def test_plots_are_drawn(sound: Comparison, method: str) -> None:
    figure = drawn(getattr(sound, method)())
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


def test_covariances_have_a_panel_an_entry(sound: Comparison) -> None:
    titles = list(panels(sound.plot_covariances()))
    assert titles == ["user: (Intercept)", "user: x", "user: (Intercept), x", "item: (Intercept)", "Residual"]


def test_posterior_adds_densities_and_chains(rows_fit: TwoStages) -> None:
    stages = with_posterior(rows_fit)
    comparison = compare_stages(stages.cov, stages.coef)
    covariances = drawn(comparison.plot_covariances())
    assert all(len(axes.collections) == 1 for axes in covariances.axes if axes.get_visible())
    assert list(panels(drawn(comparison.plot_convergence())))[2:] == [
        "stage 1: effective size",
        "stage 1: R-hat",
    ]


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
def test_few_and_many_levels(sound: Comparison, n: int) -> None:
    changed = replace(sound, levels=tuple(many(levels, n) for levels in sound.levels))
    stages = drawn(changed.plot_stages())
    drawn(changed.plot_shrinkage())
    # Points have a colour bar beside the panels, a density has none.
    assert len([axes for axes in stages.axes if axes.get_visible()]) == 3 + (n <= 2000)


def test_nothing_to_draw_is_said(sound: Comparison) -> None:
    empty = tuple(replace(levels, table=levels.table.iloc[:0]) for levels in sound.levels)
    changed = replace(sound, levels=empty)
    for figure in (changed.plot_stages(), changed.plot_shrinkage()):
        assert len(drawn(figure).axes[0].texts) == 1


def test_long_names_do_not_run_into_each_other(sound: Comparison) -> None:
    name = "a_feature_with_quite_a_long_name_indeed"
    changed = sound.covariances.assign(var1=name)
    titles = list(panels(drawn(replace(sound, covariances=changed).plot_covariances())))
    assert max(map(len, titles)) <= 31
    assert titles[0] == "user: a_featur … ng_name_indeed"


def test_names_are_no_mathematics(sound: Comparison) -> None:
    """matplotlib takes what stands between two dollars for a formula, and fails where it is none."""
    names = [r"$\frac{$ a", "$5 to $10"]
    figure, (panel,) = panels_of(1, 1, 3, 2)
    named_ticks(panel.yaxis, [0, 1], names)
    title(panel, names[0])
    labels(panel, *names)
    drawn(figure)
    assert [label.get_text() for label in panel.get_yticklabels()] == names
    table = sound.fixed_effects.set_axis(names)
    drawn(replace(sound, fixed_effects=table).plot_fixed_effects())


@pytest.fixture(scope="module", params=[3, 5_000], ids=["3 levels", "5,000 levels"])
def one_factor(request: pytest.FixtureRequest) -> Comparison:
    """Slopes and intercepts of few and of many levels, three rows each."""
    J, rng = int(request.param), np.random.default_rng(0)
    g, x = np.repeat(np.arange(J), max(3, 60 // J)), rng.standard_normal(J * max(3, 60 // J))
    b = rng.standard_normal((J, 2))
    data = pd.DataFrame({"g": g, "x": x, "y": b[g, 0] + b[g, 1] * x + rng.standard_normal(len(g))})
    rows = [("g", "(Intercept)", None, 1.0), ("g", "x", None, 1.0), ("g", "(Intercept)", "x", 0.5)]
    frame = pd.DataFrame([*rows, ("Residual", None, None, 1.0)], columns=["grp", "var1", "var2", "vcov"])
    cov = learn_covariance("y ~ 1 + x + (1 + x | g)", data.iloc[: 3 * 400], satterthwaite=False)
    cov = replace(cov, varcorr=VarCorr.from_frame(frame), boundary=(), converged=True)
    return compare_stages(cov, estimate_coefficients("y ~ 1 + x + (1 + x | g)", data, cov))


def test_all_levels_in_order(one_factor: Comparison) -> None:
    figure = drawn(one_factor.plot_ranef())
    assert list(panels(figure)) == ["g: (Intercept)", "g: x"]
    modes = one_factor.coefficients.ranef["g"]
    if len(modes) == 3:
        expected = modes.sort_values("x", kind="stable").index.astype(str).tolist()
        assert [label.get_text() for label in figure.axes[1].get_yticklabels()] == expected
    else:
        # A picture of 5,000 levels has no more points than one of 2,000, and intervals of 100.
        assert max(len(line.get_xdata()) for line in figure.axes[0].lines) <= 2000
        assert len(figure.axes[0].collections[0].get_segments()) == 100  # pyright: ignore[reportAttributeAccessIssue]
        line = figure.axes[0].lines[0]
        assert line.get_ydata()[-1] == pytest.approx(modes["(Intercept)"].max())  # pyright: ignore[reportArgumentType, reportIndexIssue]


def test_activity_and_ellipses_of_few_and_many_levels(one_factor: Comparison) -> None:
    drawn(one_factor.plot_activity())
    ellipses = drawn(one_factor.plot_correlations())
    assert list(panels(ellipses)) == ["g: correlation 0.50"]
    (line,) = [line for line in ellipses.axes[0].lines if line.get_label() == "stage 1"]
    points = np.column_stack(line.get_data()).astype(float)
    S = np.array([[1.0, 0.5], [0.5, 1.0]])
    distance = np.einsum("ni,ij,nj->n", points, np.linalg.inv(S), points)
    assert distance == pytest.approx(
        4.605170, rel=1e-6
    )  # the 90 % quantile of chi-squared with 2 degrees of freedom


def test_the_band_of_the_pit_holds_uniform_values_as_often_as_it_says() -> None:
    lower, upper = uniform_band(200)
    rng = np.random.default_rng(1)
    values = np.sort(rng.random((400, 200)), axis=1)
    off = (
        np.array([np.searchsorted(row, PROBABILITIES, side="right") / 200 for row in values]) - PROBABILITIES
    )
    inside = ((off >= lower - 1e-12) & (off <= upper + 1e-12)).all(axis=1).mean()
    # Binomial(400, 0.95): a standard error of 0.011, and one of 0.01 of the simulated band.
    assert inside == pytest.approx(0.95, abs=0.045)
    wide = uniform_band(100_000)
    assert wide[1].max() == pytest.approx(upper.max() * np.sqrt(200 / 100_000), rel=0.15)


def test_chains_that_disagree_are_shown_first(rows_fit: TwoStages) -> None:
    stages = with_posterior(rows_fit, apart=0.2)
    comparison = compare_stages(stages.cov, stages.coef)
    titles = list(panels(drawn(comparison.plot_traces())))
    r_hats = [float(text.split()[-1].rstrip(")")) for text in titles[1::2]]
    assert len(titles) == 10
    assert r_hats == sorted(r_hats, reverse=True)
    assert r_hats[0] > 1.1

"""One look for all plots: sizes, and colours that stay apart for the colour-blind and in black and white."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

# Okabe & Ito's palette, a dark and a light one: they differ in lightness as much as in hue. Shapes differ as well.
STAGE1, STAGE2 = "#0072B2", "#E69F00"
MARKER1, MARKER2 = "o", "D"
INK, GRID = "#222222", "#DDDDDD"
SEQUENTIAL = "cividis_r"
"""Of a quantity: light is little. Made for colour-blind readers, and its lightness is monotone."""

SMALL, NORMAL = 8.0, 9.0
LONGEST_TITLE = 30
MESSAGE = "message"
MANY = 2000
"""Of more points than these a density is drawn, or a sample."""


def panels(
    n: int, most_columns: int, width: float, height: float, *, extra: float = 0.0, square: bool = False
) -> tuple[Figure, list[Axes]]:
    """A figure with n panels, row by row, the rows as equal as they can be.

    Parameters
    ----------
    width, height
        Of a panel, inches.
    extra
        Inches for a legend below.
    square
        Panels keep their own shape, and come close together.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    rows = -(-n // most_columns)
    columns = -(-n // rows)
    size = (width * columns, height * rows + extra)
    figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(compress=square, w_pad=0.08, h_pad=0.06))
    places = np.atleast_1d(figure.subplots(rows, columns)).ravel()
    for axes in places[n:]:
        axes.set_visible(False)
    return figure, [plain(axes) for axes in places[:n]]


def message(text: str) -> Figure:
    """A figure that says why there is nothing to draw; its id is `MESSAGE`, so that reports can leave it out."""
    figure, (axes,) = panels(1, 1, 4.5, 1.2)
    figure.set_gid(MESSAGE)
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, ha="center", va="center", fontsize=NORMAL, color=INK)
    return figure


def plain(axes: Axes) -> Axes:
    """No box, small ticks."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(INK)
    axes.tick_params(labelsize=SMALL, colors=INK, length=3)
    return axes


def title(axes: Axes, text: str) -> None:
    """A panel's title, flush left; long names lose their middle."""
    if len(text) > LONGEST_TITLE:
        half = LONGEST_TITLE // 2 - 1
        text = f"{text[:half]} … {text[-half:]}"
    axes.set_title(text, fontsize=NORMAL, loc="left", color=INK, parse_math=False)


def labels(axes: Axes, x: str = "", y: str = "") -> None:
    """Labels of the axes."""
    axes.set_xlabel(x, fontsize=SMALL, color=INK, parse_math=False)
    axes.set_ylabel(y, fontsize=SMALL, color=INK, parse_math=False)


def named_ticks(axis: Axis, at: Sequence[float] | NDArray[np.integer], names: Sequence[str]) -> None:
    """Ticks with names from the data, where dollars are no mathematics."""
    axis.set_ticks(at, list(names), fontsize=SMALL, parse_math=False)

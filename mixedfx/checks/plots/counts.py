"""An axis of numbers of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def count_axis(axes: Axes, rows: NDArray[np.float64]) -> None:
    """Counts on a log scale with plain numbers, or a linear one where they differ by less than a factor of 4."""
    if rows.max() < 4 * rows.min():
        from matplotlib.ticker import MaxNLocator

        room = max(0.05 * float(np.ptp(rows)), 1.0)
        axes.set_xlim(max(rows.min() - room, 0.0), rows.max() + room)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        return
    axes.set_xscale("log")
    decades = np.log10(rows.max() / rows.min())
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if decades < 2 else (1.0,)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda count, _: _short(count)))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _short(count: float) -> str:
    """500, 2k, 3M: five decades of plain numbers would run into each other."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:g}{letter}"
    return f"{count:g}"

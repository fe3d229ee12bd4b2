"""What is benchmarked: a model, its data, and which of the two stages is timed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

Task = Literal["coefficients", "covariance"]


class Unavailable(Exception):
    """The data of a problem are not on this machine; the message says how to get them."""


@dataclass(frozen=True)
class Sources:
    """Where data come from that are not in the package: `movielens` is a folder, "download", or None."""

    movielens: Path | Literal["download"] | None = None

    @classmethod
    def of(cls, movielens: str | None) -> Sources:
        """As the command line has it: a folder's name, "download", or None."""
        return cls(Path(movielens) if movielens not in (None, "download") else movielens)


@dataclass(frozen=True)
class Problem:
    """One benchmark problem.

    Attributes
    ----------
    name
        As the command line and the results call it.
    formula, family
        The model, as mixedfx takes it.
    task
        What is timed: "coefficients" (stage 2, all coefficients at the covariances `varcorr`) or "covariance"
        (stage 1, the covariances themselves: REML for gaussian, Laplace's approximation for the other families).
    load
        Makes the data; raises `Unavailable` where it cannot.
    varcorr
        The covariances of a "coefficients" problem: rows (grp, var1, var2, vcov) of lme4's frame.
    """

    name: str
    formula: str
    family: str
    task: Task
    load: Callable[[Sources], pd.DataFrame]
    varcorr: tuple[tuple[str, str | None, str | None, float], ...] = ()

    def __post_init__(self) -> None:
        if (self.task == "coefficients") != bool(self.varcorr):
            raise ValueError(f"problem '{self.name}': a coefficients problem, and no other, has a varcorr")

    def varcorr_frame(self) -> pd.DataFrame:
        """`varcorr` as lme4's frame."""
        return pd.DataFrame(self.varcorr, columns=["grp", "var1", "var2", "vcov"])

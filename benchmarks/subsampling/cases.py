"""The data of the subsampling study: real ratings, and simulations with skewed and with outcome-dependent activity."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from scipy.special import expit

import mixedfx as mfx
from benchmarks.problem import Sources
from benchmarks.problems.movielens import load_1m

USERS, ITEMS, ROWS = 6000, 3000, 300_000
TRUTH = (("user", 0.3), ("item", 0.4))
RESIDUAL = 0.8


@dataclass(frozen=True)
class Case:
    """One data set with a model.

    Attributes
    ----------
    name, about
        As tables call it, and what it is.
    formula, family
        The model, as mixedfx takes it.
    load
        Makes the data; raises `Unavailable` where it cannot.
    fraction
        Share of the rows that a subsample has, about.
    """

    name: str
    about: str
    formula: str
    family: str
    load: Callable[[Sources], pd.DataFrame]
    fraction: float = 0.05


def _insteval(sources: Sources) -> pd.DataFrame:  # noqa: ARG001
    return mfx.datasets.load_insteval()


def _simulated(family: str, selected: bool, sources: Sources) -> pd.DataFrame:  # noqa: ARG001
    """Users and items of Zipf-like activity; `selected`: rows with a high response are more likely to be there."""
    entries = [(name, "(Intercept)", None, variance) for name, variance in TRUTH]
    if family == "gaussian":
        entries.append(("Residual", None, None, RESIDUAL))
    made = mfx.simulate(
        "y ~ 1 + (1 | user) + (1 | item)",
        levels={"user": USERS, "item": ITEMS},
        n_rows=3 * ROWS if selected else ROWS,
        beta={"(Intercept)": 0.0},
        varcorr=mfx.VarCorr.from_frame(pd.DataFrame(entries, columns=["grp", "var1", "var2", "vcov"])),
        family=family,
        seed=1,
    ).data
    if not selected:
        return made
    y = made["y"].to_numpy(dtype=float)
    likely = expit(2 * (y - y.mean()) / y.std() - 1)
    return made[np.random.default_rng(1).random(len(made)) < likely].head(ROWS)


_CROSSED = "(1 | user) + (1 | item)"
_SKEWED = "simulated: 6,000 users x 3,000 items, the r-th most active with 1/r of the rows of the first"
_SELECTED = f"{_SKEWED}; a row is there with a probability that rises with its response, from .05 to .7"

CASES = (
    Case(
        "movielens-1m gaussian",
        "MovieLens-1M, ratings 1 to 5",
        f"rating ~ 1 + {_CROSSED}",
        "gaussian",
        load_1m,
    ),
    Case(
        "movielens-1m bernoulli",
        "MovieLens-1M, rating of 4 or more",
        f"liked ~ 1 + {_CROSSED}",
        "bernoulli",
        load_1m,
    ),
    Case(
        "insteval", "InstEval (students x lecturers)", "y ~ 1 + (1 | s) + (1 | d)", "gaussian", _insteval, 0.1
    ),
    Case(
        "skewed gaussian", _SKEWED, f"y ~ 1 + {_CROSSED}", "gaussian", partial(_simulated, "gaussian", False)
    ),
    Case(
        "skewed bernoulli",
        _SKEWED,
        f"y ~ 1 + {_CROSSED}",
        "bernoulli",
        partial(_simulated, "bernoulli", False),
    ),
    Case(
        "selected gaussian",
        _SELECTED,
        f"y ~ 1 + {_CROSSED}",
        "gaussian",
        partial(_simulated, "gaussian", True),
    ),
    Case(
        "selected bernoulli",
        _SELECTED,
        f"y ~ 1 + {_CROSSED}",
        "bernoulli",
        partial(_simulated, "bernoulli", True),
    ),
)

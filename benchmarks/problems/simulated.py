"""Simulated crossed intercepts whose levels grow with the rows, for time and memory per row.

Users are a fiftieth of the rows and items rows^0.6; activity is zipf's, so that a few users and items have many rows
and most have few.
"""

from __future__ import annotations

from functools import partial

import pandas as pd

from benchmarks.problem import Problem, Sources

FORMULA = "y ~ 1 + (1 | user) + (1 | item)"
VARCORR = (("user", "(Intercept)", None, 0.5), ("item", "(Intercept)", None, 0.3))
RESIDUAL = ("Residual", None, None, 1.0)
SIZES = {"1e5": 10**5, "1e6": 10**6, "1e7": 10**7, "3e7": 3 * 10**7}


def _simulate(n_rows: int, family: str, _: Sources) -> pd.DataFrame:
    import mixedfx as mfx

    varcorr = mfx.VarCorr.from_frame(pd.DataFrame(_varcorr(family), columns=["grp", "var1", "var2", "vcov"]))
    simulation = mfx.simulate(
        FORMULA,
        levels={"user": n_rows // 50, "item": round(n_rows**0.6)},
        n_rows=n_rows,
        beta={"(Intercept)": 0.5},
        varcorr=varcorr,
        family=family,
        seed=1,
    )
    # As ids and ratings come: the smallest integers that hold them, so that memory is that of real input.
    return simulation.data.astype({"user": "int32", "item": "int32"})


def _varcorr(family: str) -> tuple[tuple[str, str | None, str | None, float], ...]:
    return (*VARCORR, RESIDUAL) if family == "gaussian" else VARCORR


PROBLEMS = tuple(
    Problem(
        f"sim-{size}-{family}",
        FORMULA,
        family,
        "coefficients",
        partial(_simulate, n_rows, family),
        _varcorr(family),
    )
    for size, n_rows in SIZES.items()
    for family in ("gaussian", "bernoulli")
)

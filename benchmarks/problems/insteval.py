"""InstEval: 73,421 ratings of lectures, 2,972 students x 1,128 lecturers; REML.

The R optimum of each is a golden test of the package (tests/golden), so the criterion reached can be compared with it.
"""

from __future__ import annotations

import pandas as pd

from benchmarks.problem import Problem, Sources


def _load(_: Sources) -> pd.DataFrame:
    from mixedfx.datasets import load_insteval

    return load_insteval()


def _reml(name: str, formula: str) -> Problem:
    return Problem(name, formula, "gaussian", "covariance", _load)


PROBLEMS = (
    _reml("insteval-oneway", "y ~ 1 + service + (1 + service | d)"),
    _reml("insteval-twoway", "y ~ 1 + (1 | s) + (1 | d)"),
    _reml("insteval-threeway", "y ~ service + (1 | s) + (1 | d) + (1 | dept:service)"),
    _reml("insteval-slopes", "y ~ 1 + service + (1 + service | s) + (1 + service | d)"),
)

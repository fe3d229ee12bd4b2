"""VerbAgg: 7,584 answers, 316 persons x 24 items. Small: it shows overheads, and is quick enough for a test."""

from __future__ import annotations

import pandas as pd

from benchmarks.problem import Problem, Sources


def _load(_: Sources) -> pd.DataFrame:
    from mixedfx.datasets import load_verbagg

    return load_verbagg()


PREDICTORS = "Anger + Gender + btype + situ + (1 | id) + (1 | item)"

PROBLEMS = (
    Problem(
        "verbagg-coefficients",
        f"r2 ~ {PREDICTORS}",
        "bernoulli",
        "coefficients",
        _load,
        # What glmer(nAGQ = 0) estimates, rounded.
        varcorr=(("id", "(Intercept)", None, 1.79), ("item", "(Intercept)", None, 0.247)),
    ),
    # The R optima of the next two are golden tests of the package (tests/golden).
    Problem("verbagg-laplace", f"r2 ~ {PREDICTORS}", "bernoulli", "covariance", _load),
    Problem("verbagg-ordinal", f"resp ~ {PREDICTORS}", "cumulative", "covariance", _load),
)

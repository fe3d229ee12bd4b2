"""The study's results as a page of tables."""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmarks.subsampling.cases import CASES
from mixedfx.varcorr import RESIDUAL

NOTES = """\
Variances learned on a part of the rows, against those of all rows (REML; Laplace for binary responses). A tenth of the
rows is held out; the subsamples are drawn from the rest, about {sizes} of it each.

* **bias**: mean over seeds of (subsample / all rows - 1), with its Monte Carlo error (there is only one core); bold
  where it is more than twice that error (of the core: than twice the model's standard error), which chance alone brings
  about once in twenty times. All seeds draw from one data set: a sample in which other levels weigh most than in all
  rows ("rows", "core", or "levels" for the factor not drawn) may differ from these by the luck of those levels, too.
* **sd**: standard deviation between seeds, and **se**: mean standard error by the models, both relative to the value of
  all rows.
* **one step**: mean over seeds of (estimate after one score evaluation on all rows / all rows - 1): what testing the
  frozen covariances would put in their place. **flagged**: share of seeds in which it differs from the frozen variance
  by more than two standard errors of that difference (about .05 where there is no bias).
* **held-out score**: change of the mean log density of held-out rows, times 10,000, when stage 2 takes the subsample's
  covariances instead of those of all rows (negative is worse); **sparse**: the same for rows one of whose levels has
  fewer than 20 training rows. At the estimated coefficients, {scored} seeds.

"levels of x": random levels of x with all their rows; "per-factor": each factor's variance from levels of its own
("stratified": drawn in proportion within classes of activity); "two-way": the rows whose levels were all drawn;
"core": levels with few rows taken out until so many rows are left.

Written by `python -m benchmarks subsampling`; the lines behind it are in `results/subsampling/subsampling.csv`.
"""


def page(rows: pd.DataFrame) -> str:
    """Tables, one for every case that `rows` (lines of `Row`) has."""
    cases = [case for case in CASES if case.name in set(rows["case"])]
    sizes = " or ".join(f"{share:.0%}" for share in sorted({case.fraction for case in cases}))
    scored = int(rows.dropna(subset=["score"]).groupby(["case", "strategy"])["seed"].nunique().max())
    parts = ["# Covariances from subsamples\n", NOTES.format(sizes=sizes, scored=f"up to {scored}")]
    for case in cases:
        own = rows[rows["case"] == case.name]
        full = own.drop_duplicates("group")
        values = ", ".join(f"{r.group} {r.full:.4f} ({r.se_full:.4f})" for r in full.itertuples())
        parts.append(f"## {case.name}\n\n{case.about}. `{case.formula}`. All rows: {values}.\n")
        parts.append(_table(own))
    return "\n".join(parts)


def _table(own: pd.DataFrame) -> str:
    lines = [
        "| strategy | seeds | rows | variance | bias | sd | se | one step | flagged | held-out score | sparse |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for strategy in own["strategy"].drop_duplicates():
        of_strategy = own[own["strategy"] == strategy]
        for number, group in enumerate(g for g in of_strategy["group"].unique() if g != RESIDUAL):
            r = of_strategy[of_strategy["group"] == group]
            ratio = (r["frozen"] / r["full"] - 1).to_numpy()
            n = len(ratio)
            spread = ratio.std(ddof=1) if n > 1 else np.nan
            bias = f"{ratio.mean():+.1%}" + (f" ± {spread / np.sqrt(n):.1%}" if n > 1 else "")
            model = (r["se"] / r["full"]).mean()
            clear = abs(ratio.mean()) > 2 * (model if n == 1 else spread / np.sqrt(n))
            first = number == 0
            cells = [
                strategy if first else "",
                f"{n}" if first else "",
                f"{r['n_rows'].mean():,.0f}",
                group,
                f"**{bias}**" if clear else bias,
                "" if n == 1 else f"{spread:.1%}",
                f"{model:.1%}",
                f"{(r['one_step'] / r['full'] - 1).mean():+.1%}",
                f"{(r['z'].abs() > 2).mean():.2f}",
                _score(r["score"]) if first else "",
                _score(r["sparse_score"]) if first else "",
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _score(values: pd.Series) -> str:
    known = values.dropna()
    return f"{1e4 * known.mean():+.1f}" if len(known) else ""

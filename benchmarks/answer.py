"""What a library found, as a labelled table, so that no library's order of levels or coefficients matters.

Coefficients: columns factor ("" for fixed effects and thresholds), level, coefficient, value. Covariances: lme4's frame
grp, var1, var2, vcov. Both are CSV files on their way from a library's process to the runner.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from benchmarks.encoded import Encoded

Floats = NDArray[np.float64]


class IncompleteAnswer(Exception):
    """A library's answer lacks a coefficient or covariance."""


def coefficient_table(
    beta: Mapping[str, float], ranef: Mapping[str, tuple[Sequence[str], ArrayLike, ArrayLike]]
) -> pd.DataFrame:
    """The table of all coefficients; `ranef` holds factor -> (coefficient names, J level labels, values (J, q))."""
    parts = [
        pd.DataFrame({"factor": "", "level": "", "coefficient": list(beta), "value": list(beta.values())})
    ]
    for factor, (names, labels, values) in ranef.items():
        values = np.asarray(values, dtype=float).reshape(-1, len(names))
        parts.append(
            pd.DataFrame(
                {
                    "factor": factor,
                    "level": np.repeat(np.asarray(labels).astype(str), len(names)),
                    "coefficient": np.tile(np.array(names, dtype=object), len(values)),
                    "value": values.ravel(),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def encoded_coefficients(encoded: Encoded, beta: ArrayLike, b: Mapping[str, ArrayLike]) -> pd.DataFrame:
    """The table of coefficients in the order of the encoded data: beta, thresholds behind it, and b[factor] (J, q)."""
    values = np.asarray(beta, dtype=float)
    return coefficient_table(
        dict(zip(encoded.common_names, values.tolist(), strict=True)),
        {term.name: (term.coefficients, term.levels, b[term.name]) for term in encoded.terms},
    )


def covariance_table(
    matrices: Mapping[str, tuple[Sequence[str], ArrayLike]], sigma2: float | None
) -> pd.DataFrame:
    """lme4's frame from factor -> (coefficient names, Sigma (q, q))."""
    rows: list[tuple[str, str | None, str | None, float]] = []
    for factor, (names, matrix) in matrices.items():
        sigma = np.asarray(matrix, dtype=float).reshape(len(names), len(names))
        rows += [(factor, name, None, sigma[i, i]) for i, name in enumerate(names)]
        rows += [(factor, names[i], names[j], sigma[i, j]) for j in range(len(names)) for i in range(j)]
    if sigma2 is not None:
        rows.append(("Residual", None, None, sigma2))
    return pd.DataFrame(rows, columns=["grp", "var1", "var2", "vcov"])


def encoded_covariances(
    encoded: Encoded, matrices: Mapping[str, ArrayLike], sigma2: float | None
) -> pd.DataFrame:
    """lme4's frame from factor -> Sigma in the order of the encoded data."""
    return covariance_table({t.name: (t.coefficients, matrices[t.name]) for t in encoded.terms}, sigma2)


def write_answer(table: pd.DataFrame, path: Path) -> None:
    table.to_csv(path, index=False)


def read_coefficients(path: Path, encoded: Encoded) -> tuple[Floats, dict[str, Floats]]:
    """beta, thresholds behind it, and b[factor] (J, q), in the order of the encoded data."""
    table = pd.read_csv(
        path, dtype={"factor": str, "level": str, "coefficient": str}, keep_default_na=False, na_values=[]
    )
    table["value"] = table["value"].astype(float)
    by_factor = dict(iter(table.groupby("factor", sort=False)))
    if "" not in by_factor:
        raise IncompleteAnswer("the answer has no fixed effects")
    fixed = by_factor[""].set_index("coefficient")["value"].reindex(list(encoded.common_names))
    _check_complete(fixed.to_numpy(), "a fixed effect or threshold")
    b: dict[str, Floats] = {}
    for term in encoded.terms:
        if term.name not in by_factor:
            raise IncompleteAnswer(f"the answer has no factor '{term.name}'")
        wide = by_factor[term.name].pivot_table(index="level", columns="coefficient", values="value")
        values = wide.reindex(index=term.levels, columns=list(term.coefficients)).to_numpy()
        _check_complete(values, f"a coefficient of factor '{term.name}'")
        b[term.name] = values
    return fixed.to_numpy(), b


def read_covariances(path: Path) -> pd.DataFrame:
    """lme4's frame."""
    return pd.read_csv(path, dtype={"grp": str, "var1": str, "var2": str})


def _check_complete(values: Floats, what: str) -> None:
    if np.isnan(values).any():
        raise IncompleteAnswer(f"the answer lacks {what}, or it is not a number")

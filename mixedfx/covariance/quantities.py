"""What intervals are given for: every parameter of a fit, covariances on several scales, in one tidy table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.errors import SettingError
from mixedfx.varcorr import RESIDUAL, VarCorr

LABELS = ["grp", "var1", "var2", "parameter"]
FIXED, THRESHOLD = "fixed", "threshold"


def quantities(varcorr: VarCorr, fixef: pd.Series, thresholds: pd.Series | None) -> pd.DataFrame:
    """Fixed effects, thresholds, then each variance with its sd, and each covariance with its correlation.

    Returns
    -------
    DataFrame
        ``grp``, ``var1``, ``var2`` (as in `VarCorr.to_frame`; `grp` is "fixed" or "threshold" for the others),
        ``parameter`` ("coefficient", "variance", "sd", "covariance" or "correlation"), ``estimate``: NaN for the
        correlation with a coefficient that does not vary.

    Examples
    --------
    >>> vc = VarCorr.from_frame(pd.DataFrame({"grp": "g", "var1": "(Intercept)", "var2": None, "vcov": [4.0]}))
    >>> quantities(vc, pd.Series({"x": 1.5}), None)[["grp", "parameter", "estimate"]].to_numpy().tolist()
    [['fixed', 'coefficient', 1.5], ['g', 'variance', 4.0], ['g', 'sd', 2.0]]
    """
    rows: list[tuple[object, ...]] = [(FIXED, name, np.nan, "coefficient", b) for name, b in fixef.items()]
    if thresholds is not None:
        rows += [(THRESHOLD, name, np.nan, "coefficient", a) for name, a in thresholds.items()]
    for grp, var1, var2, vcov, sdcor in varcorr.to_frame().itertuples(index=False):
        if isinstance(var2, str):
            # A correlation of 1 is so to rounding.
            rows.append((grp, var1, var2, "covariance", vcov))
            rows.append((grp, var1, var2, "correlation", np.clip(sdcor, -1.0, 1.0)))
        else:
            rows += [(grp, var1, var2, "variance", vcov), (grp, var1, var2, "sd", sdcor)]
    return pd.DataFrame(rows, columns=[*LABELS, "estimate"]).astype({"estimate": float})


def names(table: pd.DataFrame) -> list[str]:
    """One name a row, as lme4's ``confint(oldNames = FALSE)``: "sd_(Intercept)|Subject", "sigma", "Days".

    Examples
    --------
    >>> vc = VarCorr.from_frame(pd.DataFrame({"grp": "g", "var1": "(Intercept)", "var2": None, "vcov": [4.0]}))
    >>> names(quantities(vc, pd.Series({"x": 1.5}), None))
    ['x', 'var_(Intercept)|g', 'sd_(Intercept)|g']
    """
    short = {"variance": "var", "sd": "sd", "covariance": "cov", "correlation": "cor"}
    out = []
    for grp, var1, var2, parameter in table[LABELS].itertuples(index=False):
        if parameter == "coefficient":
            out.append(str(var1))
        elif grp == RESIDUAL:
            out.append("sigma" if parameter == "sd" else "sigma^2")
        else:
            pair = f"{var2}.{var1}" if isinstance(var2, str) else str(var1)
            out.append(f"{short[parameter]}_{pair}|{grp}")
    return out


def chosen(table: pd.DataFrame, parameters: str | Sequence[str] | None) -> NDArray[np.bool_]:
    """Which rows of a table of quantities `parameters` names: see `mixedfx.confint`.

    Raises
    ------
    SettingError
        A name that no row has.
    """
    if parameters is None:
        return np.ones(len(table), dtype=bool)
    own = names(table)
    given = [parameters] if isinstance(parameters, str) else parameters
    if not isinstance(given, Iterable) or any(not isinstance(name, str) for name in given):
        raise SettingError(f"parameters is {parameters!r}; it must be a name or a list of names")
    keep = np.zeros(len(table), dtype=bool)
    for wanted in given:
        labels = zip(table["grp"], table["parameter"], own, strict=True)
        hit = np.array([wanted in label for label in labels], dtype=bool)
        if not hit.any():
            kinds = ", ".join(dict.fromkeys([*table["parameter"], *table["grp"]]))
            raise SettingError(
                f"parameters names {wanted!r}, which the fit does not have; available: {kinds}, and single ones: "
                f"{', '.join(own)}"
            )
        keep |= hit
    return keep


def rows_of(table: pd.DataFrame, keep: NDArray[np.bool_]) -> pd.DataFrame:
    """Some of the rows, numbered anew."""
    return table.iloc[np.flatnonzero(keep)].reset_index(drop=True)

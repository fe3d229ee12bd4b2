"""The table of all quantities, their names, and how they are chosen."""

from __future__ import annotations

import doctest

import numpy as np
import pandas as pd
import pytest

from mixedfx.covariance import quantities as module
from mixedfx.covariance.quantities import chosen, names, quantities
from mixedfx.errors import SettingError
from mixedfx.varcorr import VarCorr


@pytest.fixture
def table() -> pd.DataFrame:
    rows = [
        ("g", "(Intercept)", None, 4.0),
        ("g", "x", None, 9.0),
        ("g", "(Intercept)", "x", 3.0),
        ("h", "(Intercept)", None, 0.0),
        ("Residual", None, None, 2.25),
    ]
    varcorr = VarCorr.from_frame(pd.DataFrame(rows, columns=["grp", "var1", "var2", "vcov"]))
    return quantities(varcorr, pd.Series({"(Intercept)": 1.0, "x": 2.0}), pd.Series({"1|2": -0.5}))


def test_names_are_lme4s(table: pd.DataFrame) -> None:
    values = dict(zip(names(table), table["estimate"], strict=True))
    assert values == {
        "(Intercept)": 1.0,
        "x": 2.0,
        "1|2": -0.5,
        "var_(Intercept)|g": 4.0,
        "sd_(Intercept)|g": 2.0,
        "var_x|g": 9.0,
        "sd_x|g": 3.0,
        "cov_x.(Intercept)|g": 3.0,
        "cor_x.(Intercept)|g": 0.5,
        "var_(Intercept)|h": 0.0,
        "sd_(Intercept)|h": 0.0,
        "sigma^2": 2.25,
        "sigma": 1.5,
    }


def test_choices(table: pd.DataFrame) -> None:
    def pick(what: str | list[str] | None) -> list[str]:
        keep = chosen(table, what)
        return [name for name, k in zip(names(table), keep, strict=True) if k]

    assert pick(None) == names(table)
    assert pick("fixed") == ["(Intercept)", "x"]
    assert pick(["sigma", "threshold"]) == ["1|2", "sigma"]
    assert pick("correlation") == ["cor_x.(Intercept)|g"]
    assert pick("h") == ["var_(Intercept)|h", "sd_(Intercept)|h"]
    assert pick([]) == []
    with pytest.raises(SettingError, match=r"names 'Sigma'.*available: coefficient, .*sigma\^2"):
        pick(["x", "Sigma"])


def test_no_correlation_with_what_does_not_vary() -> None:
    rows = [("g", "(Intercept)", None, 0.0), ("g", "x", None, 9.0), ("g", "(Intercept)", "x", 0.0)]
    varcorr = VarCorr.from_frame(pd.DataFrame(rows, columns=["grp", "var1", "var2", "vcov"]))
    table = quantities(varcorr, pd.Series(dtype=float), None)
    assert np.isnan(table.set_index("parameter").loc["correlation", "estimate"])


def test_examples() -> None:
    assert doctest.testmod(module).failed == 0

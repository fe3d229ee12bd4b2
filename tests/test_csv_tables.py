"""Small CSV tables: exact numbers, names that look like missing values, and mistakes left for the checks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mixedfx.csv_tables import read_covariances, read_table
from mixedfx.errors import VarCorrError
from mixedfx.varcorr import VarCorr


def test_numbers_come_back_to_the_last_bit(tmp_path: Path) -> None:
    values = np.concatenate([np.random.default_rng(0).standard_normal(500), [1 / 3, 5e-324, 1.7e308, np.nan]])
    pd.DataFrame({"name": "a", "estimate": values}).to_csv(tmp_path / "t.csv", index=False)
    np.testing.assert_array_equal(read_table(tmp_path / "t.csv", ["name"])["estimate"], values)


def test_a_factor_called_na_stays_a_name(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("grp,var1,var2,vcov\nNA,(Intercept),,0.5\nNone,nan,,1.5\n")
    varcorr = VarCorr.from_frame(read_covariances(tmp_path / "c.csv"))
    assert varcorr.factors == ("NA", "None")
    assert varcorr["None"].columns.tolist() == ["nan"]


def test_text_in_place_of_a_number_is_named_by_the_check(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("grp,var1,var2,vcov\nuser,(Intercept),,lots\n")
    with pytest.raises(VarCorrError, match="'user' has vcov 'lots'"):
        VarCorr.from_frame(read_covariances(tmp_path / "c.csv"))

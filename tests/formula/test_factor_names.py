"""Names of grouping factors that results need for something else."""

from __future__ import annotations

import pandas as pd
import pytest

from mixedfx.design import build_design
from mixedfx.errors import FormulaError
from mixedfx.formula.factor_names import check_factor_names


@pytest.mark.parametrize("name", ["Residual", "coef", "chain", "draw", "beta"])
def test_names_of_the_results_are_refused_with_the_design(name: str) -> None:
    data = pd.DataFrame({"y": [1.0, 2.0, 4.0], name: [1, 1, 2]})
    with pytest.raises(FormulaError, match=f"'{name}' needs the name '{name}'.* rename the column"):
        build_design(f"y ~ 1 + (1 | {name})", data)


def test_factors_whose_draws_would_meet_are_refused() -> None:
    with pytest.raises(FormulaError, match="'user_coef' needs the name 'user_coef'"):
        check_factor_names(["user", "user_coef"])
    with pytest.raises(FormulaError, match="'b_user' needs"):
        check_factor_names(["user", "b_user"])
    check_factor_names(["user", "item", "user:item", "residual"])

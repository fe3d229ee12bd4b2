"""Names that grouping factors cannot have, because tables and draws of the results use them."""

from __future__ import annotations

from collections.abc import Iterable

from mixedfx.errors import FormulaError

_TAKEN = frozenset({"Residual", "chain", "draw", "coef", "threshold", "beta", "alpha", "sigma"})


def check_factor_names(factors: Iterable[str]) -> None:
    """Refuse factors called like something else in the results.

    Draws of a factor ``user`` are variables ``b_user`` and ``Sigma_user`` with dimensions ``user``, ``user_coef`` and
    ``user_coef_bis``; in the covariance table "Residual" is the residual variance.

    Raises
    ------
    FormulaError
        Two things would have one name.
    """
    taken = set(_TAKEN)
    for factor in factors:
        own = [factor, f"{factor}_coef", f"{factor}_coef_bis", f"Sigma_{factor}", f"b_{factor}"]
        clash = taken.intersection(own)
        if clash:
            raise FormulaError(
                f"grouping factor '{factor}' needs the name '{min(clash)}' in the results, where something else has "
                "it; rename the column"
            )
        taken.update(own)

"""How a factor becomes columns: R's treatment and polynomial contrasts, or one indicator a level."""

from __future__ import annotations

import numpy as np

from mixedfx.formula.evaluate import Array
from mixedfx.formula.factor import Factor
from mixedfx.formula.levels import level_texts
from mixedfx.formula.numbering import Codes


def factor_columns(factor: Factor, codes: Codes, full: bool) -> dict[str, Array]:
    """Columns of a factor by their names, each of shape (N,).

    Parameters
    ----------
    factor
        Its levels.
    codes
        Category number of each row, shape (N,).
    full
        One indicator a level (``kinda``, ``kindb``, ``kindc``). Otherwise contrasts: treatment for unordered
        factors, whose first level is the reference (``kindb``, ``kindc``), and orthogonal polynomials for
        ordered ones (``o.L``, ``o.Q``, ``o.C``, ``o^4``).
    """
    if factor.ordered and not full:
        # formulaic takes most of a second to import, so only those pay for it who use it.
        from formulaic.transforms.contrasts import PolyContrasts

        contrasts, levels = PolyContrasts(), list(range(len(factor.levels)))
        names = contrasts.get_coding_column_names(levels)
        matrix = np.asarray(contrasts.get_coding_matrix(levels, sparse=False), dtype=float)
        return {f"{factor.name}{name}": matrix[:, k][codes] for k, name in enumerate(names)}
    texts = level_texts(factor.levels)
    first = 0 if full else 1
    return {factor.name + texts[k]: (codes == k).astype(np.float64) for k in range(first, len(texts))}

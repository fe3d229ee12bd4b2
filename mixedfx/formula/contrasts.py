"""How a factor becomes columns: R's treatment and polynomial contrasts, or one indicator a level."""

from __future__ import annotations

import numpy as np

from mixedfx.formula.levels import level_texts
from mixedfx.formula.transforms import Array
from mixedfx.formula.variables import Variable


def coding(variable: Variable, full: bool) -> tuple[Array, list[str]]:
    """The coding matrix of a factor and the endings of its coefficients' names.

    Parameters
    ----------
    variable
        A factor with n levels.
    full
        One indicator a level; else contrasts: treatment (the first level is the reference) for unordered
        factors, orthogonal polynomials for ordered ones.

    Returns
    -------
    matrix
        Shape (n, n) or (n, n - 1): a row for each level.
    endings
        ``["b", "c"]`` or ``[".L", ".Q", ".C", "^4"]``.
    """
    assert variable.levels is not None
    names = level_texts(variable.levels)
    n = len(names)
    if full:
        return np.eye(n), names
    if variable.ordered:
        from formulaic.transforms.contrasts import PolyContrasts

        polynomials = PolyContrasts()
        matrix = np.asarray(polynomials.get_coding_matrix(names, sparse=False), dtype=float)
        return matrix, [str(name) for name in polynomials.get_coding_column_names(names)]
    return np.eye(n)[:, 1:], names[1:]

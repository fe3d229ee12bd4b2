"""The coarse space: directions along which the objective is nearly flat, solved exactly.

Shifting all levels of a factor by c and beta by -c changes no linear predictor and costs only the prior's penalty.
Such directions ruin the condition number of S, and there are few of them, so they are taken out: the two-level
preconditioner A-DEF2 (Tang, Nabben, Vuik & Erlangga 2009, J. Sci. Comput. 39, table 2). The space is spanned by a
few dense directions G, which S is multiplied into, and by the sparse null directions N of nested factors: S N = N.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array
from scipy.sparse.linalg import SuperLU, splu

from mixedfx.linalg.elimination import Reduction
from mixedfx.linalg.lambdas import inverse_factor, level_products
from mixedfx.linalg.layout import RowLayout, Spanned
from mixedfx.linalg.nesting import Nesting, nestings, null_directions

Floats = NDArray[np.float64]

COLUMNS_AT_ONCE = 16
DEPENDENT = 1e-13
"""Scaled eigenvalue below which a dense direction is one of the null directions: less precise than rounding, because it
comes from a difference."""


@dataclass(frozen=True, eq=False)
class CoarseSpace:
    """E = [N G] with what E' S E's solution takes.

    Attributes
    ----------
    G, SG
        Dense directions and their images, shape (n_rest, m).
    N
        Sparse null directions, shape (n_rest, k); S N = N.
    solve_gram
        y -> (N'N)^-1 y, y (k, c).
    gram_NG
        (N'N)^-1 N'G, shape (k, m).
    inverse
        Pseudo-inverse of G'SG - G'N (N'N)^-1 N'G, shape (m, m).
    passes
        Traversals of the rows that the images took.
    """

    G: Floats
    SG: Floats
    N: csc_array
    solve_gram: Callable[[Floats], Floats]
    gram_NG: Floats
    inverse: Floats
    passes: int

    def split(self, b: Floats) -> tuple[Floats, Floats]:
        """(x, b - S x) with x = E (E'SE)^-1 E'b, so that the residual is orthogonal to E."""
        if not len(
            self.gram_NG
        ):  # products with an empty sparse matrix would take most of a small fit's time
            of_G = self.inverse @ (self.G.T @ b)
            return self.G @ of_G, b - self.SG @ of_G
        of_N, of_G = self._coefficients(self.N.T @ b, self.G.T @ b)
        x = self.N @ of_N + self.G @ of_G
        return x, b - self.N @ of_N - self.SG @ of_G

    def correct(self, z: Floats, r: Floats) -> Floats:
        """z + E (E'SE)^-1 E'(r - S z), without a product with S."""
        if not len(self.gram_NG):
            return z + self.G @ (self.inverse @ (self.G.T @ r - self.SG.T @ z))
        of_N, of_G = self._coefficients(self.N.T @ (r - z), self.G.T @ r - self.SG.T @ z)
        return z + self.N @ of_N + self.G @ of_G

    def _coefficients(self, y_N: Floats, y_G: Floats) -> tuple[Floats, Floats]:
        """(E'SE)^-1 of a right-hand side in its two parts."""
        of_N = self.solve_gram(y_N)
        of_G = self.inverse @ (y_G - self.gram_NG.T @ y_N)
        return of_N - self.gram_NG @ of_G, of_G


@dataclass(frozen=True, eq=False)
class CoarseDirections:
    """G, and what its columns have in common; which factors are nested.

    "All levels" of a coefficient give every row the coefficient's feature, and so does beta's entry for that feature.
    In b every column of G is therefore a combination of few columns F, at most one a feature, as far as rows can see:
    ``D_o Lambda G = D_o F C``, and only F has to be multiplied.

    Attributes
    ----------
    G
        Directions in u, shape (n_rest, m): all levels of each coefficient, then beta's and the thresholds' unit
        vectors.
    F
        Shape (n_rest, d), d <= m.
    column_of
        Column of F for each column of G read as a direction in b, shape (m,).
    spanned
        By column of F: which are combinations of the eliminated factor's own columns in each of its levels.
    nestings
        Pairs of nested remaining factors.
    """

    G: Floats
    F: Floats
    column_of: NDArray[np.int64]
    spanned: dict[int, Spanned]
    nestings: tuple[Nesting, ...]

    def combinations(self, reduction: Reduction) -> Floats:
        """C, shape (d, m): in b, "all levels" of coefficient i in u is a combination of those of its factor."""
        in_F = np.eye(self.F.shape[1])[:, self.column_of]
        C, first = in_F.copy(), 0
        for factor in reduction.lambdas.rest:
            own = slice(first, first + len(factor))
            C[:, own] = in_F[:, own] @ factor
            first += len(factor)
        return C


def coarse_directions(layout: RowLayout) -> CoarseDirections:
    """ "All levels" of every factor and coefficient in u, unit vectors of beta and thresholds, and nested factors."""
    directions: list[Floats] = []
    features: list[int | None] = []
    for block in layout.rest:
        for i in range(block.q):
            direction = np.zeros(layout.n_rest)
            direction[block.start + i : block.stop : block.q] = 1.0
            directions.append(direction)
            features.append(int(block.columns[i]))
    for i in range(layout.n_rest - layout.beta_start):
        direction = np.zeros(layout.n_rest)
        direction[layout.beta_start + i] = 1.0
        directions.append(direction)
        features.append(int(layout.fixed_columns[i]) if i < layout.p else None)
    distinct: list[Floats] = []
    of_feature: dict[int, int] = {}
    column_of = np.empty(len(directions), dtype=np.int64)
    # From the end: beta's unit vector stands for its feature where it has one.
    for column in reversed(range(len(directions))):
        feature = features[column]
        if feature is None or feature not in of_feature:
            if feature is not None:
                of_feature[feature] = len(distinct)
            column_of[column] = len(distinct)
            distinct.append(directions[column])
        else:
            column_of[column] = of_feature[feature]
    G, F = (
        np.array(some, dtype=float).reshape(len(some), layout.n_rest).T for some in (directions, distinct)
    )
    found = {column: layout.spanned(feature) for feature, column in of_feature.items()}
    spanned = {column: at for column, at in found.items() if at is not None}
    return CoarseDirections(
        np.ascontiguousarray(G), np.ascontiguousarray(F), column_of, spanned, nestings(layout)
    )


def coarse_space(reduction: Reduction, directions: CoarseDirections) -> CoarseSpace:
    """Multiply S into G, and set up the solution of E'SE."""
    G = directions.G
    images, passes = _images(reduction, directions)
    SG = reduction.penalty(G) + images @ directions.combinations(reduction)
    N = null_directions(reduction.operator.layout, reduction.lambdas, directions.nestings)
    k = np.diff(N.indptr).size
    solve_gram = factorised(csc_array(N.T @ N)).solve if k else np.copy
    NG = N.T @ G
    gram_NG = solve_gram(NG)
    inverse = symmetric_pseudo_inverse(G.T @ SG - NG.T @ gram_NG, DEPENDENT)
    return CoarseSpace(G, SG, N, solve_gram, gram_NG, inverse, passes)


def _images(reduction: Reduction, directions: CoarseDirections) -> tuple[Floats, int]:
    """The rows' part of S F, shape (n_rest, d), and the traversals of the rows that it takes.

    For a column in the eliminated factor's span it is Lambda_o' D_o' W Z_e M Sigma_e^-1 C: one traversal instead of a
    product's two, and no cancellation.
    """
    F, spanned, lambdas = directions.F, directions.spanned, reduction.lambdas
    inverse = inverse_factor(lambdas.e)
    exact = reduction.omega.dtype == np.float64  # in single precision W is not quite that of M
    images, passes = np.empty_like(F), 0
    if inverse is None or not spanned or not exact:
        spanned = {}
    else:
        passes += 1
        left = level_products(reduction.M, inverse.T @ inverse)
        own = reduction.operator.layout.features.tables[0]
        e = [
            left[:, :, at.column] if at.factor < 0 else left[:, :, at.column] * own[:, at.factor, None]
            for at in spanned.values()
        ]
        crossed = reduction.operator.cross(reduction.curvature, reduction.blocks.e, np.stack(e, axis=2))
        images[:, list(spanned)] = lambdas.rest_transpose_times(crossed)
    others = np.setdiff1d(np.arange(F.shape[1]), list(spanned))
    for i in range(0, len(others), COLUMNS_AT_ONCE):
        passes += 1
        batch = others[i : i + COLUMNS_AT_ONCE]
        images[:, batch] = reduction.image(np.ascontiguousarray(F[:, batch]))
    return images, passes


def factorised(gram: csc_array) -> SuperLU:
    """LU factors of a sparse matrix.

    Raises
    ------
    LinAlgError
        It is singular, or not finite.
    """
    try:
        return splu(gram)
    except RuntimeError as error:
        raise np.linalg.LinAlgError(str(error)) from error


def symmetric_pseudo_inverse(A: Floats, dependent: float | None = None) -> Floats:
    """Pseudo-inverse of a positive semidefinite matrix, scaled to a unit diagonal first; null directions get 0.

    `dependent` is the share of the largest eigenvalue that counts as 0: by default rounding.
    """
    if not len(A):
        return A
    scale = np.sqrt(np.maximum(np.diag(A), np.finfo(float).tiny))
    values, vectors = np.linalg.eigh(A / np.outer(scale, scale))
    kept = values > (len(A) * np.finfo(float).eps if dependent is None else dependent) * values[-1]
    inverse = (vectors[:, kept] / values[kept]) @ vectors[:, kept].T
    return inverse / np.outer(scale, scale)

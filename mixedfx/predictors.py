"""The linear predictor's ingredients, row by row, without any N x (J q) matrix.

Each distinct column of numbers is stored once, in `Predictors.features`; the fixed effects and every random
term point into it, so that ``1 + x + (1 + x | user) + (1 + x | item)`` on N rows stores one column of N numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.constant_rows import is_constant
from mixedfx.grouping import Grouping
from mixedfx.row_chunks import row_chunks

CONSTANT = -1
"""The feature number of the column of ones, which is never stored."""


@dataclass(frozen=True, eq=False)
class RandomTerm:
    """One grouping factor and the coefficients that each of its levels has.

    Attributes
    ----------
    grouping
        The factor.
    names
        Names of the q coefficients, as lme4 writes them, ``"(Intercept)"`` first where there is one.
    columns
        int32, shape (q,); the feature that each coefficient multiplies, `CONSTANT` for the intercept.
    free
        bool, shape (q, q), symmetric, true diagonal; False marks a covariance that is zero by the formula
        (``||``, or several bar terms on one factor).
    """

    grouping: Grouping
    names: tuple[str, ...]
    columns: NDArray[np.int32]
    free: NDArray[np.bool_]

    @property
    def name(self) -> str:
        return self.grouping.name

    @property
    def q(self) -> int:
        return len(self.names)

    @property
    def q_related(self) -> int:
        """Most coefficients whose covariances are all free: of the largest bar term on this factor."""
        return int(np.count_nonzero(self.free, axis=1).max())


@dataclass(frozen=True, eq=False)
class Predictors:
    """Everything eta = offset + X beta + sum_k z_k' b_k[code] needs, for N rows.

    Attributes
    ----------
    features
        float64, C-ordered, shape (N, F): the distinct non-constant columns.
    fixed_names, fixed_columns
        Names of the p fixed effects as R writes them, and the feature each multiplies (int32, shape (p,)).
    terms
        One `RandomTerm` a grouping factor.
    offset
        float64, shape (N,); a view of one 0 where the formula has none (`has_offset`).
    index
        Row labels of the caller's data, shape (N,).
    """

    features: NDArray[np.float64]
    fixed_names: tuple[str, ...]
    fixed_columns: NDArray[np.int32]
    terms: tuple[RandomTerm, ...]
    offset: NDArray[np.float64]
    index: pd.Index

    @property
    def n_rows(self) -> int:
        return len(self.offset)

    @property
    def has_offset(self) -> bool:
        """Whether `offset` is more than a view of one 0."""
        return not is_constant(self.offset)

    def columns(self, which: NDArray[np.int32]) -> NDArray[np.float64]:
        """The features numbered `which` as a dense matrix, shape (N, len(which))."""
        out = np.ones((self.n_rows, len(which)))
        stored = which != CONSTANT
        out[:, stored] = self.features[:, which[stored]]
        return out

    def X(self) -> NDArray[np.float64]:
        """The fixed-effects matrix, shape (N, p)."""
        return self.columns(self.fixed_columns)

    def z(self, term: RandomTerm) -> NDArray[np.float64]:
        """The rows z_r of one random term, shape (N, q)."""
        return self.columns(term.columns)

    def eta(self, beta: NDArray[np.float64], b: dict[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        """The linear predictor, shape (N,); levels coded -1 contribute nothing.

        `beta` has shape (p,), ``b[factor]`` shape (J, q).
        """
        eta = np.empty(self.n_rows)
        for rows in row_chunks(self.n_rows):
            part = self.slice(rows)
            eta[rows] = part.offset + part.X() @ beta
            for term in part.terms:
                codes = term.grouping.codes
                contribution = np.einsum("rq,rq->r", part.z(term), b[term.name][codes])
                eta[rows] += np.where(codes >= 0, contribution, 0.0)
        return eta

    def random_alone(self) -> Predictors:
        """The same rows without fixed effects, and with the features of random terms alone."""
        none = np.zeros(0, dtype=np.int32)
        used = np.unique(np.concatenate([none, *(term.columns for term in self.terms)]))
        used = used[used != CONSTANT]
        number = np.full(self.features.shape[1] + 1, CONSTANT, dtype=np.int32)  # [CONSTANT] is last
        number[used] = np.arange(len(used))
        terms = tuple(replace(term, columns=number[term.columns]) for term in self.terms)
        features = self.features[:, used]
        return replace(self, features=features, fixed_names=(), fixed_columns=none, terms=terms)

    def slice(self, rows: slice) -> Predictors:
        """Neighbouring rows, as views; all levels stay."""
        return replace(
            self,
            features=self.features[rows],
            offset=self.offset[rows],
            index=self.index[rows],
            terms=tuple(replace(t, grouping=t.grouping.slice(rows)) for t in self.terms),
        )

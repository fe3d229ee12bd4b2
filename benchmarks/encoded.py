"""A problem's data as plain arrays, for libraries without formulas and for computing the objective."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Term:
    """One grouping factor.

    Attributes
    ----------
    name, coefficients
        The factor and its q coefficients, named as lme4 names them.
    levels
        Labels of the J levels as text.
    codes
        Level of each row, shape (N,).
    columns
        The feature that each coefficient multiplies, -1 for the intercept, shape (q,).
    free
        Which covariances the formula leaves free, shape (q, q).
    sigma
        The covariance that a "coefficients" problem gives, shape (q, q), else None.
    """

    name: str
    coefficients: tuple[str, ...]
    levels: NDArray[np.str_]
    codes: Ints
    columns: Ints
    free: NDArray[np.bool_]
    sigma: Floats | None

    @property
    def q(self) -> int:
        return len(self.coefficients)

    @property
    def cholesky(self) -> Floats:
        """Lambda with Lambda Lambda' = Sigma."""
        if self.sigma is None:
            raise ValueError(f"no covariance is given for factor '{self.name}'")
        return np.linalg.cholesky(self.sigma)


@dataclass(frozen=True, eq=False)
class Encoded:
    """Response (N,), distinct non-constant features (N, F), and what the coefficients multiply.

    `thresholds` are the names of a cumulative model's, whose y are category numbers from 0; () for other families.
    `sigma2` is the residual variance that a "coefficients" problem gives, None where there is none.
    """

    y: Floats
    features: Floats
    fixed_names: tuple[str, ...]
    fixed_columns: Ints
    thresholds: tuple[str, ...]
    terms: tuple[Term, ...]
    sigma2: float | None

    @property
    def n_rows(self) -> int:
        return len(self.y)

    @property
    def common_names(self) -> tuple[str, ...]:
        """Coefficients that all rows share: fixed effects, then thresholds."""
        return (*self.fixed_names, *self.thresholds)

    def columns(self, which: Ints) -> Floats:
        """Features by number as a dense matrix, ones for -1, shape (N, len(which))."""
        out = np.ones((self.n_rows, len(which)))
        out[:, which >= 0] = self.features[:, which[which >= 0]]
        return out

    def eta(self, beta: Floats, b: dict[str, Floats]) -> Floats:
        """Linear predictor at beta (p,) and b[factor] (J, q), shape (N,)."""
        eta = self.columns(self.fixed_columns) @ beta
        for term in self.terms:
            eta += np.einsum("rq,rq->r", self.columns(term.columns), b[term.name][term.codes])
        return eta

    def write(self, path: Path) -> None:
        arrays: dict[str, NDArray] = {
            "y": self.y,
            "features": self.features,
            "fixed_names": np.array(self.fixed_names, dtype=str),
            "fixed_columns": self.fixed_columns,
            "thresholds": np.array(self.thresholds, dtype=str),
            "factors": np.array([term.name for term in self.terms], dtype=str),
            "sigma2": np.array(np.nan if self.sigma2 is None else self.sigma2),
        }
        for k, term in enumerate(self.terms):
            arrays |= {
                f"coefficients{k}": np.array(term.coefficients, dtype=str),
                f"levels{k}": term.levels,
                f"codes{k}": term.codes,
                f"columns{k}": term.columns,
                f"free{k}": term.free,
            }
            if term.sigma is not None:
                arrays[f"sigma{k}"] = term.sigma
        np.savez(path, **arrays)  # pyright: ignore[reportArgumentType]

    @classmethod
    def read(cls, path: Path) -> Encoded:
        with np.load(path, allow_pickle=False) as saved:
            terms = tuple(
                Term(
                    str(name),
                    tuple(saved[f"coefficients{k}"].tolist()),
                    saved[f"levels{k}"],
                    saved[f"codes{k}"],
                    saved[f"columns{k}"],
                    saved[f"free{k}"],
                    saved.get(f"sigma{k}"),
                )
                for k, name in enumerate(saved["factors"])
            )
            sigma2 = float(saved["sigma2"])
            return cls(
                saved["y"],
                saved["features"],
                tuple(saved["fixed_names"].tolist()),
                saved["fixed_columns"],
                tuple(saved["thresholds"].tolist()),
                terms,
                None if np.isnan(sigma2) else sigma2,
            )

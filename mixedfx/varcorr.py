"""VarCorr: the covariances of the random effects, the only thing that passes from stage 1 to stage 2."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.errors import VarCorrError
from mixedfx.predictors import RandomTerm

RESIDUAL = "Residual"
INTERCEPT = "(Intercept)"
FRAME_COLUMNS = ["grp", "var1", "var2", "vcov", "sdcor"]


@dataclass(frozen=True, eq=False)
class CovarianceBlock:
    """Sigma_k of one grouping factor: coefficient names, matrix (q, q) and which entries are free."""

    factor: str
    names: tuple[str, ...]
    matrix: NDArray[np.float64]
    free: NDArray[np.bool_]

    def __post_init__(self) -> None:
        _check_positive_semidefinite(self)

    def factor_matrix(self) -> NDArray[np.float64]:
        """Lower-triangular Lambda with Lambda Lambda' = matrix, for singular matrices too, shape (q, q)."""
        return lower_factor(self.matrix)


@dataclass(frozen=True, eq=False)
class VarCorr:
    """Absolute covariances of every grouping factor, and the residual variance where there is one.

    Singular matrices are allowed, indefinite ones are refused when the object is made.

    Attributes
    ----------
    blocks
        One `CovarianceBlock` a factor.
    sigma2
        Residual variance, or None (families without one).
    freezable, why
        False where stage 1 could not establish the covariances; `why` then says so and what to do.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"grp": ["user", "Residual"], "var1": ["(Intercept)", None],
    ...                       "var2": [None, None], "vcov": [0.5, 1.0]})
    >>> vc = VarCorr.from_frame(frame)
    >>> vc.factors
    ('user',)
    >>> vc.sigma
    1.0
    """

    blocks: tuple[CovarianceBlock, ...]
    sigma2: float | None = None
    freezable: bool = True
    why: str = ""

    def __post_init__(self) -> None:
        if self.sigma2 is not None and not self.sigma2 > 0:
            raise VarCorrError(f"the Residual variance is {self.sigma2:g}, but it must be above 0")

    @property
    def factors(self) -> tuple[str, ...]:
        """Names of the grouping factors."""
        return tuple(block.factor for block in self.blocks)

    @property
    def sigma(self) -> float | None:
        """Residual standard deviation, or None."""
        return None if self.sigma2 is None else float(np.sqrt(self.sigma2))

    def __getitem__(self, factor: str) -> pd.DataFrame:
        """Sigma of one factor, labelled by coefficient names."""
        block = self.block(factor)
        return pd.DataFrame(block.matrix.copy(), index=list(block.names), columns=list(block.names))

    def __iter__(self) -> Iterator[str]:
        return iter(self.factors)

    def block(self, factor: str) -> CovarianceBlock:
        """The block of one factor; raises `VarCorrError` for an unknown name."""
        for block in self.blocks:
            if block.factor == factor:
                return block
        raise VarCorrError(f"no covariance for factor '{factor}'; there are: {', '.join(self.factors)}")

    @classmethod
    def from_frame(cls, frame: pd.DataFrame) -> VarCorr:
        """Read lme4's ``as.data.frame(VarCorr(fit))``.

        Parameters
        ----------
        frame
            Columns ``grp`` (or diamond's ``group``), ``var1``, ``var2``, ``vcov``; others are ignored. An empty
            `var2` (None, NaN or "") marks a variance, ``grp == "Residual"`` holds sigma^2, covariances not given
            are 0, and ``"intercept"`` means ``"(Intercept)"``.

        Raises
        ------
        VarCorrError
            It is no DataFrame, a column is missing, an entry is given twice or is not a number, a covariance has no
            variances beside it, or a matrix is indefinite.
        """
        if not isinstance(frame, pd.DataFrame):
            raise VarCorrError(
                f"the covariance table must be a pandas DataFrame, not {type(frame).__name__}; read a file with "
                "pandas.read_csv() first"
            )
        if {"grp", "group"} <= set(frame.columns):
            raise VarCorrError(
                "the covariance table has both columns 'grp' and 'group', which mean the same; drop one"
            )
        frame = frame.rename(columns={"group": "grp"})
        missing = [c for c in FRAME_COLUMNS[:4] if c not in frame.columns]
        if missing:
            raise VarCorrError(
                f"the covariance table lacks column {', '.join(map(repr, missing))}; it needs grp, var1, var2, "
                "vcov, as as.data.frame(VarCorr(fit)) has in lme4"
            )
        sigma2: float | None = None
        entries: dict[str, dict[tuple[str, str], float]] = {}
        for group, var1, var2, vcov in frame[FRAME_COLUMNS[:4]].to_numpy(dtype=object):
            factor, value = str(group), _number(vcov, group)
            if factor == RESIDUAL:
                if sigma2 is not None:
                    raise VarCorrError("the covariance table has two Residual rows; keep one")
                sigma2 = value
                continue
            first = _coefficient(var1)
            if first is None:
                raise VarCorrError(
                    f"a row of factor '{factor}' has no var1: name the coefficient it is about"
                )
            second = _coefficient(var2) or first
            block = entries.setdefault(factor, {})
            if (first, second) in block or (second, first) in block:
                raise VarCorrError(f"factor '{factor}' gives ({first}, {second}) twice; keep one row")
            block[first, second] = value
        return cls(tuple(_block_from_entries(f, e) for f, e in entries.items()), sigma2)

    @classmethod
    def from_posterior(cls, datatree: Any, names: Mapping[str, Any], *, force: bool = False) -> VarCorr:
        """Freeze the mean of covariances drawn by another library: brms, bambi, CmdStan, PyMC.

        See `mixedfx.foreign_posterior.varcorr_from_posterior` for what `names` may hold and what is checked.

        Examples
        --------
        >>> names = {"user": {"sd": ["sd_user__Intercept", "sd_user__x"], "correlation": ["cor_user__Intercept__x"],
        ...                   "coefficients": ["(Intercept)", "x"]}, "Residual": {"sd": "sigma"}}
        >>> VarCorr.from_posterior(datatree, names)  # doctest: +SKIP
        """
        from mixedfx.foreign_posterior import varcorr_from_posterior

        return varcorr_from_posterior(datatree, names, force=force)

    def to_frame(self) -> pd.DataFrame:
        """lme4's frame: grp, var1, var2, vcov, sdcor; variances first, then free covariances, Residual last."""
        rows: list[tuple[str, object, object, float, float]] = []
        for block in self.blocks:
            sd = np.sqrt(np.diag(block.matrix))
            rows += [(block.factor, n, np.nan, block.matrix[i, i], sd[i]) for i, n in enumerate(block.names)]
            for i, j in free_covariances(block.free):
                scale = sd[i] * sd[j]
                correlation = block.matrix[i, j] / scale if scale > 0 else np.nan
                rows.append((block.factor, block.names[i], block.names[j], block.matrix[i, j], correlation))
        if self.sigma2 is not None:
            rows.append((RESIDUAL, np.nan, np.nan, self.sigma2, np.sqrt(self.sigma2)))
        frame = pd.DataFrame(rows, columns=FRAME_COLUMNS)
        return frame.astype({"grp": object, "var1": object, "var2": object})

    def align(self, terms: Iterable[RandomTerm]) -> VarCorr:
        """The same covariances in the order of the design's terms, coefficients in each term's order.

        Raises
        ------
        VarCorrError
            A factor or coefficient of the formula has no covariance here, or one here is not in the formula.
        """
        terms = tuple(terms)
        wanted = [term.name for term in terms]
        unknown = [f for f in self.factors if f not in wanted]
        if unknown:
            raise VarCorrError(
                f"the covariances name factor '{unknown[0]}', which the formula does not have; its grouping "
                f"factors are: {', '.join(wanted)}"
            )
        return replace(self, blocks=tuple(self._aligned_block(term) for term in terms))

    def _aligned_block(self, term: RandomTerm) -> CovarianceBlock:
        if term.name not in self.factors:
            raise VarCorrError(
                f"the covariances lack factor '{term.name}'; they have: {', '.join(self.factors) or 'none'}. Add "
                "its rows to the table, or take its bar term out of the formula"
            )
        block = self.block(term.name)
        if set(block.names) != set(term.names):
            raise VarCorrError(
                f"the covariance of factor '{term.name}' is about ({', '.join(block.names)}), but the formula gives "
                f"it the coefficients ({', '.join(term.names)}); they must be the same"
            )
        order = [block.names.index(name) for name in term.names]
        pick = np.ix_(order, order)
        return CovarianceBlock(term.name, term.names, block.matrix[pick], block.free[pick])

    def __repr__(self) -> str:
        return f"VarCorr(\n{self.to_frame().to_string(index=False, na_rep='')}\n)"


def free_covariances(free: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Index pairs (i, j), i < j, of the free covariances, column by column as lme4 lists them."""
    q = len(free)
    return [(i, j) for i in range(q) for j in range(i + 1, q) if free[i, j]]


def lower_factor(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lower-triangular L with L L' = matrix for a positive semidefinite matrix.

    A pivot that is zero to rounding gets a zero column: the remaining column must then vanish too, because the
    matrix is positive semidefinite.
    """
    q = len(matrix)
    factor = np.zeros((q, q))
    rest = np.array(matrix, dtype=float)
    for j in range(q):
        if rest[j, j] > 1e-13 * max(matrix[j, j], np.finfo(float).tiny):
            factor[j:, j] = rest[j:, j] / np.sqrt(rest[j, j])
            rest[j:, j:] -= np.outer(factor[j:, j], factor[j:, j])
    return factor


def _block_from_entries(factor: str, entries: dict[tuple[str, str], float]) -> CovarianceBlock:
    names = [a for a, b in entries if a == b]
    matrix = np.zeros((len(names), len(names)))
    free = np.eye(len(names), dtype=bool)
    for (a, b), value in entries.items():
        for name in (a, b):
            if name not in names:
                raise VarCorrError(
                    f"factor '{factor}' has a covariance of ({a}, {b}) but no variance of '{name}'; add that row"
                )
        i, j = names.index(a), names.index(b)
        matrix[i, j] = matrix[j, i] = value
        free[i, j] = free[j, i] = True
    return CovarianceBlock(factor, tuple(names), matrix, free)


def _check_positive_semidefinite(block: CovarianceBlock) -> None:
    if not np.isfinite(block.matrix).all():
        raise VarCorrError(f"the covariance of factor '{block.factor}' holds values that are not finite")
    negative = np.diag(block.matrix) < 0
    if negative.any():
        i = int(np.flatnonzero(negative)[0])
        raise VarCorrError(
            f"factor '{block.factor}' has a negative variance of '{block.names[i]}': {block.matrix[i, i]:g}"
        )
    # On the correlation scale the tolerance does not depend on the units of the coefficients.
    sd = np.sqrt(np.diag(block.matrix))
    scale = np.outer(np.where(sd > 0, sd, 1.0), np.where(sd > 0, sd, 1.0))
    smallest = float(np.linalg.eigvalsh(block.matrix / scale)[0]) if len(sd) else 0.0
    if smallest < -1e-8 or np.any(block.matrix[sd == 0] != 0):
        raise VarCorrError(
            f"the covariance of factor '{block.factor}' is not positive semidefinite (smallest eigenvalue "
            f"{float(np.linalg.eigvalsh(block.matrix)[0]):.3g}); no data could have it. Check its covariances: each "
            "must be smaller than the product of the two standard deviations"
        )


def _coefficient(value: object) -> str | None:
    if value is None or value == "" or (isinstance(value, float) and np.isnan(value)) or value is pd.NA:
        return None
    return INTERCEPT if value == "intercept" else str(value)


def _number(value: object, factor: object) -> float:
    try:
        number = float(value)  # pyright: ignore[reportArgumentType]
    except (TypeError, ValueError):
        number = np.nan
    if not np.isfinite(number):
        raise VarCorrError(f"factor '{factor}' has vcov {value!r}, which is not a finite number")
    return number

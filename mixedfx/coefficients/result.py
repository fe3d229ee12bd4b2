"""What stage 2 returns: everybody's coefficients, their uncertainty, and predictions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.coefficients import predict as prediction
from mixedfx.coefficients.component import Mixture
from mixedfx.coefficients.fold_in import fold_in
from mixedfx.errors import ConvergenceError, SettingError
from mixedfx.families import get_family
from mixedfx.families.cumulative import as_cumulative
from mixedfx.formula.spec import DesignSpec
from mixedfx.predictors import Predictors
from mixedfx.varcorr import VarCorr

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from xarray import DataTree

    from mixedfx.summary import Summary

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class CoefficientsResult:
    """The joint mode of all coefficients at fixed covariances, and the normal distribution around it.

    Attributes
    ----------
    spec
        How data are encoded; ``spec.formula`` is the formula.
    family
        Name of the family.
    mixture
        Modes and their normal distributions, one for each VarCorr given.
    converged, reason
        Whether the solver reached its tolerance, and why it stopped, in words.
    stats
        newton_iterations, cg_iterations, passes, grad_norm, decrement, objective, seconds, `history` (the
        `NewtonStep` of each iteration), components and largest_component (see `mixedfx.linalg.connectivity`),
        and backend.
    tol
        The solver's tolerance.
    n_rows
        Rows used.
    """

    spec: DesignSpec
    family: str
    mixture: Mixture
    converged: bool
    reason: str
    stats: Mapping[str, Any]
    tol: float
    n_rows: int

    @property
    def formula(self) -> str:
        """The formula's text."""
        return self.spec.formula

    @property
    def varcorr(self) -> VarCorr:
        """The covariances (the first of several draws)."""
        return self.mixture.components[0].varcorr

    @property
    def thresholds(self) -> pd.Series | None:
        """Thresholds of the cumulative family, named "1|2", "2|3", ... by its categories; else None."""
        if not get_family(self.family).has_thresholds:
            return None
        levels = [str(level) for level in self._categories]
        names = [f"{low}|{high}" for low, high in pairwise(levels)]
        return pd.Series(self.mixture.alpha(), index=names, name="thresholds")

    @cached_property
    def thresholds_se(self) -> pd.Series | None:
        """Standard errors of the thresholds, None where there are none: from C^-1, by one solve each."""
        thresholds = self.thresholds
        if thresholds is None:
            return None
        return pd.Series(self._fixed_se[len(self.fixef) :], index=thresholds.index, name="thresholds_se")

    @cached_property
    def fixef(self) -> pd.Series:
        """Fixed effects, named as R names them."""
        return pd.Series(self.mixture.beta(), index=list(self.spec.fixed_names), name="fixef")

    @cached_property
    def fixef_se(self) -> pd.Series:
        """Standard errors of the fixed effects: from C^-1, by one solve each."""
        return pd.Series(self._fixed_se[: len(self.fixef)], index=self.fixef.index, name="fixef_se")

    @cached_property
    def ranef(self) -> dict[str, pd.DataFrame]:
        """Conditional modes of each factor's levels: factor -> DataFrame (J, q)."""
        return {name: self._frame(name, self.mixture.b(name)) for name in self.spec.factors}

    def ranef_sd(self, factor: str, conditional: bool = False) -> pd.DataFrame:
        """Standard deviations of a factor's coefficients, shaped as ``ranef[factor]``.

        Parameters
        ----------
        factor
            Name of the grouping factor.
        conditional
            True: given the fixed effects, lme4's condVar. False: with their uncertainty included.

        Notes
        -----
        Exact where the factors other than the largest have up to 5,000 coefficients together; beyond that with a Monte
        Carlo error of at most 3 %, see `mixedfx.coefficients.sampled_covariances`.
        """
        self.spec.group(factor)
        return self._frame(factor, np.sqrt(self.mixture.level_variances(factor, conditional=conditional)))

    def draws(
        self,
        n: int,
        *,
        factors: Sequence[str] | None = None,
        levels: Mapping[str, Sequence[object]] | None = None,
        seed: int = 0,
    ) -> DataTree:
        """Draws of all coefficients from N(mode, C^-1), jointly, as an ArviZ posterior group.

        Parameters
        ----------
        n
            How many.
        factors
            Factors to keep; all by default.
        levels
            Factor -> labels of the levels to keep; all by default.
        seed
            The same seed gives the same draws.

        Returns
        -------
        DataTree
            Group ``posterior`` with ``beta`` (chain, draw, coef), ``b_<factor>`` (chain, draw, <factor>,
            <factor>_coef) and, for the cumulative family, ``alpha`` (chain, draw, threshold).

        Raises
        ------
        SettingError
            `n`, `seed` or `factors` are not what they have to be, or `levels` are of a factor that is not kept.
        DataError
            There is no such factor or level.
        """
        from mixedfx.coefficients.datatree import draws_tree

        if isinstance(n, bool) or not isinstance(n, Integral) or n < 1:
            raise SettingError(f"n must be a whole number, at least 1, not {n!r}")
        if isinstance(seed, bool) or not isinstance(seed, Integral) or seed < 0:
            raise SettingError(f"seed must be a whole number, at least 0, not {seed!r}")
        if isinstance(factors, str):
            raise SettingError(
                f"factors must be a list of names, such as [{factors!r}], not the text {factors!r}"
            )
        left_out = [name for name in levels or {} if factors is not None and name not in factors]
        if left_out:
            raise SettingError(
                f"levels are given for '{left_out[0]}', which is not among the factors to keep"
            )
        fixed, random = self.mixture.draws(n, np.random.default_rng(seed))
        return draws_tree(self, fixed, random, factors, levels or {})

    def predict(
        self,
        new_data: object,
        *,
        type: str = "response",
        new_levels: str = "population",
        interval: float | None = None,
    ) -> pd.Series | pd.DataFrame:
        """Predict new rows.

        Parameters
        ----------
        new_data
            Rows with the formula's columns; the response is not needed.
        type
            "response": the mean, for the cumulative family a column of probabilities a category; "link": the linear
            predictor; "class": the likeliest category.
        new_levels
            Levels that the fit did not have: "population" predicts them from the fixed effects, "error" refuses them.
        interval
            A probability such as 0.9 adds the interval of the linear predictor or mean: uncertainty of the
            coefficients, and the whole of Sigma for new levels. Not of a single observation: add sigma^2 for that.

        Returns
        -------
        Series or DataFrame
            On the index of `new_data`; with `interval` columns fit, lower, upper.

        Raises
        ------
        MixedfxError
            A column is missing or has missing values, a level is new and that is refused, or a setting is unknown.
        """
        if type not in ("response", "link", "class"):
            raise SettingError(f"type must be 'response', 'link' or 'class', not {type!r}")
        family = get_family(self.family)
        ordinal = family.has_thresholds
        if type == "class" and not (ordinal or family.name == "bernoulli"):
            raise SettingError(f"type='class' is for families with classes; '{family.name}' has none")
        if interval is not None and (type == "class" or (ordinal and type == "response")):
            raise SettingError(f"type={type!r} has no interval; ask for one with type='link'")
        prediction.check_new_levels(new_levels)
        frame = self.spec.complete(new_data)
        eta = prediction.predict_rows(self.spec, self.mixture, frame, new_levels)
        index, name = frame.index, self.spec.response_name
        if interval is not None:
            predictors = self.spec.encode_complete(frame)
            variance = prediction.linear_predictor_variance(self.mixture, predictors)
            return prediction.with_interval(family, self._auxiliary, eta, variance, interval, type, index)
        if type == "link":
            return pd.Series(eta, index=index, name=name)
        if ordinal:
            probabilities = as_cumulative(family).probabilities(eta, self._auxiliary)
            if type == "response":
                return pd.DataFrame(probabilities, index=index, columns=self._categories)
            return pd.Series(self._categories[probabilities.argmax(axis=1)], index=index, name=name)
        mean = family.mean(eta, self._auxiliary)
        if type == "class":
            return pd.Series(self._categories[(mean > 0.5).astype(int)], index=index, name=name)
        return pd.Series(mean, index=index, name=name)

    def fitted(self, data: object) -> pd.Series | pd.DataFrame:
        """Mean responses of rows of the fit: ``predict(data)``, but a level the fit did not have is an error."""
        return self.predict(data, new_levels="error")

    def residuals(self, data: object) -> pd.Series:
        """Response minus mean response, on the index of `data`; categories count as numbers 0, 1, 2, ..."""
        y, _ = self.spec.encode_response(data)
        link = self.predict(data, type="link", new_levels="error")
        fitted = get_family(self.family).mean(link.to_numpy(), self._auxiliary)
        return pd.Series(y - fitted, index=link.index, name="residual")

    def fold_in(self, new_rows: object, *, weights: object = None) -> dict[str, pd.DataFrame]:
        """Coefficients of new levels from a few rows, given everything else; nothing is refitted or changed.

        Parameters
        ----------
        new_rows
            Rows with the formula's columns and the response.
        weights
            An array or a column's name; by default the column that held the weights of the fit. Needed where those were
            given as an array.

        Returns
        -------
        dict
            Factor -> DataFrame like `ranef`, for the levels that the fit did not have.

        Raises
        ------
        DataError
            Every level was in the fit already, or the rows cannot be encoded.
        SettingError
            The weights of the fit were an array, and none are given here.
        """
        return fold_in(self.spec, get_family(self.family), self.mixture, new_rows, self.tol, weights)

    def summary(self) -> Summary:
        """Fixed effects with standard errors, the covariances used and convergence, to print or show in a notebook."""
        from mixedfx.coefficients.summary import summarise

        return summarise(self)

    def save(self, folder: str | Path) -> None:
        """Write everything that predictions and standard errors need: Parquet and JSON, no pickle."""
        from mixedfx.coefficients.saved import save_coefficients

        save_coefficients(self, folder)

    def __repr__(self) -> str:
        state = "converged" if self.converged else "not converged"
        sizes = ", ".join(f"{group.name} {len(group.levels):,}" for group in self.spec.groups)
        return f"<CoefficientsResult: {self.formula}; {self.family}; {self.n_rows:,} rows; levels: {sizes}; {state}>"

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()

    def aligned_to(self, predictors: Predictors) -> tuple[Floats, dict[str, Floats], Floats]:
        """(beta, b, alpha) in the order of another design's coefficients and levels; what this fit lacks is 0."""
        beta = self.fixef.reindex(list(predictors.fixed_names)).fillna(0.0).to_numpy()
        b = {}
        for term in predictors.terms:
            own = self.ranef.get(term.name, pd.DataFrame())
            own = own.reindex(index=term.grouping.levels, columns=list(term.names))
            b[term.name] = own.fillna(0.0).to_numpy(dtype=float)
        return beta, b, self.mixture.alpha()

    @cached_property
    def _fixed_se(self) -> Floats:
        """Of fixed effects and thresholds; NaN where the solver ended far from any mode and C cannot be solved with."""
        nothing = np.full(len(self.fixef) + len(self.mixture.alpha()), np.nan)
        if not np.isfinite(self.stats["objective"]):
            return nothing
        try:
            return np.sqrt(np.diag(self.mixture.fixef_covariance()))
        except (ConvergenceError, np.linalg.LinAlgError):
            if self.converged:
                raise
            return nothing

    @property
    def _auxiliary(self) -> object:
        return self.mixture.alpha() if get_family(self.family).has_thresholds else self.varcorr.sigma2

    @property
    def _categories(self) -> pd.Index:
        """Labels of the response's categories; 0 and 1 for a numeric binary response."""
        levels = self.spec.response_levels
        return pd.Index([0, 1]) if levels is None else levels

    def _frame(self, factor: str, values: Floats) -> pd.DataFrame:
        levels = self.spec.group(factor).levels
        names = self.varcorr.block(factor).names
        return pd.DataFrame(values, index=levels.rename(factor), columns=list(names))

"""The response's part of a generalized likelihood: loss of all rows and its derivatives in eta and thresholds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixedfx.design import Design
from mixedfx.families import Family
from mixedfx.families.cumulative import Cumulative
from mixedfx.linalg.threads import in_threads, thread_count

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Border:
    """Second derivatives that involve the thresholds alpha, shape (m,); m is 0 for families without.

    Attributes
    ----------
    category
        int64, shape (N,).
    upper, lower
        w f(a) and w f(c), shape (N,): w d l'/d alpha is -upper in column `category`, -lower in the one before.
    gap
        Hessian of what the distances between neighbouring thresholds add, shape (m, m).
    size
        m.
    """

    category: NDArray[np.int64]
    upper: Floats
    lower: Floats
    gap: Floats
    size: int

    def dense(self, first: int = 0, stop: int | None = None) -> Floats:
        """K = w d l'/d alpha, shape (N, m), or its columns from `first` to `stop`."""
        from mixedfx.covariance.response_kernels import border_columns

        N = len(self.upper)
        K = np.empty((N, (self.size if stop is None else stop) - first))
        parts = thread_count(N)
        arguments = (self.category, self.upper, self.lower, first, K)
        in_threads(
            [(border_columns, (N * i // parts, N * (i + 1) // parts, *arguments)) for i in range(parts)]
        )
        return K

    def transpose_times(self, rows: Floats) -> Floats:
        """K' rows, rows (N, c)."""
        if not self.size:
            return np.zeros((0, rows.shape[1]))
        from mixedfx.covariance.response_kernels import border_products

        out = np.zeros((self.size, rows.shape[1]))
        border_products(self.category, self.upper, self.lower, np.ascontiguousarray(rows), out)
        return out

    def hessian(self) -> Floats:
        """A = sum w d^2 l / d alpha^2, shape (m, m)."""
        if not self.size:
            return np.zeros((0, 0))
        diagonal = self.transpose_times(np.ones((len(self.upper), 1)))[:, 0]
        return np.diag(-diagonal) + self.gap


@dataclass(frozen=True, eq=False)
class Evaluation:
    """sum w l, w l' and w l'' (N,), sum w dl/d alpha (m,), and the border."""

    loss: float
    d1: Floats
    d2: Floats
    alpha_slope: Floats
    border: Border


@dataclass(frozen=True, eq=False)
class Third:
    """w l''' (N,), and w d l''/d alpha: `upper` for the threshold above a row's category, `lower` for that below; these
    are empty without thresholds."""

    d3: Floats
    upper: Floats
    lower: Floats
    category: NDArray[np.int64]
    size: int

    def by_threshold(self, rows: Floats) -> Floats:
        """sum_r rows_r w d l''/d alpha, shape (m,)."""
        m = self.size
        if not m:
            return np.zeros(0)
        above = np.bincount(self.category, rows * self.upper, m + 1)[:m]
        return above + np.bincount(self.category, rows * self.lower, m + 1)[1:]


@dataclass(frozen=True, eq=False)
class Response:
    """Sorted response rows of one family.

    Attributes
    ----------
    y, weights
        Shape (N,); `weights` may be a view of one number.
    category
        int64, shape (N,): y of families with thresholds, else empty.
    counts
        sum of w by category, shape (m + 1,).
    n_thresholds
        m.
    fixed_loss
        What of sum w l does not depend on eta and thresholds; the kernels leave it out.
    constant
        What -sum w l lacks of the log density.
    """

    family: Family
    y: Floats
    weights: Floats
    category: NDArray[np.int64]
    counts: Floats
    n_thresholds: int
    fixed_loss: float
    constant: float

    @classmethod
    def of(cls, design: Design, family: Family, order: NDArray[np.integer]) -> Response:
        """The design's response in the order of its sorted rows."""
        y = np.asarray(design.y, dtype=np.float64)
        weights = design.weights
        fixed_loss, constant = family.loss_constant(y, weights, 1.0), family.log_constant(y, weights)
        y = y[order]
        weights = weights[order] if design.weighted else weights
        if not isinstance(family, Cumulative):
            empty = np.zeros(0, dtype=np.int64)
            return cls(family, y, weights, empty, np.zeros(1), 0, fixed_loss, constant)
        levels = design.response_levels
        assert levels is not None
        category = y.astype(np.int64)
        counts = np.bincount(category, weights, len(levels))
        return cls(family, y, weights, category, counts, len(levels) - 1, fixed_loss, constant)

    def start_alpha(self, offset: Floats) -> Floats:
        """Thresholds of a model without predictors; empty for families without."""
        if not isinstance(self.family, Cumulative):
            return np.zeros(0)
        return self.family.marginal_thresholds(self.counts) + float(np.average(offset, weights=self.weights))

    def evaluate(self, eta: Floats, alpha: Floats) -> Evaluation:
        """Loss, slope and curvature at a linear predictor and thresholds."""
        from mixedfx.covariance import response_kernels as kernels

        d1, d2 = np.empty_like(eta), np.empty_like(eta)
        if not isinstance(self.family, Cumulative):
            loss = sum(self._in_threads(kernels.evaluate, self._kind, self.y, eta, *self._weights, d1, d2))
            loss += self.fixed_loss
            return Evaluation(loss, d1, d2, np.zeros(0), Border(self.category, d2, d2, np.zeros((0, 0)), 0))
        upper, lower = np.empty_like(eta), np.empty_like(eta)
        parts = self._in_threads(
            kernels.evaluate_ordinal, self.category, eta, *self._weights, _edges(alpha), d1, d2, upper, lower
        )
        loss = sum(part[0] for part in parts)
        above, below = (np.sum([part[i] for part in parts], axis=0) for i in (1, 2))
        gaps = self.family.gaps(self.counts, alpha)
        border = Border(self.category, upper, lower, gaps.hessian, self.n_thresholds)
        return Evaluation(loss + gaps.loss, d1, d2, below[1:] - above[:-1] + gaps.gradient, border)

    def loss(self, eta: Floats, alpha: Floats) -> float:
        """sum w l; infinite where thresholds do not increase."""
        from mixedfx.covariance import response_kernels as kernels

        if not isinstance(self.family, Cumulative):
            rows = self._in_threads(kernels.loss, self._kind, self.y, eta, *self._weights)
            return sum(rows) + self.fixed_loss
        if (np.diff(alpha) <= 0).any():
            return np.inf
        rows = self._in_threads(kernels.loss_ordinal, self.category, eta, *self._weights, _edges(alpha))
        return sum(rows) + self.family.gaps(self.counts, alpha).loss

    def third(self, eta: Floats, alpha: Floats) -> Third:
        """How the curvature w l'' changes with eta and thresholds."""
        from mixedfx.covariance import response_kernels as kernels

        if not self.n_thresholds:
            d3 = np.empty_like(eta)
            self._in_threads(kernels.third, self._kind, eta, *self._weights, d3)
            return Third(d3, np.zeros(0), np.zeros(0), self.category, 0)
        upper, lower = np.empty_like(eta), np.empty_like(eta)
        self._in_threads(
            kernels.third_ordinal, self.category, eta, *self._weights, _edges(alpha), upper, lower
        )
        return Third(-(upper + lower), upper, lower, self.category, self.n_thresholds)

    @property
    def _weights(self) -> tuple[Floats, int]:
        """As the kernels take them."""
        varied = self.weights.strides != (0,)
        return np.ascontiguousarray(self.weights if varied else self.weights[:1]), int(varied)

    @property
    def _kind(self) -> int:
        return self.family.compiled_kind

    def _in_threads(self, kernel: Callable[..., Any], *arguments: Any) -> list[Any]:
        """A kernel's results for runs of rows."""
        n = len(self.y)
        parts = thread_count(n)
        return in_threads(
            [(kernel, (n * i // parts, n * (i + 1) // parts, *arguments)) for i in range(parts)]
        )


def _edges(alpha: Floats) -> Floats:
    return np.concatenate([[-np.inf], alpha, [np.inf]])
